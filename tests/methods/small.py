"""A small cross-scale network and pictures for the tests of this folder."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from raylign.methods.crossscale import CrossScale, CrossScaleConfig

SMALL: dict[str, Any] = {
    "backbone": "resnet18",
    "levels": 1,
    "mesh": (5, 4),
    "working_size": 96,
    "branch": (8, 8, 16, 16),
    "trunk": 16,
    "linear": (32, 16),
}


def small_network(seed: int = 0, **changes: Any) -> CrossScale:
    """An untrained network of a few million weights, which the seed decides; it aligns in one pass."""
    torch.manual_seed(seed)
    network = CrossScale(CrossScaleConfig(**{**SMALL, **changes}))
    network.inference = network.validation_inference()
    return network


def picture(seed: int, size: tuple[int, int], batch: int = 1) -> torch.Tensor:
    """Smooth coloured texture `(B, 3, H, W)` in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, size[0] // 6 + 2, size[1] // 6 + 2, generator=generator)
    return F.interpolate(coarse, size, mode="bicubic", align_corners=False).clamp(0, 1)


def set_global_offsets(network: CrossScale, offsets: torch.Tensor) -> None:
    """Make the network predict these corner offsets `(4, 2)` for any pair: its last linear layer has zero weights."""
    bias = network.coarse.offsets.bias
    with torch.no_grad():
        bias.copy_(offsets.flatten())
