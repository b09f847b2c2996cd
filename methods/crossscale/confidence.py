"""A plain measure of how well two pictures match."""

from __future__ import annotations

import torch
from torch import Tensor

from ..jnd import luma

LEAST_OVERLAP = 0.05
"""Share of the frame below which a match says nothing."""


def overlap_correlation(reference: Tensor, warped: Tensor, overlap: Tensor) -> Tensor:
    """Normalised cross-correlation of luma in the overlap, `(B,)` in [0, 1]; blind to gain and offset of exposure.

    Args:
        reference: `(B, 3, H, W)` in [0, 1].
        warped: like `reference`.
        overlap: `(B, 1, H, W)`, bool.

    Returns:
        The correlation; 0 where it is negative, where less than `LEAST_OVERLAP` of the frame overlaps, and where a
        picture has no contrast.
    """
    weight = overlap.flatten(1).double()
    count = weight.sum(1, keepdim=True).clamp_min(1)
    a, b = (luma(picture).flatten(1).double() for picture in (reference, warped))
    a, b = ((grey - (grey * weight).sum(1, keepdim=True) / count) * weight for grey in (a, b))
    # Contrast below a hundredth of a grey level is rounding error.
    floor = 1e-4 * count[:, 0]
    energy = (a.square().sum(1).clamp_min(floor) * b.square().sum(1).clamp_min(floor)).sqrt()
    correlation = ((a * b).sum(1) / energy).clamp(0, 1)
    return torch.where(weight.mean(1) >= LEAST_OVERLAP, correlation, 0.0).float()
