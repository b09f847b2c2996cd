"""The occluders' solids, as vertices, faces and the exact normal at each corner of a face.

The normals are given and not left to Blender: it adds up the faces around a vertex in several threads, in an order that
changes from run to run, and the last digit of a smooth surface's shading with it. A scene must render to the same bytes
each time; and exact normals show no facets either.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Literal

from .cameras import Vector

OccluderShape = Literal["cone", "sphere", "cylinder", "torus", "cube"]

SEGMENTS = 48
"""Corners of a round outline."""
RINGS = 24
"""Parts of a sphere from pole to pole, and of a torus around its tube."""
TUBE = 0.25
"""Radius of a torus's tube; the ring itself has radius 1. Blender's values."""


@dataclass
class Solid:
    """A closed surface of polygons, counter-clockwise seen from outside; radius 1, height 2, side 2."""

    vertices: list[Vector] = field(default_factory=list)
    faces: list[list[int]] = field(default_factory=list)
    """Indices of the vertices."""
    normals: list[list[Vector]] = field(default_factory=list)
    """Unit normal at each corner of each face."""

    def add(self, face: list[int], normals: list[Vector]) -> None:
        """Add a face with the normals at its corners."""
        self.faces.append(face)
        self.normals.append(normals)


def solid(shape: OccluderShape) -> Solid:
    """The solid of a shape, at scale 1, centred at the origin."""
    makers = {"cone": _cone, "sphere": _sphere, "cylinder": _cylinder, "torus": _torus, "cube": _cube}
    return makers[shape]()


def _around(step: float) -> tuple[float, float]:
    angle = math.tau * step / SEGMENTS
    return math.cos(angle), math.sin(angle)


def _circle(height: float) -> list[Vector]:
    return [(*_around(step), height) for step in range(SEGMENTS)]


def _pairs() -> list[tuple[int, int]]:
    """Each corner of an outline and the next."""
    return [(step, (step + 1) % SEGMENTS) for step in range(SEGMENTS)]


def _cap(form: Solid, first: int, up: bool) -> None:
    """Close an outline that begins at vertex `first`."""
    face = list(range(first, first + SEGMENTS))
    form.add(face if up else face[::-1], [(0.0, 0.0, 1.0 if up else -1.0)] * SEGMENTS)


def _cylinder() -> Solid:
    form = Solid([*_circle(-1.0), *_circle(1.0)])
    outward: list[Vector] = _circle(0.0)
    for here, there in _pairs():
        corners = [here, there, there, here]
        form.add([here, there, SEGMENTS + there, SEGMENTS + here], [outward[corner] for corner in corners])
    _cap(form, 0, up=False)
    _cap(form, SEGMENTS, up=True)
    return form


def _cone() -> Solid:
    form = Solid([*_circle(-1.0), (0.0, 0.0, 1.0)])

    def outward(step: float) -> Vector:
        # The side falls by 2 over a radius of 1.
        x, y = _around(step)
        return 2 * x / math.sqrt(5), 2 * y / math.sqrt(5), 1 / math.sqrt(5)

    for here, there in _pairs():
        # The apex has no normal of its own: each face takes the one of its middle.
        form.add([here, there, SEGMENTS], [outward(here), outward(here + 1), outward(here + 0.5)])
    _cap(form, 0, up=False)
    return form


def _sphere() -> Solid:
    form = Solid([(0.0, 0.0, -1.0)])
    for ring in range(1, RINGS):
        tilt = math.pi * ring / RINGS
        radius, height = math.sin(tilt), -math.cos(tilt)
        form.vertices.extend((radius * x, radius * y, height) for x, y, _ in _circle(0.0))
    form.vertices.append((0.0, 0.0, 1.0))
    top, last = len(form.vertices) - 1, 1 + (RINGS - 2) * SEGMENTS
    for here, there in _pairs():
        faces = [[0, 1 + there, 1 + here], [last + here, last + there, top]]
        for ring in range(RINGS - 2):
            lower, upper = 1 + ring * SEGMENTS, 1 + (ring + 1) * SEGMENTS
            faces.append([lower + here, lower + there, upper + there, upper + here])
        for face in faces:
            form.add(face, [form.vertices[corner] for corner in face])
    return form


def _torus() -> Solid:
    form = Solid()
    outward: list[Vector] = []
    for x, y, _ in _circle(0.0):
        for turn in range(RINGS):
            tilt = math.tau * turn / RINGS
            across, height = math.cos(tilt), math.sin(tilt)
            outward.append((across * x, across * y, height))
            form.vertices.append(((1 + TUBE * across) * x, (1 + TUBE * across) * y, TUBE * height))
    for here, there in _pairs():
        for turn in range(RINGS):
            following = (turn + 1) % RINGS
            face = [here * RINGS + turn, there * RINGS + turn, there * RINGS + following, here * RINGS + following]
            form.add(face, [outward[corner] for corner in face])
    return form


def _cube() -> Solid:
    form = Solid([(float(x), float(y), float(z)) for x, y, z in itertools.product((-1, 1), repeat=3)])
    for axis, sign in itertools.product(range(3), (-1.0, 1.0)):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        corners = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
        face = []
        for a, b in corners if sign > 0 else corners[::-1]:
            place = [0.0, 0.0, 0.0]
            place[axis], place[first], place[second] = sign, a, b
            face.append(form.vertices.index((place[0], place[1], place[2])))
        normal = [0.0, 0.0, 0.0]
        normal[axis] = sign
        form.add(face, [(normal[0], normal[1], normal[2])] * 4)
    return form
