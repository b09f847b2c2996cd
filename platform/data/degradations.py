"""Degraded pictures in three strengths: Gaussian noise, Gaussian blur, low light.

They are those of the robustness tests of Active Diffusion Matching (arXiv 2604.10084, section 5 and Table 8): white
noise of zero mean, a smoothing filter, and all values times a factor. The paper's text has lost the strengths; these
are our own.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...methods.errors import InputError

Degradation = Literal["noise", "blur", "low-light"]

DEGRADATIONS: tuple[Degradation, ...] = get_args(Degradation)
"""The kinds of degradations."""
STRENGTHS = (1, 2, 3)
"""From weak to strong."""

NOISE = (0.02, 0.05, 0.10)
"""Standard deviation of the noise on values in [0, 1], by strength."""
BLUR = (1.0, 2.0, 3.5)
"""Standard deviation of the blur, by strength, in pixels of a picture whose shorter side has `BLUR_SIDE` of them."""
BLUR_SIDE = 256
LIGHT = (0.70, 0.45, 0.25)
"""Factor on all values, by strength."""


def degrade(pictures: Tensor, kind: str, strength: int, generator: Generator) -> Tensor:
    """Degrade a batch of pictures; what is where in them stays as it is.

    Args:
        pictures: `(B, C, H, W)`, values in [0, 1].
        kind: one of `DEGRADATIONS`.
        strength: one of `STRENGTHS`.
        generator: of the random numbers, on the CPU; only noise draws from it.

    Returns:
        `(B, C, H, W)` in [0, 1].

    Raises:
        InputError: there is no such kind or strength.
    """
    if kind not in DEGRADATIONS:
        raise InputError(f"unknown degradation '{kind}'; choose one of {', '.join(DEGRADATIONS)}")
    if strength not in STRENGTHS:
        raise InputError(f"unknown strength {strength} of a degradation; choose one of 1, 2, 3")
    level = strength - 1
    if kind == "low-light":
        return pictures * LIGHT[level]
    if kind == "blur":
        return _blurred(pictures, BLUR[level] * min(pictures.shape[-2:]) / BLUR_SIDE)
    noise = torch.randn(pictures.shape, generator=generator).to(pictures)
    return (pictures + NOISE[level] * noise).clamp(0, 1)


def _blurred(pictures: Tensor, sigma: float) -> Tensor:
    """A Gaussian filter of a standard deviation in pixels; the rim repeats."""
    reach, channels = math.ceil(3 * sigma), pictures.shape[1]
    steps = torch.arange(-reach, reach + 1, dtype=pictures.dtype, device=pictures.device)
    row = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = (row / row.sum()).expand(channels, 1, 1, -1)
    across = F.conv2d(F.pad(pictures, (reach, reach, 0, 0), "replicate"), kernel, groups=channels)
    return F.conv2d(F.pad(across, (0, 0, reach, reach), "replicate"), kernel.transpose(2, 3), groups=channels)
