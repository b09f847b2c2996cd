"""The lower bound: no alignment."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .planar import PlanarAligner


class Identity(PlanarAligner):
    """Leaves every pixel of the source where it is; a source of another size keeps its top-left corner."""

    name: ClassVar[str] = "identity"

    def estimate(self, reference: Tensor, source: Tensor) -> tuple[Tensor, float]:
        """See `PlanarAligner.estimate`. The confidence is 1: what is promised is kept."""
        return torch.eye(3, dtype=torch.float64), 1.0
