"""Both pictures of a pair on one canvas that holds all of them: the panorama."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from . import geometry
from .errors import InputError
from .transform import Transform, bands, is_covered

Blend = Literal["linear", "seam"]
"""How the pictures are mixed where both show something. "linear": each weighs by its distance from its own border.
"seam": one of them at each place, cut where they differ least, and mixed in a narrow strip along the cut."""

LARGEST = 8
"""A canvas may have this many times the pixels of the larger picture."""
MARGIN = 4
"""Pixels around the outline, whose points lie a little apart; what nothing covers is cut off again."""
SEAM_PIXELS = 250_000
"""The seam is sought on a canvas reduced to this size."""
SEAM_SOFTNESS = 1.0
"""Standard deviation of the mixing along the seam, in pixels of the reduced canvas."""

Share = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The source's share in [0, 1] where both pictures show something, `(h, W)`: of columns `(W,)` and rows `(h,)` in
pixels of the reference, and of positions `(h, W, 2)` in the source."""


@dataclass(frozen=True)
class Canvas:
    """A reference and a source, side by side and one over the other.

    Attributes:
        image: `(3, H, W)` in [0, 1], zero where neither picture shows anything.
        mask: `(H, W)`, bool, where at least one does.
        reference_offset: (x, y), where the reference's top-left pixel lies on the canvas.
    """

    image: Tensor
    mask: Tensor
    reference_offset: tuple[int, int]


@torch.inference_mode()
def stitch(reference: Tensor, source: Tensor, transform: Transform, blend: Blend = "linear") -> Canvas:
    """Lay the source over the reference, on a canvas in the reference's frame that is just large enough for both.

    Colours are taken as they are: where the exposure differs, it also does on the canvas. Where only the reference
    shows something, its pixels are kept to the last bit. Beside the pictures and the canvas, little memory is taken.

    Args:
        reference: `(3, H, W)`, RGB in [0, 1].
        source: `(3, h, w)`, RGB in [0, 1].
        transform: reference to source, of one pair. The pictures are taken to its device, and the canvas is made there.
        blend: how the pictures are mixed.

    Raises:
        InputError: the source would reach too far.
    """
    reference, source = reference.to(transform.device), source.to(transform.device)
    size: geometry.Size = (reference.shape[-2], reference.shape[-1])
    left, top, width, height = canvas_frame(size, transform)
    xs = torch.arange(left, left + width, device=transform.device).float()
    ys = torch.arange(top, top + height, device=transform.device).float()
    share = (
        share_by_distance(size, transform.source_size)
        if blend == "linear"
        else share_by_seam(reference, source, transform, (left, top, width, height))
    )
    image = reference.new_zeros(3, height, width)
    mask = torch.zeros(height, width, dtype=torch.bool, device=transform.device)
    for band in bands(width, height, transform.device):
        positions = transform.positions(xs, ys[band])
        covered = is_covered(positions, transform.source_size)[0]
        below, known = image[:, band], mask[band]
        place_reference(reference, below, known, (left, top + band.start))
        weight = torch.where(known, share(xs, ys[band], positions[0]), 1.0) * covered
        above = geometry.sample(source[None], positions)[0]
        # Not lerp, whose rounding would spoil pixels of the reference at weight 0.
        # A sampled white is above 1 by a rounding.
        below.mul_(1 - weight).add_(above.mul_(weight)).clamp_(max=1)
        known |= covered
    rows, columns = (torch.nonzero(mask.any(axis)).flatten() for axis in (1, 0))
    first, last = (int(rows[0]), int(columns[0])), (int(rows[-1]) + 1, int(columns[-1]) + 1)
    kept = (slice(first[0], last[0]), slice(first[1], last[1]))
    return Canvas(image[:, *kept], mask[kept], (-left - first[1], -top - first[0]))


def canvas_frame(size: geometry.Size, transform: Transform) -> tuple[int, int, int, int]:
    """Left and top in pixels of the reference, width and height of a canvas that holds both pictures and a margin.

    Args:
        size: of the reference.
        transform: reference to source, of one pair.

    Raises:
        InputError: the source reaches to the horizon, or over more than 8 times the pixels of the larger picture.
    """
    outline = transform.outline()[0]
    cure = "leave the canvas out, or take another method"
    if not outline.isfinite().all():
        raise InputError(f"the source reaches to the horizon of the reference, where no canvas ends; {cure}")
    low, high = outline.amin(0).tolist(), outline.amax(0).tolist()
    left, top = (math.floor(min(0, value)) - MARGIN for value in low)
    right, bottom = (
        math.ceil(max(side - 1, value)) + MARGIN for side, value in zip((size[1], size[0]), high, strict=True)
    )
    width, height = right - left + 1, bottom - top + 1
    most = LARGEST * max(math.prod(size), math.prod(transform.source_size))
    if (width - 2 * MARGIN) * (height - 2 * MARGIN) > most:
        raise InputError(
            f"the source reaches so far that the canvas would have {width} x {height} pixels, more than {LARGEST} "
            f"times those of the larger picture; {cure}"
        )
    return left, top, width, height


def place_reference(reference: Tensor, image: Tensor, mask: Tensor, corner: tuple[int, int]) -> None:
    """Copy the reference's part that lies on a band of the canvas.

    Args:
        reference: `(3, H, W)`.
        image: of the band, `(3, h, w)`, written to.
        mask: of the band, `(h, w)`, bool, written to.
        corner: (x, y) of the band's top-left pixel in the reference.
    """
    x, y = corner
    first, last = max(0, y), min(reference.shape[1], y + image.shape[1])
    if first < last:
        place = (slice(first - y, last - y), slice(-x, reference.shape[2] - x))
        image[:, *place] = reference[:, first:last]
        mask[place] = True


def share_by_distance(size: geometry.Size, source_size: geometry.Size) -> Share:
    """The source's share by the distances of each place from the borders of both pictures."""

    def share(xs: Tensor, ys: Tensor, positions: Tensor) -> Tensor:
        own = to_border(xs, ys[:, None], size)
        other = to_border(positions[..., 0], positions[..., 1], source_size)
        return other / (other + own)

    return share


def to_border(x: Tensor, y: Tensor, size: geometry.Size) -> Tensor:
    """Distance in pixels from the frame that lies one pixel outside of a picture; at least 1."""
    height, width = size
    along_x = (width + 1) / 2 - (x - (width - 1) / 2).abs()
    along_y = (height + 1) / 2 - (y - (height - 1) / 2).abs()
    return torch.minimum(along_x, along_y).clamp_min(1)


def share_by_seam(reference: Tensor, source: Tensor, transform: Transform, frame: tuple[int, int, int, int]) -> Share:
    """The source's share by a graph cut through the places where both pictures agree (Kwatra et al. 2003).

    Args:
        reference: `(3, H, W)`.
        source: `(3, h, w)`.
        transform: reference to source.
        frame: see `canvas_frame`.
    """
    left, top, width, height = frame
    factor = min(1.0, math.sqrt(SEAM_PIXELS / (width * height)))
    small = (max(1, round(height * factor)), max(1, round(width * factor)))
    to_canvas = geometry.resize_transform(small, (height, width), "area")
    xs, ys = geometry.pixel_axes(small, device=transform.device)
    xs, ys = (xs * to_canvas[0, 0] + to_canvas[0, 2] + left), (ys * to_canvas[1, 1] + to_canvas[1, 2] + top)
    xs, ys = xs.float(), ys.float()
    at_reference = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)[None]
    below = _reduced_view(reference, at_reference, factor)
    above = _reduced_view(source, transform.positions(xs, ys), factor)
    label = seam((below[0], above[0]), (below[1], above[1]))
    # Where neither shows anything, nobody has a say.
    shown = np.maximum(below[1], above[1]).astype(np.float32) / 255
    softened, seen = (cv2.GaussianBlur(each, (0, 0), SEAM_SOFTNESS) for each in (label, shown))
    soft = torch.from_numpy(softened / np.maximum(seen, 1e-6)).clamp(0, 1).to(transform.device)[None, None]
    from_canvas = geometry.resize_transform((height, width), small, "area")

    def share(xs: Tensor, ys: Tensor, positions: Tensor) -> Tensor:
        x = ((xs.double() - left) * from_canvas[0, 0] + from_canvas[0, 2]).clamp(0, small[1] - 1).float()
        y = ((ys.double() - top) * from_canvas[1, 1] + from_canvas[1, 2]).clamp(0, small[0] - 1).float()
        label = geometry.sample(soft, torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None])[0, 0]
        # Where the cut follows a picture's border, the mixing must end on it.
        strip = 3 * SEAM_SOFTNESS / factor
        source_size = transform.source_size
        other = label * (to_border(positions[..., 0], positions[..., 1], source_size) / strip).clamp(max=1)
        own = (1 - label) * (to_border(xs, ys[:, None], (reference.shape[1], reference.shape[2])) / strip).clamp(max=1)
        return other / (other + own)

    return share


def _reduced_view(picture: Tensor, positions: Tensor, factor: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A picture on the reduced canvas, and where it shows something.

    Args:
        picture: `(3, h, w)` in [0, 1].
        positions: `(1, H, W, 2)`, in pixels of the picture.
        factor: of the reduction.

    Returns:
        `(H, W, 3)`, float32 in [0, 255], and `(H, W)`, 255 or 0.
    """
    size = (picture.shape[1], picture.shape[2])
    small = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
    reduced = F.interpolate(picture[None], small, mode="bilinear", align_corners=False, antialias=True)
    to_small = geometry.resize_transform(size, small, "area", device=picture.device)
    at_small = geometry.transform_points(to_small[None], positions.flatten(1, 2)).view_as(positions)
    look = geometry.sample(reduced, at_small.float())[0] * 255
    mask = is_covered(positions, size)[0].byte() * 255
    return look.permute(1, 2, 0).contiguous().cpu().numpy(), mask.cpu().numpy()


def seam(looks: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Which of two pictures is shown: 1 for the second, 0 for the first, `(H, W)`, float32.

    Args:
        looks: both pictures `(H, W, 3)`, float32 in [0, 255].
        masks: where they show something, `(H, W)`, uint8, 255 or 0.
    """
    finder = cv2.detail.GraphCutSeamFinder("COST_COLOR_GRAD")
    # It takes arrays, which its stubs do not know.
    _, second = finder.find(looks, [(0, 0), (0, 0)], masks)  # type: ignore[arg-type]
    return (second.get() > 0).astype(np.float32)
