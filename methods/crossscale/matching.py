"""The head 'matching': features that are compared directly, at strides 8 and 4.

No paper has it. The paper's regression learns what a correlation means from very many pairs; here that is computed, and
only the features are learned, from all the correspondences of pairs with known homographies (InfoNCE, van den Oord et
al. 2018; matches as the mutual best of a dual softmax, Sun et al. 2021; mutual windows as in optical flow).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import geometry
from .backbone import Backbone
from .config import FINE_STRIDE, CrossScaleConfig

QUARTER_STRIDE = 4
"""Pixels from one feature of the finest kind to the next."""
RADIUS = 4
"""Cells that a window reaches to each side."""
TILE = 8
"""Side in cells of the tiles of which a map's windows are computed together."""
REGION = TILE + 2 * RADIUS
"""Side in cells of the square that holds all windows of a tile."""
MOVE = 0.5
"""Share of a window's reach by which training moves the source's corners off the truth."""


@dataclass(frozen=True)
class Correspondences:
    """Points of both pictures that look alike, in pixels of the working size.

    Attributes:
        reference: `(B, K, 2)`, float32.
        source: `(B, K, 2)`, float32.
        weight: `(B, K)` in [0, 1]: how much the pictures say so, 0 where they do not.
    """

    reference: Tensor
    source: Tensor
    weight: Tensor


class MatchingFeatures(nn.Module):
    """Unit vectors at strides 4 and 8 that know what the coarser features see (a feature pyramid, Lin et al. 2017)."""

    def __init__(self, config: CrossScaleConfig, backbone: Backbone) -> None:
        super().__init__()
        quarter, fine = config.matching_channels
        self.from_coarse = nn.Conv2d(backbone.coarse_channels, fine, 1)
        self.from_fine = nn.Conv2d(backbone.fine_channels, fine, 1)
        self.from_quarter = nn.Conv2d(backbone.quarter_channels, quarter, 1)
        self.down = nn.Conv2d(fine, quarter, 1)
        self.fine = nn.Sequential(nn.ReLU(), nn.Conv2d(fine, fine, 3, padding=1))
        self.quarter = nn.Sequential(nn.ReLU(), nn.Conv2d(quarter, quarter, 3, padding=1))

    def forward(self, quarter: Tensor, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Features `(B, C4, S/4, S/4)` and `(B, C8, S/8, S/8)`, float32, of length 1."""
        # A feature at i lies over pixel 8 i (16 i): corners would not be aligned with twice as many.
        eighth = self.from_fine(fine) + _doubled(self.from_coarse(coarse))
        finest = self.from_quarter(quarter) + _doubled(self.down(eighth))
        both = self.quarter(finest), self.fine(eighth)
        first, second = (F.normalize(each.float(), dim=1) for each in both)
        return first, second


def _doubled(features: Tensor) -> Tensor:
    """Twice as many features along each side: the old at even places, their means between; the last repeats."""
    padded = F.pad(features, (0, 1, 0, 1), mode="replicate")
    rows = torch.stack([padded[..., :-1, :], (padded[..., :-1, :] + padded[..., 1:, :]) / 2], dim=-2).flatten(-3, -2)
    return torch.stack([rows[..., :-1], (rows[..., :-1] + rows[..., 1:]) / 2], dim=-1).flatten(-2)


def feature_positions(size: tuple[int, int], stride: int, device: torch.device) -> Tensor:
    """Pixels `(h, w, 2)` over which the features of a map lie."""
    rows, columns = (torch.arange(side, device=device, dtype=torch.float32) * stride for side in size)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)


def global_matches(reference: Tensor, source: Tensor, temperature: float) -> Correspondences:
    """Mutual best matches of two maps, to a fraction of a cell.

    Args:
        reference: `(B, C, h, w)`, unit vectors at stride 8.
        source: `(B, C, h, w)`.
        temperature: of the softmax.

    Returns:
        A correspondence for each reference feature, of weight 0 where the best match is not mutual.
    """
    size = (reference.shape[-2], reference.shape[-1])
    similarity = reference.flatten(2).transpose(1, 2) @ source.flatten(2) / temperature
    # Weights in place of two more matrices: exp(s)^2 / (sum over columns * sum over rows) is the dual softmax.
    rows, columns = similarity.logsumexp(2, keepdim=True), similarity.logsumexp(1, keepdim=True)
    logarithm = 2 * similarity - rows - columns
    best, index = logarithm.max(2)
    # Compared by value: the largest of a column is found many times faster than its place.
    mutual = logarithm.amax(1).gather(1, index) == best
    places = feature_positions(size, FINE_STRIDE, reference.device).flatten(0, 1)
    offset = _peak_offset(similarity.unflatten(2, size), index, size)
    return Correspondences(
        reference=places.expand(len(index), -1, -1),
        source=places[index] + offset * FINE_STRIDE,
        weight=best.exp() * mutual,
    )


def _peak_offset(similarity: Tensor, index: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean offset in cells `(B, N, 2)` of a softmax over the 3 x 3 cells around `index (B, N)`."""
    height, width = size
    row, column = index // width, index % width
    steps = torch.tensor([-1, 0, 1], device=index.device)
    rows = (row[..., None] + steps).clamp(0, height - 1)
    columns = (column[..., None] + steps).clamp(0, width - 1)
    around = rows[..., :, None] * width + columns[..., None, :]
    weights = similarity.flatten(2).gather(2, around.flatten(2)).softmax(-1).unflatten(2, (3, 3))
    along_x = (weights.sum(2) * (columns - column[..., None])).sum(-1)
    along_y = (weights.sum(3) * (rows - row[..., None])).sum(-1)
    return torch.stack([along_x, along_y], dim=-1)


def window_scores(reference: Tensor, source: Tensor) -> Tensor:
    """Cosines of each source feature with the reference features around its place, tile by tile.

    Features of a tile share one square of the reference, so that all cosines are one batched matrix product; what lies
    outside of a feature's own window of `2 RADIUS + 1` cells, or of the reference, is minus infinity.

    Args:
        reference: `(B, C, h, w)`, unit vectors; sides are multiples of `TILE`.
        source: `(B, C, h, w)`, brought into the frame of the reference.

    Returns:
        `(B, h w, REGION^2)`, features in the order of `in_tiles`, places of the square row by row.
    """
    height, width = reference.shape[-2:]
    padded = F.pad(reference, (RADIUS,) * 4)
    squares = padded.unfold(2, REGION, TILE).unfold(3, REGION, TILE)
    squares = squares.permute(0, 2, 3, 1, 4, 5).flatten(4, 5).flatten(0, 2)
    scores = in_tiles(source).unflatten(1, (-1, TILE**2)).flatten(0, 1) @ squares
    inside = F.pad(reference.new_ones(height, width), (RADIUS,) * 4) > 0
    inside = inside.unfold(0, REGION, TILE).unfold(1, REGION, TILE).flatten(2).flatten(0, 1)
    seen = inside[:, None] & _own_window(reference.device)
    return scores.unflatten(0, (len(reference), -1)).masked_fill(~seen, -torch.inf).flatten(1, 2)


def in_tiles(maps: Tensor) -> Tensor:
    """Features `(B, C, h, w)` as `(B, h w, C)`, one tile of `TILE` x `TILE` cells after the other."""
    tiles = maps.unfold(2, TILE, TILE).unfold(3, TILE, TILE)
    return tiles.permute(0, 2, 3, 4, 5, 1).flatten(1, 4)


def _own_window(device: torch.device) -> Tensor:
    """Which places of the square a feature of the tile looks at, bool `(TILE^2, REGION^2)`."""
    near = (torch.arange(REGION, device=device) - torch.arange(TILE, device=device)[:, None] - RADIUS).abs() <= RADIUS
    return (near[:, None, :, None] & near[None, :, None, :]).flatten(2).flatten(0, 1)


def window_matches(
    reference: Tensor, source: Tensor, positions: Tensor, stride: int, size: geometry.Size, temperature: float
) -> Correspondences:
    """Where the source's features lie in the reference, sought around where `positions` puts them.

    Args:
        reference: `(B, C, h, w)`, unit vectors at `stride`.
        source: `(B, C, h, w)`.
        positions: `(B, h, w, 2)`, pixels: where the pixel under each reference feature lies in the source.
        stride: of the features.
        size: of the pictures.
        temperature: of the softmax.
    """
    brought = F.normalize(geometry.sample(source, positions / stride), dim=1)
    offset, weight = _window_peak(window_scores(reference, brought) / temperature)
    places = feature_positions((reference.shape[-2], reference.shape[-1]), stride, reference.device)
    places, there = (in_tiles(each.permute(0, 3, 1, 2)) for each in (places[None], positions))
    return Correspondences(
        reference=places + offset * stride,
        source=there,
        weight=weight * (geometry.coverage(there, size) >= 1),
    )


def _window_peak(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Mean offset `(B, N, 2)` in cells of the softmax around the peak of each window, and the peak's mass `(B, N)`."""
    index = scores.max(2).indices
    probability = scores.softmax(2)
    row, column = index // REGION, index % REGION
    steps = torch.tensor([-1, 0, 1], device=scores.device)
    rows, columns = ((each[..., None] + steps).clamp(0, REGION - 1) for each in (row, column))
    around = (rows[..., :, None] * REGION + columns[..., None, :]).flatten(2)
    mass = probability.gather(2, around)
    total = mass.sum(2)
    weights = (mass / total[..., None]).unflatten(2, (3, 3))
    cell = torch.arange(TILE, device=scores.device) + RADIUS
    tiles = scores.shape[1] // TILE**2
    own_row, own_column = cell.repeat_interleave(TILE).repeat(tiles), cell.repeat(TILE * tiles)
    along_x = (weights.sum(2) * columns).sum(-1) - own_column
    along_y = (weights.sum(3) * rows).sum(-1) - own_row
    # A peak at the border of its window may lie outside of it.
    inner = ((row - own_row).abs() < RADIUS) & ((column - own_column).abs() < RADIUS)
    return torch.stack([along_x, along_y], dim=-1), total * inner


def matching_losses(
    reference: tuple[Tensor, Tensor], source: tuple[Tensor, Tensor], homography: Tensor, size: geometry.Size, t: float
) -> dict[str, Tensor]:
    """How badly features tell where others lie: cross-entropies `global`, `window_8`, `window_4`, nats per feature.

    The truth lies between cells; its probability is shared out over the four around it, as in bilinear sampling.

    Args:
        reference: features at strides 4 and 8 (`MatchingFeatures`).
        source: likewise.
        homography: `(B, 3, 3)`, true, reference to source.
        size: of the pictures.
        t: temperature.
    """
    losses = {"global": _global_loss(reference[1], source[1], homography, t)}
    for features, other, stride in ((reference[1], source[1], FINE_STRIDE), (reference[0], source[0], QUARTER_STRIDE)):
        losses[f"window_{stride}"] = _window_loss(features, other, homography, stride, size, t)
    return losses


def _global_loss(reference: Tensor, source: Tensor, homography: Tensor, temperature: float) -> Tensor:
    map_size = (reference.shape[-2], reference.shape[-1])
    similarity = reference.flatten(2).transpose(1, 2) @ source.flatten(2) / temperature
    places = feature_positions(map_size, FINE_STRIDE, reference.device).flatten(0, 1).double()
    total = similarity.new_zeros(())
    for matrix, scores in ((homography, similarity), (geometry.invert_homography(homography), similarity.mT)):
        target = (geometry.transform_points(matrix, places[None]) / FINE_STRIDE).float()
        total = total + _shared_cross_entropy(scores, target, map_size) / 2
    return total


def _window_loss(
    reference: Tensor, source: Tensor, homography: Tensor, stride: int, size: geometry.Size, temperature: float
) -> Tensor:
    map_size = (reference.shape[-2], reference.shape[-1])
    corners = geometry.image_corners(size, device=reference.device).expand(len(reference), -1, -1)
    reach = MOVE * RADIUS * stride
    moved = geometry.transform_points(homography, corners) + (2 * torch.rand_like(corners) - 1) * reach
    off = geometry.homography_from_points(corners, moved)
    places = feature_positions(map_size, stride, reference.device)
    positions = geometry.transform_points(off, places[None].double())
    true = geometry.transform_points(geometry.invert_homography(homography), positions)
    brought = F.normalize(geometry.sample(source, positions.float() / stride), dim=1)
    scores = window_scores(reference, brought) / temperature
    offset = ((true - places) / stride).float()
    covered = geometry.coverage(positions.float(), size) >= 1
    far = (offset.abs() > RADIUS).any(-1) | ~covered
    cell = torch.arange(map_size[0], device=reference.device) % TILE + RADIUS
    across = torch.arange(map_size[1], device=reference.device) % TILE + RADIUS
    own = torch.stack(torch.meshgrid(across, cell, indexing="xy"), dim=-1)
    target = torch.where(far[..., None], -1.0, offset + own)
    # A truth beyond the picture has no place in it.
    lies = (
        (true >= 0).all(-1)
        & (true[..., 0] <= (map_size[1] - 1) * stride)
        & (true[..., 1] <= (map_size[0] - 1) * stride)
    )
    target = torch.where(lies[..., None], target, -1.0)
    return _shared_cross_entropy(scores, in_tiles(target.permute(0, 3, 1, 2)), (REGION, REGION))


def _shared_cross_entropy(scores: Tensor, target: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean cross-entropy of the softmax of `scores (B, N, h w)` where `target (B, N, 2)` in cells lies on the map."""
    height, width = size
    inside = (target >= 0).all(-1) & (target[..., 0] <= width - 1) & (target[..., 1] <= height - 1)
    x, y = (target[..., axis].clamp(0, most) for axis, most in ((0, width - 1), (1, height - 1)))
    left, top = x.floor().clamp(max=width - 2), y.floor().clamp(max=height - 2)
    right, below = x - left, y - top
    first = (top * width + left).long()
    corners = torch.stack([first, first + 1, first + width, first + width + 1], dim=-1)
    shares = torch.stack([(1 - right) * (1 - below), right * (1 - below), (1 - right) * below, right * below], dim=-1)
    picked = scores.gather(2, corners)
    # A corner of no share may lie where there is nothing to score.
    picked = torch.where(shares > 1e-6, picked, 0.0)
    loss = scores.logsumexp(2) - (shares * picked).sum(-1)
    return torch.where(inside, loss, 0.0).sum() / inside.sum().clamp_min(1)
