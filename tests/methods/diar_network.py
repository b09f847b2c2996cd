"""Small restoration networks and sets of frames for the tests of this folder."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from raylign.methods.diar.config import DiarConfig
from raylign.methods.diar.restoration import Restoration


def network(seed: int = 0, **changes: Any) -> Restoration:
    """A narrow network whose weights are all random, so that every layer matters; its pictures span about [0, 1]."""
    made = Restoration(DiarConfig(**{"width": 8, "window": 4, **changes})).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            inputs = parameter[0].numel() if parameter.dim() > 1 else 16
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / inputs**0.5)
        made.decoder.level2[-1].weight.mul_(0.1)  # type: ignore[operator]
    return made


def shots(seed: int, count: int, size: tuple[int, int], batch: int = 1) -> tuple[Tensor, Tensor]:
    """Frames `(B, T, 3, H, W)` and bool masks `(B, T, 1, H, W)` with holes of several cells."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(batch, count, 3, *size, generator=generator)
    coarse = torch.rand(batch * count, 1, size[0] // 12 + 1, size[1] // 12 + 1, generator=generator)
    masks = F.interpolate(coarse, size) > 0.3
    return frames, masks.unflatten(0, (batch, count))
