"""A smooth displacement on top of given positions that makes two pictures agree, by Gauss-Newton steps.

The unknowns are the control points of a cubic B-spline lattice (Rueckert et al. 1999). A step's linear system is never
written out: the lattice is separable, so that its product with a vector is four matrix products with the pictures, and
conjugate gradients need only that. So the cells may be as small as the pictures allow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import geometry
from ..classical.mesh import CubicLattice, differences
from ..photometric import Pictures, View

HELD = 0.05
"""Weight of the mean squared distance, in square pixels, by which positions have left the source: without it, what
disagrees along the border would be moved out of sight."""
KEPT_OVERLAP = 0.98
"""A step must keep this share of the given positions' overlap."""
SETTLED = 1e-3
"""The descent ends where a step lowers the energy by a smaller share than this."""
INNER_STEPS = 12
"""Of the conjugate gradients in each step: more would solve exactly what is only an approximation."""
INNER_SETTLED = 1e-4
"""Share of the first residual's energy at which the conjugate gradients end."""


@dataclass(frozen=True)
class State:
    """What one displacement leads to.

    Attributes:
        control: its control points `(2, U, V)`, x first, in pixels of the working size.
        view: the pictures through it.
        beyond: `(2, H, W)`, by how much positions that were inside have left the source, pixels of the working size.
        energy: what is minimised.
    """

    control: Tensor
    view: View
    beyond: Tensor
    energy: float


class BentPair:
    """Reference and source at one size, given positions, and the lattice of a displacement on top.

    Args:
        reference: `(1, 3, H, W)` in [0, 1].
        source: `(1, 3, h, w)` in [0, 1].
        positions: `(1, H, W, 2)`, pixels of `source`, at each pixel of `reference`.
        lattice: over the reference.
        unit: pixels of `source` for one of the working size.
        stiffness: weight of the bending, the mean squared second difference of the control points in square pixels of
            the working size, against the mean photometric error.
    """

    def __init__(
        self,
        reference: Tensor,
        source: Tensor,
        positions: Tensor,
        lattice: CubicLattice,
        unit: float,
        stiffness: float,
    ) -> None:
        self.pictures = Pictures(reference, source, positions.new_full((2,), unit))
        self.positions = positions
        self.unit = unit
        size: geometry.Size = (reference.shape[-2], reference.shape[-1])
        self.down, self.across = (basis.to(reference.device) for basis in lattice.bases(size))
        self.still = reference.new_zeros(2, *lattice.shape)
        one_down, two_down, one_across, two_across = (
            differences(count, order).to(reference) for count in lattice.shape for order in (1, 2)
        )
        self.weight = stiffness / self.still[0].numel()
        self.forms = two_down, two_across, 2 * one_down, one_across
        diagonals = [form.diagonal() for form in self.forms]
        self.bending_diagonal = self.weight * (
            diagonals[0][:, None] + diagonals[1] + diagonals[2][:, None] * diagonals[3]
        )
        inside = geometry.coverage(positions[0], self.pictures.source_size) >= 0.999
        self.held = inside.float()
        self.least_inside = KEPT_OVERLAP * float(self.held.sum())
        self.holding = HELD / float(self.held.sum().clamp_min(1))

    def field(self, control: Tensor) -> Tensor:
        """The displacement `(2, H, W)` of control points `(2, U, V)`."""
        return self.down @ control @ self.across.T

    def gathered(self, maps: Tensor) -> Tensor:
        """The transpose of `field`: what the pixels of maps `(2, H, W)` are to the control points."""
        return self.down.T @ maps @ self.across

    def bend(self, control: Tensor) -> Tensor:
        """Half the gradient `(2, U, V)` of the bending."""
        two_down, two_across, one_down, one_across = self.forms
        return self.weight * (two_down @ control + control @ two_across + one_down @ control @ one_across)

    def look(self, control: Tensor, scale: float | None = None) -> State:
        """See `State`; infinite energy where too little is covered. `scale` as for `Pictures.look`."""
        positions = self.positions + self.unit * self.field(control).permute(1, 2, 0)
        view = self.pictures.look(positions, scale)
        height, width = self.pictures.source_size
        x, y = positions[0].unbind(-1)
        beyond = torch.stack([x - x.clamp(0, width - 1), y - y.clamp(0, height - 1)]) * self.held / self.unit
        if float(view.inside.sum()) < self.least_inside:
            return State(control, view, beyond, float("inf"))
        energy = view.error() + float(self.holding * beyond.square().sum() + (control * self.bend(control)).sum())
        return State(control, view, beyond, energy)


class NormalEquations:
    """Half the Gauss-Newton Hessian and half the gradient of a pair's energy at one state."""

    def __init__(self, pair: BentPair, state: State) -> None:
        self.pair = pair
        view = state.view
        weights = view.weights() / (3 * view.scale**2 * view.inside.sum())
        slope_x, slope_y = view.slopes
        out_x, out_y = (pair.holding * (each != 0) for each in state.beyond)
        self.maps = (
            weights * slope_x.square().sum(0) + out_x,
            weights * (slope_x * slope_y).sum(0),
            weights * slope_y.square().sum(0) + out_y,
        )
        pull = weights * (view.slopes * view.residual).sum(1) + pair.holding * state.beyond
        self.gradient = pair.gathered(pull) + pair.bend(state.control)
        down, across = pair.down.square().T, pair.across.square()
        xx, xy, yy = (down @ each @ across for each in self.maps)
        self.blocks = xx + pair.bending_diagonal, xy, yy + pair.bending_diagonal
        self.mean = (self.blocks[0].mean() + self.blocks[2].mean()) / 2

    def step(self, damping: float) -> Tensor:
        """The step `(2, U, V)` by conjugate gradients, preconditioned by each control point's own 2 x 2 block.

        Args:
            damping: added to the diagonal, as a share of its mean.
        """
        added = damping * self.mean
        xx, xy, yy = self.blocks[0] + added, self.blocks[1], self.blocks[2] + added
        determinant = xx * yy - xy.square()
        solution, direction = torch.zeros_like(self.gradient), torch.zeros_like(self.gradient)
        residual, before, first = -self.gradient, 1.0, 0.0
        for _ in range(INNER_STEPS):
            x, y = residual
            conditioned = torch.stack([yy * x - xy * y, xx * y - xy * x]) / determinant
            left = float((residual * conditioned).sum())
            first = max(first, left)
            if left <= INNER_SETTLED * first:
                break
            direction = conditioned + left / before * direction
            product = self._product(direction) + added * direction
            length = left / float((direction * product).sum())
            solution = solution + length * direction
            residual = residual - length * product
            before = left
        return solution

    def _product(self, direction: Tensor) -> Tensor:
        xx, xy, yy = self.maps
        x, y = self.pair.field(direction)
        return self.pair.gathered(torch.stack([xx * x + xy * y, xy * x + yy * y])) + self.pair.bend(direction)


def descend(pair: BentPair, state: State, steps: int) -> State:
    """The state that damped Gauss-Newton steps (Levenberg-Marquardt) lead to; its energy is no higher than the first's.

    Args:
        pair: what is to agree.
        state: to start from.
        steps: at most so many, counting those that led upwards and were taken back.
    """
    damping, equations = 1e-3, NormalEquations(pair, state)
    for left in reversed(range(steps)):
        reached = pair.look(state.control + equations.step(damping), state.view.scale)
        if not reached.energy < state.energy:
            damping *= 10
            continue
        settled = state.energy - reached.energy < SETTLED * state.energy
        state = reached
        if settled or not left:
            break
        damping, equations = max(damping / 10, 1e-6), NormalEquations(pair, state)
    return state


def halved_cells(control: Tensor) -> Tensor:
    """The same field on a lattice of twice as many cells each way.

    Lane and Riesenfeld (1980): knots are inserted in the middle of each cell, without any loss.

    Args:
        control: `(2, U, V)`.

    Returns:
        `(2, 2 U - 3, 2 V - 3)`.
    """
    for _ in range(2):
        between = (control[..., 1:] + control[..., :-1]) / 2
        at = (between[..., 1:] + between[..., :-1]) / 4 + control[..., 1:-1] / 2
        refined = control.new_empty(*control.shape[:-1], between.shape[-1] + at.shape[-1])
        refined[..., ::2], refined[..., 1::2] = between, at
        control = refined.transpose(-1, -2)
    return control
