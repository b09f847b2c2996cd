"""Frames and occluders for the tests of the baselines that merge several shots."""

from __future__ import annotations

import torch

from raylign.methods import geometry
from raylign.methods.classical.mean import Mean
from raylign.methods.classical.median import Median
from raylign.methods.classical.reconstruction import SetAligner
from raylign.methods.classical.rpca import Rpca
from raylign.methods.classical.weiss import Weiss

METHODS: tuple[type[SetAligner], ...] = (Mean, Median, Rpca, Weiss)


def random_frames(
    seed: int, count: int, size: tuple[int, int] = (19, 23), batch: int = 2
) -> tuple[torch.Tensor, torch.Tensor]:
    """Unrelated values `(B, T, 3, H, W)` and masks of which some pixels are in none."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(batch, count, 3, *size, generator=generator)
    return frames, (torch.rand(batch, count, 1, *size, generator=generator) < 0.6).float()


def psnr(found: torch.Tensor, true: torch.Tensor) -> float:
    return float(-10 * (found - true).square().mean().log10())


def paint_discs(image: torch.Tensor, seed: int, count: int, radius: float) -> torch.Tensor:
    """`image (3, H, W)` behind discs of random colours."""
    generator = torch.Generator().manual_seed(seed)
    height, width = image.shape[-2:]
    grid = geometry.pixel_grid((height, width))
    for _ in range(count):
        centre = torch.rand(2, generator=generator) * torch.tensor([width, height])
        inside = (grid - centre).norm(dim=-1) < radius
        image = torch.where(inside, torch.rand(3, 1, 1, generator=generator), image)
    return image


def columns_apart(image: torch.Tensor, count: int) -> torch.Tensor:
    """`(T, 3, H, W)`: each frame hides another vertical strip, so that each pixel is hidden at most once."""
    frames = image.repeat(count, 1, 1, 1)
    strips = torch.arange(image.shape[-1]).chunk(count)
    for frame, strip in zip(frames, strips, strict=True):
        frame[:, 5:-5, strip] = 0.95
    return frames
