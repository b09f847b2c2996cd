"""Vessels as strokes on the map, with the exact share of each pixel that they cover."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .canvas import Field, Grid
from .growth import Indices
from .sphere import TINY, Places

Numbers = npt.NDArray[Any]

CHUNK = 400_000
"""Pixels that are worked on at once."""


@dataclass(frozen=True)
class Brush:
    """The pixels around pieces of vessels. Lengths are in pixels of the map along its radii.

    Attributes:
        distance: from each pixel's centre to the middle line of its piece (k, s, s).
        half: half the width of each piece (k, 1, 1).
        pixel: extent of a pixel across each piece (k, 1, 1).
    """

    distance: Numbers
    half: Numbers
    pixel: Numbers

    def cover(self, share: float = 1.0) -> Numbers:
        """How much of each pixel the middle `share` of the vessel's width covers: a box filter across the vessel."""
        edge, reach = self.half * share, 0.5 * self.pixel
        inside = np.clip(self.distance + reach, -edge, edge) - np.clip(self.distance - reach, -edge, edge)
        return inside / self.pixel


Ink = Callable[[Brush], list[Numbers]]
"""What is painted: values (k, s, s) for each of several layers; of pieces that overlap the largest is kept."""


def paint_strokes(
    grid: Grid, starts: Places, ends: Places, widths: npt.NDArray[np.float64], ink: Ink, layers: int
) -> list[Field]:
    """Paint straight pieces of vessels.

    Around the pole the map stretches the sphere, by the angle from the pole over its sine; widths and distances are the
    sphere's.

    Args:
        grid: the map.
        starts: where the pieces begin (n, 2), in degrees of the map.
        ends: where they end.
        widths: their diameters (n,), in degrees of the map.
        ink: what is painted.
        layers: how many layers that is.

    Returns:
        The layers (H, W), float32, 0 where nothing was painted.
    """
    first, last = starts * grid.density, ends * grid.density
    middle = (first + last) / 2
    radius = np.sqrt((middle * middle).sum(axis=1) + TINY)
    tangent = np.stack([-middle[:, 1], middle[:, 0]], axis=1) / radius[:, None]
    angle = np.maximum(radius / grid.density * (math.pi / 180), 1e-6)
    shrink = np.sin(angle) / angle
    half = widths * (grid.density / 2)
    pad = ((half + 1.0) / shrink)[:, None]
    low = np.floor(np.minimum(first, last) - pad).astype(np.int64)
    high = np.ceil(np.maximum(first, last) + pad).astype(np.int64)
    edge, end = np.array([grid.left, grid.top]), np.array([grid.left + grid.width, grid.top + grid.height])
    seen = ((high >= edge) & (low < end)).all(axis=1)
    canvas = [np.zeros(grid.width * grid.height, np.float32) for _ in range(layers)]
    for side, chosen in _batches(np.flatnonzero(seen), (high - low).max(axis=1) + 1):
        across = low[chosen, :1, None] + np.arange(side)
        down = low[chosen, 1:, None] + np.arange(side)[:, None]
        brush = _brush(across, down, first[chosen], last[chosen], tangent[chosen], shrink[chosen], half[chosen])
        column, row = across - grid.left, down - grid.top
        inside = (column >= 0) & (column < grid.width) & (row >= 0) & (row < grid.height)
        for layer, values in zip(canvas, ink(brush), strict=True):
            marked = inside & (values > 0)
            np.maximum.at(layer, (row * grid.width + column)[marked], values[marked].astype(np.float32))
    return [layer.reshape(grid.height, grid.width) for layer in canvas]


def _batches(pieces: Indices, extent: Indices) -> Iterator[tuple[int, Indices]]:
    """Pieces of about the same extent: the side of the square that holds each, and their indices."""
    sides = (extent[pieces] + 1) // 2 * 2
    for side in np.unique(sides).tolist():
        alike = pieces[sides == side]
        number = max(1, CHUNK // (side * side))
        for start in range(0, len(alike), number):
            yield side, alike[start : start + number]


def _brush(
    across: Numbers, down: Numbers, first: Places, last: Places, tangent: Numbers, shrink: Numbers, half: Numbers
) -> Brush:
    """Distances to the pieces: `across` (k, 1, s) and `down` (k, s, 1) are the pixels around each."""

    def flat(vectors: Numbers) -> Numbers:
        # As on the sphere: shorter along the tangent of the circle around the pole.
        return vectors + ((shrink - 1) * (vectors * tangent).sum(axis=1))[:, None] * tangent

    line = flat(last - first)
    length = np.sqrt((line * line).sum(axis=1) + TINY)
    way = line / length[:, None]
    normal = np.stack([-way[:, 1], way[:, 0]], axis=1)
    middle = (first + last) / 2
    x, y = across - middle[:, :1, None], down - middle[:, 1:, None]

    def measured(direction: Numbers) -> Numbers:
        one = flat(direction)
        return x * one[:, :1, None] + y * one[:, 1:, None]

    beyond = np.maximum(0.0, np.abs(measured(way)) - (length / 2)[:, None, None])
    distance = np.sqrt(measured(normal) ** 2 + beyond * beyond)
    pixel = np.sqrt((flat(normal) ** 2).sum(axis=1))
    return Brush(distance, half[:, None, None], pixel[:, None, None])
