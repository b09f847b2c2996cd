"""A homography refined by where the vessel maps' correlation grows: what guidance is at a step, done until it ends."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from .losses import windowed_ncc
from .spatial_transformer import resized_field, spatial_transform

LEVELS = (4, 2, 1)
"""Pixels of the working size that are one of the maps', from the first steps to the last (ours): windows of one size
then see less and less around a pixel."""
FIRST_REACH, LAST_REACH = 0.5, 0.05
"""How far a step moves a corner at most, in pixels of the maps, at the first step of a level and at its last (ours)."""
MOMENTS = (0.7, 0.9)
"""Decay of the gradient's mean and of its square's, as in Adam, over so few steps (ours)."""


def refined(moving: Tensor, fixed: Tensor, homography: Tensor, field: Tensor | None, steps: int) -> Tensor:
    """Homographies after some steps up the gradient of the maps' correlation, each chain by itself.

    What is moved are the corners of the reference, by which all eight parameters count alike; the maps are looked at
    four times and twice smaller first.

    Args:
        moving: vessel maps of the sources `(C, 1, S, S)`.
        fixed: of the references `(C, 1, S, S)`.
        homography: H `(C, 3, 3)`, float64, pixels, reference to source.
        field: D `(C, 2, S, S)`; None for none. It stays as it is.
        steps: over all levels.

    Returns:
        `(C, 3, 3)`, float64. They may be worse: the correlation is not compared here.
    """
    side = fixed.shape[-1]
    whole: geometry.Size = (side, side)
    for number, factor in enumerate(LEVELS):
        count = (number + 1) * steps // len(LEVELS) - number * steps // len(LEVELS)
        small: geometry.Size = (side // factor, side // factor)
        maps = [F.avg_pool2d(each, factor) for each in (moving, fixed)]
        bend = None if field is None else resized_field(field, small)
        at_level = geometry.rescale_homography(homography, size_a=(whole, small), size_b=(whole, small), rule="area")
        at_level = _climbed(maps[0], maps[1], at_level, bend, count)
        homography = geometry.rescale_homography(at_level, size_a=(small, whole), size_b=(small, whole), rule="area")
    return homography


def _climbed(moving: Tensor, fixed: Tensor, homography: Tensor, field: Tensor | None, steps: int) -> Tensor:
    size: geometry.Size = (fixed.shape[-2], fixed.shape[-1])
    corners = geometry.image_corners(size, device=fixed.device).double().expand(len(fixed), 4, 2)
    moved = torch.zeros_like(corners)
    mean, square = torch.zeros_like(moved), torch.zeros_like(moved)
    for step in range(steps):
        with torch.enable_grad():
            free = moved.requires_grad_(True)
            whole = homography @ geometry.homography_from_points(corners, corners + free)
            brought, covered = spatial_transform(moving, whole, field, size)
            (gradient,) = torch.autograd.grad(windowed_ncc(brought, fixed, covered.detach()).sum(), free)
        gradient = gradient.nan_to_num()
        mean = torch.lerp(gradient, mean, MOMENTS[0])
        square = torch.lerp(gradient.square(), square, MOMENTS[1])
        unbiased = [each / (1 - decay ** (step + 1)) for each, decay in zip((mean, square), MOMENTS, strict=True)]
        reach = FIRST_REACH + (LAST_REACH - FIRST_REACH) * step / max(1, steps - 1)
        moved = (moved.detach() + reach * unbiased[0] / (unbiased[1].sqrt() + 1e-12)).detach()
    found = homography @ geometry.homography_from_points(corners, corners + moved.detach())
    return found / found[:, 2:, 2:]
