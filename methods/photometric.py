"""How two pictures differ when one is seen through given positions: robust, and blind to gain and bias of exposure."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from . import geometry

LEAST_SCALE = 4 / 255
"""Differences below this are noise to any pair of pictures, however well they agree."""
GAINS = (0.5, 2.0)


class Pictures:
    """Reference and source at one size, to be looked at through any positions.

    Args:
        reference: `(1, 3, H, W)` in [0, 1].
        source: `(1, 3, h, w)` in [0, 1].
        unit: `(2,)`, by how many pixels of `source` along x and y a displacement of 1 moves.
    """

    def __init__(self, reference: Tensor, source: Tensor, unit: Tensor) -> None:
        self.reference = reference[0]
        self.source = source
        self.source_size: geometry.Size = (source.shape[-2], source.shape[-1])
        padded = F.pad(source, (1, 1, 1, 1), mode="replicate")
        along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
        along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
        self.derivatives = torch.cat([along_x * unit[0], along_y * unit[1]], dim=1)

    def look(self, positions: Tensor, scale: float | None = None) -> View:
        """The pictures through `positions (1, H, W, 2)` in pixels of the source.

        Args:
            positions: where the reference's pixels lie in the source.
            scale: see `View`; None for twice the standard deviation that the median difference stands for.
        """
        inside = (geometry.coverage(positions[0], self.source_size) >= 0.999).float()
        colours = geometry.sample(self.source, positions)[0]
        weights = inside
        for _ in range(2):
            gain, bias = _balance(colours, self.reference, weights)
            residual = gain * colours + bias - self.reference
            view = View(self, positions, gain, residual, inside, scale or _spread(residual, inside))
            weights = view.weights()
        return view


@dataclass(frozen=True)
class View:
    """Reference and source as one displacement shows them.

    Attributes:
        pictures: what is seen.
        positions: `(1, H, W, 2)`, pixels of the source.
        gain: `(3, 1, 1)`, by which the source's colours come closest to the reference's.
        residual: `(3, H, W)`, the warped and balanced source minus the reference.
        inside: `(H, W)`, 1 where the source covers the reference.
        scale: difference that counts as large.
    """

    pictures: Pictures
    positions: Tensor
    gain: Tensor
    residual: Tensor
    inside: Tensor
    scale: float

    @functools.cached_property
    def slopes(self) -> Tensor:
        """Derivatives `(2, 3, H, W)` of the residual by the displacement along x and y."""
        sampled = geometry.sample(self.pictures.derivatives, self.positions)[0]
        return self.gain * sampled.unflatten(0, (2, 3))

    def weights(self) -> Tensor:
        """Derivative `(H, W)` of the pseudo-Huber function by the squared difference, 0 outside of the overlap."""
        return self.inside / (1 + self.residual.square().mean(0) / self.scale**2).sqrt()

    def error(self) -> float:
        """Mean pseudo-Huber function `2 (sqrt(1 + r^2) - 1)` of the difference r in scales, over the overlap."""
        relative = self.residual.square().mean(0) / self.scale**2
        return float((2 * ((1 + relative).sqrt() - 1) * self.inside).sum() / self.inside.sum())


def _balance(colours: Tensor, reference: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and bias `(3, 1, 1)` that bring `colours (3, H, W)` closest to the reference."""
    total = weights.sum().clamp_min(1e-6)
    mean, wanted = ((each * weights).sum((1, 2), keepdim=True) / total for each in (colours, reference))
    centred = colours - mean
    variance = (centred.square() * weights).sum((1, 2), keepdim=True).clamp_min(1e-6)
    gain = ((centred * (reference - wanted) * weights).sum((1, 2), keepdim=True) / variance).clamp(*GAINS)
    return gain, wanted - gain * mean


def _spread(residual: Tensor, inside: Tensor) -> float:
    """Twice the standard deviation of which the median difference is 0.675; the least where nothing overlaps."""
    covered = residual.square().mean(0)[inside > 0]
    return max(LEAST_SCALE, 2.0 * 1.48 * float(covered.median().sqrt())) if len(covered) else LEAST_SCALE
