"""Weiss' intrinsic picture of all shots."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .median import masked_median
from .reconstruction import SetAligner


class Weiss(SetAligner):
    """Intrinsic images from image sequences (Weiss 2001): the median of the log-derivatives, integrated again.

    Derivatives of illumination are sparse, so the median over the frames of each derivative of the log picture
    (horizontal and vertical differences of neighbours) is that of the reflectance (Claim 1). A derivative counts in the
    frames that know both of its pixels; where no frame does, which cannot be while the reference is known everywhere,
    it is taken as zero. The picture with these derivatives is found by least squares, per channel. Its level, which
    derivatives do not tell, is that of the median of the frames: the mean logs over all known pixels agree. An occluder
    vanishes where it is in the minority, edges included.

    Args:
        aligner: see `SetAligner`.
        darkest: values below are raised to it before the logarithm: the first level above black of eight bits.
    """

    name: ClassVar[str] = "weiss"

    def __init__(self, aligner: str = "sift", darkest: float = 1 / 255) -> None:
        super().__init__(aligner)
        self.darkest = darkest

    def merge(self, frames: Tensor, masks: Tensor) -> Tensor:
        """See `SetAligner.merge`."""
        logs = frames.clamp_min(self.darkest).log()
        along_x = masked_median(logs.diff(dim=4), masks[..., 1:] & masks[..., :-1])
        along_y = masked_median(logs.diff(dim=3), masks[..., 1:, :] & masks[..., :-1, :])
        # One channel at a time: mirrored pictures and their spectra take many times the memory of a picture.
        channels = zip(along_x.unbind(1), along_y.unbind(1), strict=True)
        picture = torch.stack([integrate(*each) for each in channels], dim=1)
        known = masks.any(dim=1)
        missing = (masked_median(logs, masks) - picture) * known
        level = missing.sum(dim=(2, 3), keepdim=True) / known.sum(dim=(2, 3), keepdim=True).clamp_min(1)
        return (picture + level).exp()


def integrate(along_x: Tensor, along_y: Tensor) -> Tensor:
    """The picture whose differences of neighbours are nearest to the given ones by least squares, with mean zero.

    The normal equations are Poisson's equation with Neumann borders. On the picture mirrored to twice its size, borders
    included, they are a convolution, and Fourier's transform solves them exactly.

    Args:
        along_x: `(..., H, W-1)`, value at x + 1 minus value at x.
        along_y: `(..., H-1, W)`, value at y + 1 minus value at y.

    Returns:
        `(..., H, W)`, float64.
    """
    height, width = along_x.shape[-2], along_y.shape[-1]
    x, y = along_x.double(), along_y.double()
    right = F.pad(x, (1, 0)) - F.pad(x, (0, 1)) + F.pad(y, (0, 0, 1, 0)) - F.pad(y, (0, 0, 0, 1))
    right = torch.cat([right, right.flip(-1)], dim=-1)
    spectrum = torch.fft.rfft2(torch.cat([right, right.flip(-2)], dim=-2))
    rows = torch.arange(2 * height, dtype=torch.float64, device=x.device) * (math.pi / height)
    columns = torch.arange(width + 1, dtype=torch.float64, device=x.device) * (math.pi / width)
    laplacian = (2 - 2 * rows.cos())[:, None] + (2 - 2 * columns.cos())
    # The mean is free: the right side has none, and neither has the solution.
    laplacian[0, 0] = torch.inf
    return torch.fft.irfft2(spectrum / laplacian, s=(2 * height, 2 * width))[..., :height, :width]
