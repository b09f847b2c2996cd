"""Where a thing is put together: solids at their places, and what they show."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ...parallax.meshes import Mesh
from ...parallax.scenes import SurfaceSpec
from ...parallax.surfaces import surface_picture
from . import boxes, solids
from .boxes import Side
from .outlines import Flat, Point
from .solids import Skin, Table

Colour = tuple[float, float, float]
"""sRGB, 0 to 1."""
Picture = npt.NDArray[np.uint8]
TEXELS = 160
"""Width and height of the picture of a pattern."""


@dataclass(frozen=True)
class Finish:
    """A covering that is painted when it is asked for."""

    paint: Callable[[], Picture]
    roughness: float
    wraps: bool


class Bench:
    """A thing under construction, seen from one place in it: x to the right, y forward, z up, in metres."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.pieces: list[Mesh] = []
        self.finishes: list[Finish] = []
        self._turn: Table = np.eye(3)
        self._origin: Table = np.zeros(3)

    def at(
        self, x: float = 0.0, y: float = 0.0, z: float = 0.0, *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0
    ) -> Bench:
        """A place of the same thing at (x, y, z) of this one, turned: by `roll` degrees around its y axis, then by
        `pitch` around x, then by `yaw` around z.
        """
        other = Bench(self.rng)
        other.pieces, other.finishes = self.pieces, self.finishes
        other._origin = self._origin + _apply(self._turn, np.array([[x, y, z]]))[0]
        turn = _around(2, yaw)
        for axis, degrees in ((0, pitch), (1, roll)):
            turn = _apply(turn, _around(axis, degrees).T).T
        other._turn = _apply(self._turn, turn.T).T
        return other

    def side(self, x: float = 0.0) -> Bench:
        """A drawing seen from the right: its x axis is forward, its y axis up, its z axis to the right."""
        return self.at(x, yaw=90, pitch=90)

    def face(self, y: float = 0.0, z: float = 0.0) -> Bench:
        """A drawing seen from the front: its x axis is to the left (seen from there to the right), its y axis up."""
        return self.at(0.0, y, z, yaw=180, pitch=90)

    def pattern(
        self, family: str, tint: Colour, tile: float = 0.4, *, size: float = 1.0, roughness: float = 0.7
    ) -> Skin:
        """A surface of `parallax/surfaces.py`: a piece `size` metres wide, shown as `tile` metres."""
        spec = SurfaceSpec(family, int(self.rng.random() * 2**52), (size, size), False, tint, roughness)
        return self._skin(partial(surface_picture, spec, TEXELS, TEXELS), roughness, (tile, tile))

    def plain(self, tint: Colour, roughness: float = 0.5, tile: float = 0.5) -> Skin:
        """Paint, plastic or metal of one colour, slightly worn; the wear repeats after `tile` metres."""
        bright: Colour = (1.2 * tint[0], 1.2 * tint[1], 1.2 * tint[2])
        return self.pattern("paint", bright, tile, roughness=roughness)

    def picture(self, paint: Callable[[], Picture], roughness: float = 0.6, tile: Flat | None = None) -> Skin:
        """A painted picture, one on each side, or tiles of it."""
        return self._skin(paint, roughness, tile)

    def _skin(self, paint: Callable[[], Picture], roughness: float, tile: Flat | None) -> Skin:
        self.finishes.append(Finish(paint, roughness, tile is not None))
        return Skin(len(self.finishes) - 1, tile)

    def add(self, mesh: Mesh) -> None:
        """Put a solid down here."""
        self.pieces.append(
            Mesh(
                _apply(self._turn, mesh.vertices) + self._origin,
                mesh.counts,
                mesh.corners,
                mesh.surfaces,
                _apply(self._turn, mesh.normals),
                mesh.texture,
            )
        )

    def box(
        self,
        skin: Skin,
        low: Point,
        high: Point,
        *,
        bevel: float = 0.0,
        taper: Flat = (1.0, 1.0),
        faces: Mapping[Side, Skin] | None = None,
    ) -> None:
        """A box between two corners (`boxes.box`)."""
        self.add(boxes.box(skin, low, high, bevel=bevel, taper=taper, faces=faces))

    def lathe(self, skin: Skin, profile: Sequence[Flat], *, sides: int = 24, closed: bool = False) -> None:
        """A body around the z axis (`solids.lathe`)."""
        self.add(solids.lathe(skin, profile, sides=sides, closed=closed))

    def post(self, skin: Skin, radius: float, low: float, high: float, *, taper: float = 1.0, sides: int = 24) -> None:
        """A cylinder or cone around the z axis; `taper` is its upper radius over its lower one."""
        top = max(radius * taper, 1e-3)
        self.lathe(skin, [(0.0, low), (radius, low), (top, high), (0.0, high)], sides=sides)

    def hoop(self, skin: Skin, radius: float, thickness: float, *, sides: int = 32, flat: float = 1.0) -> None:
        """A ring around the z axis, round in section; `flat` is its height over its thickness."""
        half = thickness / 2
        angles = [math.tau * step / 10 for step in range(10)]
        section = [(radius + half * math.cos(each), flat * half * math.sin(each)) for each in angles]
        self.lathe(skin, section, sides=sides, closed=True)

    def extrude(
        self,
        skin: Skin,
        outline: Sequence[Flat],
        low: float,
        high: float,
        *,
        bevel: float = 0.0,
        side: Skin | None = None,
    ) -> None:
        """A flat body (`solids.extrude`)."""
        self.add(solids.extrude(skin, outline, low, high, bevel=bevel, side=side))

    def loft(self, skin: Skin, rings: Sequence[Sequence[Point]], *, ends: tuple[bool, bool] = (True, True)) -> None:
        """A body through rings (`solids.loft`)."""
        self.add(solids.loft(skin, rings, ends=ends))

    def tube(
        self, skin: Skin, path: Sequence[Point], radius: float | Sequence[float], *, sides: int = 8, flat: float = 1.0
    ) -> None:
        """A round rod along a line (`solids.tube`)."""
        self.add(solids.tube(skin, path, radius, sides=sides, flat=flat))

    def ball(
        self,
        skin: Skin,
        centre: Point,
        radii: Point | float,
        span: Flat = (-90.0, 90.0),
        *,
        sides: int = 20,
        rings: int = 10,
    ) -> None:
        """An ellipsoid (`solids.ball`)."""
        size = (radii, radii, radii) if isinstance(radii, float) else radii
        self.at(*centre).add(solids.ball(skin, size, span, sides=sides, rings=rings))


def _around(axis: int, degrees: float) -> Table:
    """A turn around an axis; quarter turns are exact."""
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    if degrees % 90 == 0:
        cosine, sine = float(round(cosine)), float(round(sine))
    turn = np.eye(3)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    turn[a, a] = turn[b, b] = cosine
    turn[b, a], turn[a, b] = sine, -sine
    return turn


def _apply(turn: Table, vectors: Table) -> Table:
    """Turned vectors (N, 3); one operation after the other, so that the last digit is the same everywhere."""
    turned = vectors[:, :1] * turn[:, 0]
    for axis in (1, 2):
        turned += vectors[:, axis : axis + 1] * turn[:, axis]
    return turned
