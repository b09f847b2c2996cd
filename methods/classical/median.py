"""The pixelwise median of all shots."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .reconstruction import SetAligner

_VALUES_AT_ONCE = 2**24
"""Sorting keeps an index of eight bytes beside each value; in bands of rows it stays below a few hundred megabytes."""


class Median(SetAligner):
    """The median of the known frames, per pixel and channel: what hides a point in less than half of them vanishes."""

    name: ClassVar[str] = "median"

    def merge(self, frames: Tensor, masks: Tensor) -> Tensor:
        """See `SetAligner.merge`."""
        return masked_median(frames, masks)


def masked_median(values: Tensor, masks: Tensor) -> Tensor:
    """The median over T of the values that are known; of an even number of them, the mean of the middle two.

    Args:
        values: `(B, T, C, H, W)`.
        masks: bool `(B, T, 1, H, W)`.

    Returns:
        `(B, C, H, W)`; zero where nothing is known.
    """
    batch, count, channels, _, width = values.shape
    rows = max(1, _VALUES_AT_ONCE // max(batch * count * channels * width, 1))
    bands = zip(values.split(rows, dim=3), masks.split(rows, dim=3), strict=True)
    return torch.cat([_median_of_band(value, mask) for value, mask in bands], dim=2)


def _median_of_band(values: Tensor, masks: Tensor) -> Tensor:
    # What is unknown is sorted behind everything that is known.
    ordered = values.masked_fill(~masks, torch.inf).sort(dim=1).values
    known = masks.sum(dim=1, keepdim=True).expand_as(ordered[:, :1])
    lower = ordered.gather(1, (known - 1).clamp_min(0) // 2)
    upper = ordered.gather(1, known // 2)
    return torch.where(known > 0, (lower + upper) / 2, 0)[:, 0]
