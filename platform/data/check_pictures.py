"""Does a geometry bring one picture onto another? Asked of the pictures themselves, against moves of one pixel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...methods.geometry import FAR_OUTSIDE, sample
from .cameras import Size, inside, pixel_grid

Finding = tuple[str, str]
"""Name of a check that failed, and what was found, as one plain line."""

Positions = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

SHIFTS = {"to the right": (1.0, 0.0), "to the left": (-1.0, 0.0), "down": (0.0, 1.0), "up": (0.0, -1.0)}
BLUR = 2.0
"""Standard deviation of the filter before pictures are compared, in pixels: the renderer's noise is no texture."""
REACH = 5
"""Pixels to each side that the filter takes in, and so the border that is not compared."""
CLIP = 48.0
"""Grey levels beyond which a difference counts no more: highlights and object borders must not decide."""
LEAST_TEXTURE = 1.5
"""Root mean square change of the picture over one pixel, in grey levels, below which a direction is not judged."""
LEAST_GAIN = 0.05
"""Share of that change (squared) by which the stored geometry must beat the shifted one."""
MAGNIFIED = 1.5
"""Source pixels for each target pixel up to which both pictures count as equally fine."""
LEAST_PIXELS = 256
"""Fewer common pixels than these say nothing."""


def warp(picture: Tensor, positions: Positions) -> Tensor:
    """Bilinear samples of `picture (C, h, w)` at `positions (H, W, 2)`; zero outside and where a position is NaN."""
    where = torch.from_numpy(np.nan_to_num(positions, nan=FAR_OUTSIDE).clip(FAR_OUTSIDE, -FAR_OUTSIDE))
    return sample(picture[None].float(), where[None].float())[0]


def look_up(mask: Mask, positions: Positions) -> Mask:
    """The mask's values at the nearest pixels to `positions (H, W, 2)`; false outside and where a position is NaN."""
    size: Size = (mask.shape[0], mask.shape[1])
    there = inside(positions, size)
    column, row = np.where(there[..., None], positions, 0.0).round().astype(int).transpose(2, 0, 1)
    return np.asarray(there & mask[row.clip(0, size[0] - 1), column.clip(0, size[1] - 1)])


def erode(mask: Mask, pixels: int) -> Mask:
    """Take a border of so many pixels off a mask; beyond the picture counts as set."""
    return ~dilate(~mask, pixels)


def dilate(mask: Mask, pixels: int) -> Mask:
    """Add a border of so many pixels to a mask."""
    side = 2 * pixels + 1
    # Along each axis by itself: a square's largest value takes the square of the time.
    across = F.max_pool2d(torch.from_numpy(mask)[None, None].float(), (1, side), 1, (0, pixels))
    spread = F.max_pool2d(across, (side, 1), 1, (pixels, 0))
    return np.asarray(spread[0, 0].numpy() > 0.5)


def alignment_findings(
    source: Tensor, target: Tensor, positions: Positions, visible: Mask, what: str, *, beats_unwarped: bool = False
) -> Iterator[Finding]:
    """Complain where the source, sampled at `positions`, is not the target's best match among its one-pixel shifts.

    The score is the mean of clipped squared differences, after a gain for each channel. For a picture w that shows the
    target t up to blur and noise, `score(shifted) - score(stored)` is the mean square of w's change over the shift, and
    for a t that has nothing to do with w it is zero: so what is gained is judged as a share of that change, and no
    threshold depends on the texture.

    Args:
        source: uint8 `(3, h, w)`.
        target: uint8 `(3, H, W)`.
        positions: `(H, W, 2)`, pixels of the source.
        visible: `(H, W)`, target pixels whose counterpart is seen in the source.
        what: names the comparison.
        beats_unwarped: the source must match better warped than as it is.
    """
    size: Size = (source.shape[-2], source.shape[-1])
    scale = _scale(positions, visible)
    judged = erode(visible, REACH) & inside(positions, size, margin=REACH * scale)
    if judged.sum() < LEAST_PIXELS:
        return
    chosen = torch.from_numpy(judged)
    smooth_source, smooth_target = _smooth(source, scale), _smooth(target)
    stored = warp(smooth_source, positions)
    gain = _gain(stored, smooth_target, chosen)
    stored, smooth_source = stored * gain, smooth_source * gain
    score = _score(stored, smooth_target, chosen)
    for direction, shift in SHIFTS.items():
        shifted = warp(smooth_source, positions + scale * np.array(shift))
        change = _score(stored, shifted, chosen)
        if change < LEAST_TEXTURE**2:
            continue
        if _score(shifted, smooth_target, chosen) - score < LEAST_GAIN * change:
            yield "picture", f"{what} fits no better than when moved by 1 px {direction}"
            return
    if beats_unwarped and size == tuple(target.shape[-2:]):
        moved = np.linalg.norm(positions - pixel_grid(size), axis=-1)[judged].mean()
        plain = _score(smooth_source * _gain(smooth_source, smooth_target, chosen), smooth_target, chosen)
        if moved >= 1 and _score(smooth_source, stored, chosen) > LEAST_TEXTURE**2 and score >= plain:
            yield "picture", f"{what} fits no better than the source as it is"


def _scale(positions: Positions, visible: Mask) -> float:
    """Source pixels for each target pixel, where they are clearly more than one: then they are compared as coarsely."""
    step = np.linalg.norm(np.diff(positions, axis=1), axis=-1)[visible[:, 1:] & visible[:, :-1]]
    scale = float(np.median(step)) if step.size else 1.0
    return scale if scale > MAGNIFIED else 1.0


def _smooth(picture: Tensor, scale: float = 1.0) -> Tensor:
    """A Gaussian filter, `(C, H, W)` float32, for pixels that are `scale` times as fine."""
    reach = math.ceil(REACH * scale)
    offsets = torch.arange(-reach, reach + 1).float()
    row = torch.exp(-(offsets**2) / (2 * (BLUR * scale) ** 2))
    kernel = (row / row.sum()).expand(picture.shape[0], 1, 1, -1)
    padded = F.pad(picture[None].float(), (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel, groups=picture.shape[0])
    return F.conv2d(across, kernel.transpose(2, 3), groups=picture.shape[0])[0]


def _gain(a: Tensor, b: Tensor, chosen: Tensor) -> Tensor:
    """Factor `(C, 1, 1)` that brings a nearest to b: the pictures of a pair may differ in exposure."""
    ours, theirs = a[:, chosen], b[:, chosen]
    return ((ours * theirs).sum(1) / ours.square().sum(1).clamp_min(1e-6))[:, None, None]


def _score(a: Tensor, b: Tensor, chosen: Tensor) -> float:
    return float((a - b)[:, chosen].abs().clamp_max(CLIP).square().mean())
