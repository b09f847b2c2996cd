"""What a dense flow says of a pair: where pixels land, which of them are seen, how far they are from a homography."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...methods.geometry import fit_homography
from .cameras import Array, Size, inside, pixel_grid, transform

Mask = NDArray[np.bool_]

FIT_POINTS = 20_000
"""At most so many pixels take part in fitting a homography."""
ROUNDS = 4
"""Of reweighting; the second changes little, the fourth nothing."""


@dataclass(frozen=True)
class Parallax:
    """How far the flow of the visible pixels is from one homography."""

    p90_px: float
    """90th percentile of the distance, in pixels."""
    p90_percent: float
    """The same in percent of the picture's diagonal."""
    rms_px: float
    """Root mean square distance, in pixels."""


def landing(flow: NDArray[np.floating[Any]]) -> Array:
    """Where each reference pixel lands: `(H, W, 2)`, source pixels, of a flow `(2, H, W)`; NaN stays NaN."""
    positions = pixel_grid((flow.shape[-2], flow.shape[-1])) + flow.transpose(1, 2, 0)
    return np.where(np.isfinite(positions).all(-1, keepdims=True), positions, np.nan)


def visible_pixels(positions: Array, hidden: Mask | None, size: Size) -> Mask:
    """Reference pixels `(H, W)` that land inside a source of the given size and are not hidden there."""
    seen = inside(positions, size)
    return seen if hidden is None else seen & ~hidden


def parallax(positions: Array, visible: Mask, homography: Array | None = None) -> Parallax:
    """Distance of the flow from a homography over the visible pixels.

    Args:
        positions: `(H, W, 2)`, source pixels.
        visible: `(H, W)`.
        homography: `(3, 3)`, reference to source; None fits one to the flow.

    Raises:
        ValueError: the homography has another shape.
    """
    if homography is not None and homography.shape != (3, 3):
        raise ValueError("not a 3 x 3 matrix")
    if not visible.any():
        return Parallax(0.0, 0.0, 0.0)
    if homography is None:
        homography = fit_to_flow(positions, visible)
    ys, xs = np.nonzero(visible)
    planar = transform(homography, np.stack([xs, ys], -1).astype(np.float64))
    distance = np.linalg.norm(positions[visible] - planar, axis=-1)
    p90 = float(np.quantile(distance, 0.9))
    diagonal = math.hypot(*visible.shape)
    return Parallax(p90, 100 * p90 / diagonal, float(np.sqrt(np.square(distance).mean())))


def fit_to_flow(positions: Array, visible: Mask) -> Array:
    """The homography `(3, 3)` that is nearest to the flow of the visible pixels; the identity for fewer than four.

    The equations' error is the distance times the third coordinate, so weights of its inverse square make it the
    distance: least squares in pixels after a few rounds.
    """
    ys, xs = np.nonzero(visible)
    step = max(1, len(xs) // FIT_POINTS)
    a = np.stack([xs, ys], -1)[::step].astype(np.float64)
    b = positions[visible][::step]
    if len(a) < 4:
        return np.eye(3)
    height, width = visible.shape
    # To [-1, 1] and back, where the algebraic error is close to the distance.
    scale = np.array([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1.0]])
    points = [torch.from_numpy(each * scale[[0, 1], [0, 1]] - 1)[None] for each in (a, b)]
    weights = torch.ones(1, len(a), dtype=torch.float64)
    for _ in range(ROUNDS):
        matrix = fit_homography(points[0], points[1], weights)
        third = points[0] @ matrix[:, 2, :2, None] + matrix[:, 2:, 2:]
        weights = third[..., 0].abs().clamp_min(1e-3) ** -2
    fitted = matrix[0].numpy()
    matrix_px = np.linalg.inv(scale) @ fitted @ scale
    return np.asarray(matrix_px / matrix_px[2, 2])
