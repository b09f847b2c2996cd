"""Adaptation to the pair at hand: a displacement on top of the prediction, which makes the two pictures agree."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import geometry
from ..classical.flow_aligner import resized
from ..classical.mesh import CubicLattice
from .confidence import LEAST_OVERLAP
from .displacement import BentPair, descend, halved_cells


@dataclass(frozen=True)
class Level:
    """A part of the way from coarse to fine."""

    reduction: int
    """Of the working size."""
    halvings: int
    """How often the cells have been halved, from those of `COARSEST_CELL`."""
    stiffness: float
    """Weight of the bending against the mean photometric error, per square pixel of the working size."""


COARSEST_CELL = 32
"""Side of the first level's cells in pixels of the working size, as nearly as whole cells allow."""
LEVELS = (Level(8, 0, 1e-3), Level(4, 1, 1e-3), Level(2, 2, 3e-3), Level(1, 3, 3e-3))


@dataclass(frozen=True)
class Adapted:
    """What the adaptation of a batch found.

    Attributes:
        lattice: of the displacement, over the reference.
        control: its control points `(B, U, V, 2)`, float32, in pixels of the source at the working size.
    """

    lattice: CubicLattice
    control: Tensor


@torch.no_grad()
def adapt(reference: Tensor, source: Tensor, positions: Tensor, steps: int) -> Adapted:
    """The smooth displacement on top of `positions` with which the pictures agree best.

    Coarse to fine, damped Gauss-Newton steps lower the mean over the overlap of a pseudo-Huber function of the colour
    difference, plus the bending of a cubic B-spline lattice. Each channel's gain and bias are compensated; differences
    from occlusion and from light that is no gain weigh less. Positions that have left the source are drawn back. Each
    level starts from the level before or from no displacement, whichever has the lower energy, and ends where a step
    gains less than 0.1 %: the answer's energy is never higher than that of no displacement, at no less than 98 % of the
    overlap. It is zero where less than 5 % of the reference is covered.

    Args:
        reference: `(B, 3, H, W)` in [0, 1] at the working size.
        source: the same.
        positions: `(B, H, W, 2)`, pixels of the source, for each pixel of the reference.
        steps: at most so many, shared evenly by the levels; 0 for no displacement.
    """
    size: geometry.Size = (reference.shape[-2], reference.shape[-1])
    found = [
        _adapt_one(a[None].float(), b[None].float(), start[None].float(), steps)
        for a, b, start in zip(reference, source, positions, strict=True)
    ]
    return Adapted(_lattice(size, LEVELS[-1]), torch.stack(found).permute(0, 2, 3, 1))


def _adapt_one(reference: Tensor, source: Tensor, positions: Tensor, steps: int) -> Tensor:
    """Control points `(2, U, V)` of the last level, of one pair."""
    size: geometry.Size = (reference.shape[-2], reference.shape[-1])
    control = reference.new_zeros(2, *_lattice(size, LEVELS[0]).shape)
    halvings = 0
    covered = float((geometry.coverage(positions, size) >= 0.999).float().mean())
    for number, level in enumerate(LEVELS):
        for _ in range(level.halvings - halvings):
            control = halved_cells(control)
        halvings = level.halvings
        # What does not divide evenly is left to the finest levels.
        share = (steps + number) // len(LEVELS)
        if share and covered >= LEAST_OVERLAP:
            pair = _reduced(reference, source, positions, level)
            scale = pair.look(control).view.scale
            starts = [pair.look(each, scale) for each in (control, pair.still)]
            control = descend(pair, min(starts, key=lambda state: state.energy), share).control
    return control


def _reduced(reference: Tensor, source: Tensor, positions: Tensor, level: Level) -> BentPair:
    size: geometry.Size = (reference.shape[-2], reference.shape[-1])
    coarse: geometry.Size = (size[0] // level.reduction, size[1] // level.reduction)
    to_coarse = geometry.resize_transform(size, coarse, "area", device=positions.device)[None].float()
    at_coarse = resized(positions.permute(0, 3, 1, 2), coarse).permute(0, 2, 3, 1)
    return BentPair(
        resized(reference, coarse),
        resized(source, coarse),
        geometry.transform_points(to_coarse, at_coarse),
        _lattice(size, level),
        1 / level.reduction,
        level.stiffness,
    )


def _lattice(size: geometry.Size, level: Level) -> CubicLattice:
    rows, columns = (max(1, round(side / COARSEST_CELL)) * 2**level.halvings for side in size)
    return CubicLattice(rows, columns)
