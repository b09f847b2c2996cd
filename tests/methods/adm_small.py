"""What tests of `adm` share: a network small enough for a test, and retinas as plain as can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raylign.methods.adm import Adm, AdmConfig
from raylign.methods.geometry import (
    homography_from_points,
    image_corners,
    invert_homography,
    transform_points,
    warp_by_homography,
)
from raylign.platform.data.pairs import validation_pairs
from tests.datasets import write_retinas

SMALL: dict[str, Any] = {
    "working_size": 64,
    "encoder": "test_vit",
    "score_width": 32,
    "score_layers": 1,
    "score_heads": 2,
    "dropout": 0.0,
    "homography_steps": 20,
    "displacement_steps": 20,
    "vessel_channels": 8,
    "denoiser_channels": 8,
    "denoiser_multipliers": (1, 2),
    "deformation_channels": (8, 8),
}


def small_adm(seed: int = 0, **changes: Any) -> Adm:
    """In evaluation mode."""
    torch.manual_seed(seed)
    return Adm(AdmConfig(**{**SMALL, **changes})).eval()


def retinas(folder: Path, count: int = 4, size: int = 64) -> dict[str, Tensor]:
    """A training batch of pairs of retinas, with all that the method may ask for."""
    url = write_retinas(folder, scenes=6 * count, size=size)
    batch = validation_pairs(url, "val", size, count, ("vessels", "best_homography"))
    return {**batch, "seed": torch.arange(count)}


def moved_pairs(count: int, size: int, share: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Bright pictures with dark lines, each seen again after its corners have moved by up to a share of the side.

    Returns:
        Reference and source `(B, 3, S, S)`, and the homography `(B, 3, 3)`, reference to source.
    """
    generator = torch.Generator().manual_seed(seed)
    axis = torch.arange(float(size))
    world = torch.full((count, size, size), 0.8)
    for _ in range(5):
        angle = torch.rand(count, 1, 1, generator=generator) * 3.14
        offset = size * (0.2 + 0.6 * torch.rand(count, 1, 1, generator=generator))
        bend = 0.1 * size * torch.sin(axis / size * 6)
        distance = (axis[None, :, None] - size / 2) * angle.cos() + (axis + bend - size / 2) * angle.sin()
        world = world - 0.5 * torch.exp(-((distance + size / 2 - offset) ** 2) / (2 * (size / 64) ** 2))
    reference = world.clamp(0, 1)[:, None].expand(-1, 3, -1, -1).contiguous()
    corners = image_corners((size, size)).expand(count, 4, 2)
    moved = corners + size * share * (2 * torch.rand(count, 4, 2, generator=generator).double() - 1)
    homography = homography_from_points(corners, moved)
    source, _ = warp_by_homography(reference, invert_homography(homography), (size, size))
    return reference, source, homography


def corner_errors(found: Tensor, true: Tensor, side: int) -> Tensor:
    """Largest distance in pixels of the four corners of a square picture under homographies `(B, 3, 3)`."""
    corners = image_corners((side, side)).expand(len(found), 4, 2)
    return (transform_points(found, corners) - transform_points(true, corners)).norm(dim=-1).amax(1)
