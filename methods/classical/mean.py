"""The mean of all shots."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from .reconstruction import SetAligner


class Mean(SetAligner):
    """The mean of the known frames, pixel by pixel: occluders fade with the number of shots, but never vanish."""

    name: ClassVar[str] = "mean"

    def merge(self, frames: Tensor, masks: Tensor) -> Tensor:
        """See `SetAligner.merge`."""
        return (frames * masks).sum(dim=1) / masks.sum(dim=1).clamp_min(1)
