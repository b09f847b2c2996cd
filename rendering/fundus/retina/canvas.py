"""The map that is painted: where its pixels lie, and noise on it.

Only sums, products and roots of float32 are taken, element by element, so that a machine or a number of threads does
not change a pixel. Noise belongs to places, not to pixels: a seed shows the same retina at any resolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .spec import Place

Field = npt.NDArray[Any]
"""Numbers (H, W), float32."""
Colour = tuple[float, float, float]
"""Red, green and blue, sRGB in [0, 1]."""
Part = tuple[float, float, float, float]
"""Left, top, right and bottom edge of a part of the map, in its degrees."""

REACH = 105.0
"""Degrees of the map from its centre to its edge, at least."""
WHOLE: Part = (-REACH, -REACH, REACH, REACH)
"""All of the map."""


@dataclass(frozen=True, eq=False)
class Area:
    """A part of the map.

    Attributes:
        scale: degrees of the map per visual degree.
        window: its rows and columns in the map.
        x: of its columns, in visual degrees (W,).
        y: of its rows (H,).
    """

    scale: float
    window: tuple[slice, slice]
    x: Field
    y: Field

    def offset(self, centre: Place, axis: Place) -> tuple[Field, Field]:
        """How far each pixel is from a place along an axis, and square to it: the axis turned by (x, y) to (-y, x)."""
        a, b = np.float32(axis[0]), np.float32(axis[1])
        x, y = (self.x - np.float32(centre[0]))[None, :], (self.y - np.float32(centre[1]))[:, None]
        return a * x + b * y, a * y - b * x


@dataclass(frozen=True)
class Grid:
    """The pixels of a map, or of a part of it.

    Their centres lie at whole multiples of 1 / `density` degrees of the map: a part has the same pixels as the whole.

    Attributes:
        scale: degrees of the map per visual degree.
        density: pixels per degree of the map.
        left: number of the first column, 0 at the pole.
        top: number of the first row, 0 at the pole.
        width: number of columns.
        height: number of rows.
    """

    scale: float
    density: float
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, scale: float, density: float, part: Part) -> Grid:
        """The pixels of a part of the map, in degrees: those in it, and where it cuts between two the outer one."""
        half = math.ceil(REACH * density - 1e-9)
        left, top = (max(-half, math.floor(each * density + 1e-9)) for each in part[:2])
        right, bottom = (min(half, math.ceil(each * density - 1e-9)) for each in part[2:])
        return cls(scale, density, left, top, right - left + 1, bottom - top + 1)

    @property
    def whole(self) -> Area:
        """All of it."""
        return self._area(slice(0, self.height), slice(0, self.width))

    def around(self, centre: Place, radius: float) -> Area:
        """What it holds of a circle's square, in visual degrees; it may be empty."""
        steps = self.density * self.scale
        reach = math.ceil(radius * steps)
        middles = round(centre[1] * steps) - self.top, round(centre[0] * steps) - self.left
        rows, columns = (slice(max(0, middle - reach), max(0, middle + reach + 1)) for middle in middles)
        return self._area(rows, columns)

    def _area(self, rows: slice, columns: slice) -> Area:
        steps = self.density * self.scale
        x, y = np.arange(self.left, self.left + self.width), np.arange(self.top, self.top + self.height)
        return Area(
            self.scale, (rows, columns), (x[columns] / steps).astype(np.float32), (y[rows] / steps).astype(np.float32)
        )


class Lattice:
    """Smooth noise all over the map, with bumps of a size in visual degrees."""

    def __init__(self, generator: np.random.Generator, scale: float, size: float) -> None:
        self._extent, self._size = (REACH + 3) / scale, size
        count = math.ceil(2 * self._extent / size) + 3
        # 3.1 makes the deviation about 1.
        self._values = (generator.random((count, count), dtype=np.float32) * 2 - 1) * np.float32(3.1)

    def on(self, area: Area) -> Field:
        """The noise (H, W) on a part of the map."""
        rows, columns = (self._weights(axis) for axis in (area.y, area.x))
        across = _weighted([self._values[:, columns[0] + k] for k in range(3)], columns[1])
        return _weighted([across[rows[0] + k] for k in range(3)], [weight[:, None] for weight in rows[1]])

    def _weights(self, axis: Field) -> tuple[npt.NDArray[np.int64], list[Field]]:
        """The first of three values for each place, and the weights of all three.

        They are those of the quadratic B-spline, which leaves no creases along the lattice.
        """
        place = (axis + np.float32(self._extent)) * np.float32(1 / self._size)
        first = place.astype(np.int64)
        share = place - first.astype(np.float32) - np.float32(0.5)
        return first, [0.5 * (0.5 - share) ** 2, 0.75 - share * share, 0.5 * (0.5 + share) ** 2]


def _weighted(fields: Sequence[Field], weights: Sequence[Field]) -> Field:
    return fields[0] * weights[0] + fields[1] * weights[1] + fields[2] * weights[2]


class Noise:
    """Noise on a part of the map, drawn from a seed; each call draws another."""

    def __init__(self, seed: int, area: Area) -> None:
        self._generator, self._area = np.random.Generator(np.random.PCG64(seed)), area

    def smooth(self, size: float) -> Field:
        """Noise (H, W) of mean 0 and deviation about 1, with bumps of a size in visual degrees."""
        return Lattice(self._generator, self._area.scale, size).on(self._area)

    def fractal(self, size: float, octaves: int, gain: float = 0.7) -> Field:
        """Octaves of noise from a size on, each half as large and `gain` as strong; deviation about 1."""
        total = self.smooth(size)
        for octave in range(1, octaves):
            # 2.1 instead of 2 keeps the octaves' lattices from falling together.
            total += np.float32(gain**octave) * self.smooth(size / 2.1**octave)
        return total * np.float32(1 / math.sqrt(sum(gain ** (2 * octave) for octave in range(octaves))))

    def table(self, entries: int) -> Field:
        """Random numbers (entries,) from -1 to 1."""
        return self._generator.random(entries, dtype=np.float32) * 2 - 1


def step(low: float, high: float, value: Field) -> Field:
    """0 at and before `low`, 1 at and beyond `high`, smooth between; `low` may be above `high`."""
    share = np.clip((value - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return share * share * (3 - 2 * share)


def bump(distance: Field, radius: float) -> Field:
    """1 at distance 0, a quarter at the radius, towards 0 beyond."""
    near = 1 / (1 + (distance * np.float32(1 / radius)) ** 2)
    return near * near


def length(x: Field, y: Field) -> Field:
    """Length of the vectors (x, y)."""
    return np.sqrt(x * x + y * y)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def lay(planes: Sequence[Field], colour: Colour, cover: Field) -> None:
    """Lay a colour over red, green and blue, which are changed; `cover` is from 0 to 1."""
    for plane, value in zip(planes, colour, strict=True):
        plane += cover * (np.float32(value) - plane)
