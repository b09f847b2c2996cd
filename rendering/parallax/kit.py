"""Where the layouts put down their parts and surfaces; walls with openings, and colours.

Lengths in metres. A `Kit` has a place: what is built with it is given in that place's own axes (x to the right, y away,
z up), and `at` gives a kit at another place of the same scene.
"""

from __future__ import annotations

import colorsys
import random
from collections.abc import Sequence

from ..cameras import Vector
from ..streams import choice, uniform
from .geometry import AHEAD, combine
from .scenes import Colour, LampSpec, PartSpec, Shape, SurfaceSpec, Turn

Opening = tuple[float, float]
"""Where an opening begins and ends."""

SLIM = 0.02
"""Least taper: a true tip would have a side without area."""


class Kit:
    """A scene under construction, seen from one place in it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.parts: list[PartSpec] = []
        self.surfaces: list[SurfaceSpec] = []
        self.lamps: list[LampSpec] = []
        self.common: dict[str, int] = {}
        self.origin: Vector = (0.0, 0.0, 0.0)
        self.turn: Turn = AHEAD

    def at(self, x: float, y: float, z: float = 0.0, turn: Turn = AHEAD) -> Kit:
        """A kit for the same scene whose place is (x, y, z) of this one's, turned."""
        other = Kit(self.rng)
        other.parts, other.surfaces, other.lamps, other.common = self.parts, self.surfaces, self.lamps, self.common
        other.origin, other.turn = self.place((x, y, z)), combine(self.turn, turn)
        return other

    def place(self, point: Vector) -> Vector:
        """A point of this place in the world."""
        (cosine, sine), (x, y, z) = self.turn, point
        left, back, low = self.origin
        return left + cosine * x - sine * y, back + sine * x + cosine * y, low + z

    def surface(
        self,
        families: str | Sequence[str],
        tint: Colour,
        tile: tuple[float, float] = (2.0, 2.0),
        *,
        fitted: bool = False,
        roughness: float = 0.8,
    ) -> int:
        """A new surface, its pattern drawn from the families; its index."""
        family = families if isinstance(families, str) else choice(self.rng, families)
        seed = int(self.rng.random() * 2**52)
        self.surfaces.append(SurfaceSpec(family, seed, tile, fitted, tint, roughness))
        return len(self.surfaces) - 1

    def shared(
        self,
        name: str,
        families: str | Sequence[str],
        tint: Colour,
        tile: tuple[float, float] = (2.0, 2.0),
        *,
        roughness: float = 0.8,
    ) -> int:
        """The scene's one surface of this name, new where it has none yet: textures take time to paint."""
        if name not in self.common:
            self.common[name] = self.surface(families, tint, tile, roughness=roughness)
        return self.common[name]

    def box(
        self, surface: int, low: Vector, high: Vector, *, taper: tuple[float, float] = (1.0, 1.0), axis: int = 2
    ) -> None:
        """A box between two corners."""
        self._add("box", surface, low, high, axis, taper)

    def cylinder(self, surface: int, low: Vector, high: Vector, *, taper: float = 1.0, axis: int = 2) -> None:
        """A cylinder or cone in the box between two corners."""
        self._add("cylinder", surface, low, high, axis, (taper, taper))

    def post(self, surface: int, foot: Vector, radius: float, height: float, *, taper: float = 1.0) -> None:
        """An upright cylinder on a point."""
        x, y, z = foot
        self.cylinder(surface, (x - radius, y - radius, z), (x + radius, y + radius, z + height), taper=taper)

    def ball(self, surface: int, centre: Vector, radius: float, *, flat: float = 1.0) -> None:
        """A sphere, `flat` times as high as wide."""
        x, y, z = centre
        tall = radius * flat
        self._add("sphere", surface, (x - radius, y - radius, z - tall), (x + radius, y + radius, z + tall), 2, (1, 1))

    def _add(
        self, shape: Shape, surface: int, low: Vector, high: Vector, axis: int, taper: tuple[float, float]
    ) -> None:
        middle = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, (low[2] + high[2]) / 2)
        half = ((high[0] - low[0]) / 2, (high[1] - low[1]) / 2, (high[2] - low[2]) / 2)
        narrow = (max(SLIM, float(taper[0])), max(SLIM, float(taper[1])))
        self.parts.append(PartSpec(shape, self.place(middle), half, self.turn, surface, axis, narrow))

    def wall(
        self,
        surface: int,
        length: float,
        height: float,
        thickness: float,
        columns: Sequence[tuple[Opening, Sequence[Opening]]] = (),
    ) -> None:
        """A wall from x = 0 to its length, its front at y = 0, its back at its thickness.

        `columns` are the openings, from left to right: where they lie across, and where each lies in height.
        """
        left = 0.0
        for (start, end), heights in columns:
            self.box(surface, (left, 0, 0), (start, thickness, height))
            floor = 0.0
            for low, high in heights:
                if low > floor:
                    self.box(surface, (start, 0, floor), (end, thickness, low))
                floor = high
            if floor < height:
                self.box(surface, (start, 0, floor), (end, thickness, height))
            left = end
        self.box(surface, (left, 0, 0), (length, thickness, height))

    def tint(self, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
        """A colour of any hue."""
        return colorsys.hsv_to_rgb(self.rng.random(), uniform(self.rng, saturation), uniform(self.rng, value))

    def warm_tint(self, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
        """A colour between red and yellow, as of wood, brick and plaster."""
        hue = 0.03 + 0.09 * self.rng.random()
        return colorsys.hsv_to_rgb(hue, uniform(self.rng, saturation), uniform(self.rng, value))

    def several(self, number: int, families: Sequence[str], value: tuple[float, float]) -> list[int]:
        """Surfaces of different strong colours, for small things."""
        return [
            self.surface(families, self.tint((0.25, 0.75), value), (0.5, 0.5), roughness=0.6) for _ in range(number)
        ]
