"""The parts of a scene as polygons in the world, with exact normals and texture coordinates.

As in `shapes.py`, normals are given and not left to Blender, so that a scene renders to the same bytes each time. What
is rendered are these polygons: a cylinder has `SEGMENTS` sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .scenes import PartSpec, SurfaceSpec

SEGMENTS = 32
"""Sides of a cylinder, and of a sphere around its axis."""
RINGS = 16
"""Parts of a sphere from pole to pole."""

Table = npt.NDArray[np.float64]


@dataclass
class Form:
    """A solid around the origin: polygons counter-clockwise seen from outside, one row of a table per corner."""

    vertices: Table
    """(V, 3), in units of the half extents, along the axes (across, across, axis)."""
    counts: list[int] = field(default_factory=list)
    """Corners of each face."""
    corners: list[int] = field(default_factory=list)
    """Vertex of each corner."""
    normals: list[tuple[float, float, float]] = field(default_factory=list)
    """Outward direction at each corner, for half extents of 1; not of unit length."""
    charts: list[tuple[float, float, int, int]] = field(default_factory=list)
    """Texture coordinates at each corner, in half extents of two axes, and these axes."""

    def add(
        self,
        face: Sequence[int],
        normals: Sequence[tuple[float, float, float]],
        charts: Sequence[tuple[float, float, int, int]],
    ) -> None:
        """Add a face."""
        self.counts.append(len(face))
        self.corners.extend(face)
        self.normals.extend(normals)
        self.charts.extend(charts)


@dataclass(frozen=True)
class Mesh:
    """Parts, in the world."""

    vertices: Table
    """(V, 3), in metres."""
    counts: npt.NDArray[np.int32]
    """Corners of each face."""
    corners: npt.NDArray[np.int32]
    """Vertex of each corner."""
    surfaces: npt.NDArray[np.int32]
    """Index of each face's surface."""
    normals: Table
    """Unit normal (C, 3) at each corner."""
    texture: Table
    """Texture coordinates (C, 2) at each corner, 1 for one tile."""


def scene_mesh(parts: Sequence[PartSpec], surfaces: Sequence[SurfaceSpec]) -> Mesh:
    """All parts of a scene in one mesh: a ray then searches one tree instead of many that overlap."""
    pieces = [_mesh(part, surfaces[part.surface], place) for place, part in enumerate(parts)]
    first = np.cumsum([0, *(len(each.vertices) for each in pieces[:-1])])
    return Mesh(
        np.concatenate([each.vertices for each in pieces]),
        np.concatenate([each.counts for each in pieces]),
        np.concatenate([each.corners + start for each, start in zip(pieces, first, strict=True)]).astype(np.int32),
        np.concatenate([each.surfaces for each in pieces]),
        np.concatenate([each.normals for each in pieces]),
        np.concatenate([each.texture for each in pieces]),
    )


def _mesh(part: PartSpec, surface: SurfaceSpec, place: int) -> Mesh:
    form = {"box": _BOX, "cylinder": _CYLINDER, "sphere": _SPHERE}[part.shape]
    order = [(part.axis + 1) % 3, (part.axis + 2) % 3, part.axis]
    half = np.asarray(part.half)[order]
    along = (1 + form.vertices[:, 2:]) / 2
    spread = 1 + along * (np.asarray(part.taper) - 1)
    own = np.column_stack([form.vertices[:, :2] * spread, form.vertices[:, 2]]) * half
    normals = np.asarray(form.normals)
    if part.shape != "sphere":
        # A tapered side leans towards its narrow end; the normal of a plane scales with the inverse of the extents.
        lean = normals[:, 0] ** 2 * (1 - part.taper[0]) / 2 + normals[:, 1] ** 2 * (1 - part.taper[1]) / 2
        normals = np.column_stack([normals[:, :2], normals[:, 2] + lean])
    normals = normals / half
    normals /= np.sqrt((normals * normals).sum(axis=1, keepdims=True))
    return Mesh(
        _to_world(own, order, part) + np.asarray(part.centre),
        np.asarray(form.counts, np.int32),
        np.asarray(form.corners, np.int32),
        np.full(len(form.counts), part.surface, np.int32),
        _to_world(normals, order, part),
        _texture(form, half, surface, place),
    )


def _to_world(vectors: Table, order: list[int], part: PartSpec) -> Table:
    own = np.empty_like(vectors)
    own[:, order] = vectors
    cosine, sine = part.turn
    return np.column_stack([cosine * own[:, 0] - sine * own[:, 1], sine * own[:, 0] + cosine * own[:, 1], own[:, 2]])


def _texture(form: Form, half: Table, surface: SurfaceSpec, place: int) -> Table:
    charts = np.asarray(form.charts)
    values = charts[:, :2]
    if surface.fitted:
        return (values + 1) / 2
    extents = np.column_stack([half[charts[:, axis].astype(int)] for axis in (2, 3)])
    # Parts of one surface show different places of it.
    shift = np.array([0.618034 * place % 1, 0.754878 * place % 1])
    return values * extents / np.asarray(surface.tile) + shift


def _box() -> Form:
    form = Form(np.array([[x, y, z] for z in (-1.0, 1.0) for y in (-1.0, 1.0) for x in (-1.0, 1.0)]))
    for axis in range(3):
        for sign in (-1, 1):
            # Seen from outside, `wide` runs to the right and `high` up; on upright sides `high` is the last axis.
            wide, high = ((1, 2), (0, 2), (0, 1))[axis]
            mirror = sign * (1, -1, 1)[axis]
            square = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
            face, charts = [], []
            for right, up in square:
                corner = [0, 0, 0]
                corner[axis], corner[wide], corner[high] = sign, right * mirror, up
                face.append((corner[0] + 1) // 2 + (corner[1] + 1) + 2 * (corner[2] + 1))
                charts.append((float(right), float(up), wide, high))
            normal = [0.0, 0.0, 0.0]
            normal[axis] = float(sign)
            form.add(face, [(normal[0], normal[1], normal[2])] * 4, charts)
    return form


def _around(step: float) -> tuple[float, float]:
    angle = math.tau * step / SEGMENTS
    return math.cos(angle), math.sin(angle)


def _cylinder() -> Form:
    ring = [_around(step) for step in range(SEGMENTS)]
    form = Form(np.array([[x, y, z] for z in (-1.0, 1.0) for x, y in ring]))
    # The chart goes around the outline: pi half extents to each side.
    for step in range(SEGMENTS):
        after = (step + 1) % SEGMENTS
        begin, end = (math.tau * place / SEGMENTS - math.pi for place in (step, step + 1))
        normals = [(*ring[each], 0.0) for each in (step, after, after, step)]
        charts = [(begin, -1.0, 0, 2), (end, -1.0, 0, 2), (end, 1.0, 0, 2), (begin, 1.0, 0, 2)]
        form.add([step, after, SEGMENTS + after, SEGMENTS + step], normals, charts)
    for first, sign in ((0, -1.0), (SEGMENTS, 1.0)):
        order = list(range(SEGMENTS)) if sign > 0 else list(reversed(range(SEGMENTS)))
        charts = [(sign * ring[each][0], ring[each][1], 0, 1) for each in order]
        form.add([first + each for each in order], [(0.0, 0.0, sign)] * SEGMENTS, charts)
    return form


def _sphere() -> Form:
    rows = [[0.0, 0.0, -1.0]]
    for ring in range(1, RINGS):
        tilt = math.pi * ring / RINGS
        rows.extend([math.sin(tilt) * x, math.sin(tilt) * y, -math.cos(tilt)] for x, y in map(_around, range(SEGMENTS)))
    rows.append([0.0, 0.0, 1.0])
    form, top, last = Form(np.array(rows)), len(rows) - 1, 1 + (RINGS - 2) * SEGMENTS

    def add(face: list[int], places: list[tuple[float, float]]) -> None:
        normals = [(rows[each][0], rows[each][1], rows[each][2]) for each in face]
        scale = math.tau / SEGMENTS, math.pi / RINGS
        form.add(face, normals, [(across * scale[0], up * scale[1], 0, 2) for across, up in places])

    for step in range(SEGMENTS):
        after = (step + 1) % SEGMENTS
        add([0, 1 + after, 1 + step], [(step + 0.5, 0), (step + 1, 1), (step, 1)])
        for ring in range(1, RINGS - 1):
            lower, upper = 1 + (ring - 1) * SEGMENTS, 1 + ring * SEGMENTS
            places = [(step, ring), (step + 1, ring), (step + 1, ring + 1), (step, ring + 1)]
            add([lower + step, lower + after, upper + after, upper + step], [(float(a), float(b)) for a, b in places])
        add([last + step, last + after, top], [(step, RINGS - 1), (step + 1, RINGS - 1), (step + 0.5, RINGS)])
    return form


_BOX, _CYLINDER, _SPHERE = _box(), _cylinder(), _sphere()
