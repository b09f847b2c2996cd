"""Where a reference pixel lies in the source: the map behind an alignment, also beyond the reference's frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from . import geometry
from .cubic_field import CubicField

COVERED = 0.999
"""Coverage from which a pixel counts as covered: below, its bilinear sample mixes in the darkness outside."""
BAND_PIXELS = {"cpu": 1 << 18}
"""Pixels whose positions are held at once, which bounds the memory at any size of the pictures."""
BAND_PIXELS_ELSEWHERE = 1 << 22
"""The same on a GPU, so that few kernels are launched."""
BORDER_POINTS = 129
"""Along each side of the source, corners included."""
NEWTON_STEPS = 12


class Transform(ABC):
    """A map from reference pixels to source pixels, of one source for each item of a batch.

    Attributes:
        source_size: height and width of the sources in pixels.
    """

    source_size: geometry.Size

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the map is computed, and what is asked of it must lie."""

    @abstractmethod
    def positions(self, xs: Tensor, ys: Tensor) -> Tensor:
        """Source positions `(B, H, W, 2)`, float32, pixels, of the grid of all reference coordinates (x, y).

        A position does not depend on which others are asked for, to the last bit.

        Args:
            xs: `(W,)`, pixels of the reference; may lie outside of its frame.
            ys: `(H,)`.
        """

    @abstractmethod
    def at(self, points: Tensor) -> Tensor:
        """Source positions `(B, K, 2)`, float64, pixels, of reference points `(B, K, 2)`: for few points."""

    @abstractmethod
    def outline(self) -> Tensor:
        """Where points along the source's border lie in the reference frame, `(B, K, 2)`, float64, pixels.

        They go round the source once. NaN for points that no reference position shows (beyond the horizon of a
        homography).
        """


@dataclass(frozen=True)
class HomographyTransform(Transform):
    """A homography, and a displacement on top where no plane explains the pictures: `H x + d(x)`.

    Attributes:
        homography: H `(B, 3, 3)`, float64, reference to source.
        source_size: height and width of the sources in pixels.
        displacement: d, over the reference's frame, in pixels of the source; None for none.
    """

    homography: Tensor
    source_size: geometry.Size
    displacement: CubicField | None = None

    @property
    def device(self) -> torch.device:
        """See `Transform.device`."""
        return self.homography.device

    def positions(self, xs: Tensor, ys: Tensor) -> Tensor:
        """See `Transform.positions`. Far outside of the source beyond the horizon of the homography."""
        planar = geometry.homography_positions_on(self.homography, xs, ys)
        return planar if self.displacement is None else planar + self.displacement.on_grid(xs, ys)

    def at(self, points: Tensor) -> Tensor:
        """See `Transform.at`. Beyond the horizon, what the division gives."""
        planar = geometry.transform_points(self.homography, points)
        return planar if self.displacement is None else planar + self.displacement.at(points)

    def outline(self) -> Tensor:
        """See `Transform.outline`."""
        border = source_border(self.source_size, device=self.device).expand(len(self.homography), -1, -1)
        inverse = torch.linalg.inv_ex(self.homography).inverse
        reached = torch.cat([border, torch.ones_like(border[..., :1])], dim=-1) @ inverse.transpose(1, 2)
        # The third coordinate of H x is the inverse of this one: see `geometry.homography_positions_on`.
        shown = reached[..., 2:] * torch.linalg.det(self.homography).sign()[:, None, None] > 1e-8
        planar = torch.where(shown, reached[..., :2] / reached[..., 2:], torch.nan)
        return planar if self.displacement is None else inverted(self, border, planar)


def source_border(size: geometry.Size, *, device: torch.device | None = None) -> Tensor:
    """Points on the centres of a picture's border pixels, once round clockwise: `(K, 2)`, float64, pixels."""
    height, width = size
    share = torch.linspace(0, 1, BORDER_POINTS, dtype=torch.float64, device=device)
    zero, one = torch.zeros_like(share), torch.ones_like(share)
    sides = ((share, zero), (one, share), (1 - share, one), (zero, 1 - share))
    return torch.cat([torch.stack([x * (width - 1), y * (height - 1)], dim=1)[:-1] for x, y in sides])


def inverted(transform: Transform, targets: Tensor, start: Tensor) -> Tensor:
    """Reference points that a transform takes close to given source points, by Newton's method.

    Args:
        transform: the map.
        targets: `(B, K, 2)`, float64, pixels of the source.
        start: `(B, K, 2)`, float64, pixels of the reference, near the answer.

    Returns:
        `(B, K, 2)`, float64: of all points that were tried, the one that comes closest to its target.
    """
    longest = max(transform.source_size) / 10
    points, best = start, start
    least = torch.full_like(start[..., 0], torch.inf)
    for _ in range(NEWTON_STEPS):
        reached = transform.at(points)
        missing = targets - reached
        distance = missing.norm(dim=-1)
        best = torch.where((distance < least)[..., None], points, best)
        least = torch.minimum(distance, least)
        along_x, along_y = (
            (transform.at(points + points.new_tensor(unit)) - reached).unbind(-1) for unit in ((1.0, 0.0), (0.0, 1.0))
        )
        (a, c), (b, d), (x, y) = along_x, along_y, missing.unbind(-1)
        step = torch.stack([d * x - b * y, a * y - c * x], dim=-1) / (a * d - b * c)[..., None]
        points = points + step * (longest / step.norm(dim=-1, keepdim=True).clamp_min(1e-12)).clamp(max=1)
    return best


@dataclass(frozen=True)
class Warped:
    """Sources in the frame of their references.

    Attributes:
        image: `(B, C, H, W)`, zero where `mask` is zero.
        mask: `(B, 1, H, W)`, float32 in {0, 1}, where the source covers the frame.
        flow: `(B, 2, H, W)`, float32, pixels, reference to source.
    """

    image: Tensor
    mask: Tensor
    flow: Tensor


def warp(source: Tensor, transform: Transform, size: geometry.Size, *, rows: int | None = None) -> Warped:
    """Bring sources into the frame of their references, by bands of rows: beside what is returned, memory is bounded.

    Args:
        source: `(B, C, h, w)`, on the transform's device.
        transform: reference to source.
        size: of the references.
        rows: of a band, which changes no bit of the result; None for as many as memory likes.
    """
    batch, channels = source.shape[:2]
    xs, ys = geometry.pixel_axes(size, device=transform.device)
    image = source.new_empty(batch, channels, *size)
    mask, flow = (torch.empty(batch, depth, *size, device=source.device) for depth in (1, 2))
    for band in bands(batch * size[1], size[0], transform.device, rows):
        positions = transform.positions(xs, ys[band])
        inside = is_covered(positions, transform.source_size)[:, None]
        mask[:, :, band] = inside.float()
        image[:, :, band] = geometry.sample(source, positions).mul_(inside)
        flow[:, 0, band] = positions[..., 0] - xs
        flow[:, 1, band] = positions[..., 1] - ys[band, None]
    return Warped(image, mask, flow)


def is_covered(positions: Tensor, source_size: geometry.Size) -> Tensor:
    """Which positions `(..., 2)` in pixels lie within a source, bool `(...)`."""
    return geometry.coverage(positions, source_size) >= COVERED


def bands(width: int, height: int, device: torch.device, rows: int | None = None) -> Iterator[slice]:
    """Slices of rows that cover a picture, few enough at once for the memory of a device.

    Args:
        width: pixels in a row, of all items of a batch.
        height: number of rows.
        device: where the work is done.
        rows: of a band; None for as many as memory likes.
    """
    step = rows or max(1, BAND_PIXELS.get(device.type, BAND_PIXELS_ELSEWHERE) // width)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))
