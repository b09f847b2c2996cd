"""A smooth displacement over a picture, from few control points, evaluated anywhere and in pieces."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from . import geometry

FADE = 0.5
"""Outside of the frame the field fades to zero over this share of the cells along its side with more of them."""
ROUNDS = 4
"""Of relaxation, for each control point between the frame and where the field is zero."""
CONVOLUTION = -0.75
"""The parameter a of cubic convolution (Keys 1981), as in OpenCV and torch."""


@dataclass(frozen=True)
class CubicField:
    """Displacements that are a separable cubic function of control points, four along each side at any place.

    Outside of the frame the control points are harmonic, up to a distance where they are zero: each is the mean of its
    neighbours. So the field is smooth everywhere and nowhere larger than its control points; what bends along the
    border within a few cells is gone within a few cells, and the rest fades slowly. A value does not depend on which
    others are asked for, to the last bit: a picture may be evaluated in pieces.

    Attributes:
        control: `(B, U, V, 2)`, float32.
        size: of the frame in pixels.
        kernel: "spline", uniform cubic B-splines on `U - 3` x `V - 3` cells over the frame's whole area (see
            `CubicLattice`); "convolution", cubic convolution through the values at the vertices of
            `geometry.regular_mesh(U, V, size)`.
    """

    control: Tensor
    size: geometry.Size
    kernel: Literal["spline", "convolution"]

    def on_grid(self, xs: Tensor, ys: Tensor) -> Tensor:
        """The field `(B, H, W, 2)`, float32, on the grid of all (x, y).

        Args:
            xs: `(W,)`, pixels.
            ys: `(H,)`, pixels.
        """
        control, margin = self._control(xs, ys)
        columns, across = self._taps(xs, control, margin, axis=1)
        rows, down = self._taps(ys, control, margin, axis=0)
        across, down = across.float(), down.float()
        # Four products and sums instead of a matrix product, whose rounding depends on how many rows it has.
        lines = sum_of(down[:, tap, None, None] * control[:, rows[:, tap]] for tap in range(4))
        return sum_of(across[:, tap, None] * lines[:, :, columns[:, tap]] for tap in range(4))

    def at(self, points: Tensor) -> Tensor:
        """The field `(B, K, 2)`, float64, at points `(B, K, 2)` in pixels."""
        control, margin = self._control(points[..., 0], points[..., 1])
        columns, across = self._taps(points[..., 0], control, margin, axis=1)
        rows, down = self._taps(points[..., 1], control, margin, axis=0)
        batch = torch.arange(len(points), device=points.device)[:, None, None, None]
        near = control.double()[batch, rows[..., :, None], columns[..., None, :]]
        return (near * (down[..., :, None] * across[..., None, :])[..., None]).sum((2, 3))

    def _control(self, x: Tensor, y: Tensor) -> tuple[Tensor, int]:
        """Control points for some coordinates, and how many of them lie before the first of `control`."""
        centre_x, centre_y = (self.size[1] - 1) / 2, (self.size[0] - 1) / 2
        within = ((x - centre_x).abs() <= self.size[1] / 2).all() & ((y - centre_y).abs() <= self.size[0] / 2).all()
        return (self.control, 0) if within else self._extended

    @functools.cached_property
    def _extended(self) -> tuple[Tensor, int]:
        """The control points within and around the frame, zero at last, and how many there are before the frame's."""
        reach = max(2, math.ceil(FADE * max(self._cells(0), self._cells(1))))
        # What is interpolated up to the frame's border has one control point more, as torch and OpenCV repeat it.
        repeated = 0 if self.kernel == "spline" else 1
        inner = F.pad(self.control.permute(0, 3, 1, 2).flatten(0, 1)[:, None], (repeated,) * 4, mode="replicate")
        neighbours = inner.new_tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
        field = F.pad(inner, (reach,) * 4)
        for _ in range(ROUNDS * reach):
            field = F.conv2d(field, neighbours[None, None], padding=1)
            field[..., reach:-reach, reach:-reach] = inner
        # Zeros at last, which stand for all beyond.
        field = F.pad(field, (1,) * 4)
        return field[:, 0].unflatten(0, (-1, 2)).permute(0, 2, 3, 1).contiguous(), reach + repeated + 1

    def _cells(self, axis: int) -> int:
        """Number of cells along a side of the frame."""
        return self.control.shape[1 + axis] - (3 if self.kernel == "spline" else 1)

    def _taps(self, coordinates: Tensor, control: Tensor, margin: int, axis: int) -> tuple[Tensor, Tensor]:
        """Indices and weights `(..., 4)`, int64 and float64, of the control points along one side."""
        length = self.size[axis]
        if self.kernel == "spline":
            places = (coordinates.double() + 0.5) * (self._cells(axis) / length)
            first, weights = places.floor(), _spline_weights(places - places.floor())
        else:
            places = coordinates.double() * (self._cells(axis) / max(length - 1, 1))
            first, weights = places.floor() - 1, convolution_weights(places - places.floor(), CONVOLUTION)
        indices = first.long()[..., None] + torch.arange(margin, margin + 4, device=coordinates.device)
        return indices.clamp(0, control.shape[1 + axis] - 1), weights


def sum_of(terms: Iterable[Tensor]) -> Tensor:
    """The sum of tensors, in place of the first."""
    first, *others = terms
    for other in others:
        first += other
    return first


def _spline_weights(offset: Tensor) -> Tensor:
    """Of uniform cubic B-splines at `(...)` in [0, 1) of a cell: `(..., 4)`."""
    rest = 1 - offset
    inner = 2 / 3 - offset.square() + offset**3 / 2
    return torch.stack([rest**3 / 6, inner, 2 / 3 - rest.square() + rest**3 / 2, offset**3 / 6], dim=-1)


def convolution_weights(offset: Tensor, a: float) -> Tensor:
    """Of cubic convolution with the parameter `a` (Keys 1981) at `(...)` in [0, 1] of a cell: `(..., 4)`."""

    def near(distance: Tensor) -> Tensor:
        return ((a + 2) * distance - (a + 3)) * distance.square() + 1

    def far(distance: Tensor) -> Tensor:
        return ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a

    return torch.stack([far(1 + offset), near(offset), near(1 - offset), far(2 - offset)], dim=-1)
