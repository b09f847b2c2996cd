"""Solids as polygons with exact normals and texture coordinates.

As in `parallax/meshes.py`, normals are given and not left to Blender. What turns by more than `CREASE` degrees has an
edge there, the rest is smooth. All faces are flat, or quadrilaterals of a curved surface, and counter-clockwise seen
from outside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ...parallax.meshes import Mesh
from .outlines import Flat, Point, triangles

CREASE = 40.0
Table = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Skin:
    """What a face shows."""

    number: int
    """Index of its covering."""
    tile: Flat | None
    """Width and height of one picture, in metres; None stretches one over each side."""


def join(pieces: Sequence[Mesh]) -> Mesh:
    """Several meshes as one."""
    first = np.cumsum([0, *(len(each.vertices) for each in pieces[:-1])])
    return Mesh(
        np.concatenate([each.vertices for each in pieces]),
        np.concatenate([each.counts for each in pieces]),
        np.concatenate([each.corners + start for each, start in zip(pieces, first, strict=True)]).astype(np.int32),
        np.concatenate([each.surfaces for each in pieces]),
        np.concatenate([each.normals for each in pieces]),
        np.concatenate([each.texture for each in pieces]),
    )


def unit(vectors: Table) -> Table:
    """Vectors (..., 3), brought to length 1."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return vectors / np.sqrt(x * x + y * y + z * z)[..., None]


def cross(a: Table, b: Table) -> Table:
    """Cross products of vectors (..., 3)."""
    x, y, z = (a[..., each] for each in range(3))
    u, v, w = (b[..., each] for each in range(3))
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=-1)


def grid(skin: Skin, points: Table, normals: Table, places: Table) -> Mesh:
    """A curved sheet.

    Args:
        skin: what it shows.
        points: (R, C, 3); seen from outside, columns go to the right and rows up. Where two neighbours of a row fall
            together, as at a pole, there is a triangle.
        normals: (R, C, 3), of any length.
        places: (R, C, 2), metres to the right and up on the sheet.
    """
    rows, columns = points.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    cells = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], axis=2).reshape(-1, 4)
    spots = points.reshape(-1, 3)
    below = (spots[cells[:, 0]] == spots[cells[:, 1]]).all(axis=1)
    above = (spots[cells[:, 2]] == spots[cells[:, 3]]).all(axis=1)
    whole = cells[~below & ~above]
    tips = np.concatenate([cells[below & ~above][:, [0, 2, 3]], cells[above & ~below][:, [0, 1, 2]]])
    corners = np.concatenate([whole.ravel(), tips.ravel()]).astype(np.int32)
    counts = np.repeat([4, 3], [len(whole), len(tips)])
    return patch(skin, spots, counts, corners, normals.reshape(-1, 3)[corners], chart(skin, places)[corners])


def patch(
    skin: Skin, points: Table, counts: Sequence[int] | Numbers, corners: Numbers, normals: Table, texture: Table
) -> Mesh:
    """Faces with one skin; normals are brought to length 1."""
    return Mesh(
        np.asarray(points, np.float64),
        np.asarray(counts, np.int32),
        np.asarray(corners, np.int32),
        np.full(len(counts), skin.number, np.int32),
        unit(np.asarray(normals, np.float64)),
        np.asarray(texture, np.float64),
    )


def chart(skin: Skin, places: Table) -> Table:
    """Texture coordinates (N, 2) of places (..., 2) in metres."""
    places = places.reshape(-1, 2)
    if skin.tile:
        return places / np.asarray(skin.tile)
    low = places.min(axis=0)
    return (places - low) / (places.max(axis=0) - low)


def _runs(points: Sequence[Flat], *, closed: bool) -> list[tuple[list[int], list[Flat]]]:
    """The smooth parts of a line between its edges: indices, and the normal to the right at each."""
    count = len(points)
    segments = [_right(points[each], points[(each + 1) % count]) for each in range(count if closed else count - 1)]
    least = math.cos(math.radians(CREASE))
    ends = set() if closed else {0, count - 1}
    for place in range(0 if closed else 1, len(segments)):
        (a, b), (c, d) = segments[place - 1], segments[place]
        if a * c + b * d < least:
            ends.add(place)

    def normal(place: int, own: int) -> Flat:
        if place in ends:
            return segments[own]
        (a, b), (c, d) = segments[place - 1], segments[place]
        return a + c, b + d

    start = min(ends, default=0)
    runs: list[tuple[list[int], list[Flat]]] = []
    for step in range(start, start + len(segments)):
        here, after = step % count, (step + 1) % count
        if not runs or here in ends:
            runs.append(([here], [normal(here, here)]))
        runs[-1][0].append(after)
        runs[-1][1].append(normal(after, here))
    return runs


def _right(a: Flat, b: Flat) -> Flat:
    """The unit normal to the right of a way from a to b."""
    length = math.dist(a, b)
    return (b[1] - a[1]) / length, (a[0] - b[0]) / length


def _lengths(points: Sequence[Flat]) -> list[float]:
    """How far along a line each of its points is."""
    total = [0.0]
    for a, b in pairwise(points):
        total.append(total[-1] + math.dist(a, b))
    return total


def lathe(skin: Skin, profile: Sequence[Flat], *, sides: int = 24, closed: bool = False) -> Mesh:
    """A body around the z axis.

    Args:
        skin: what it shows; flat parts show it from above or below, each other part once around.
        profile: radius and height, so that the outside is to the right of the way.
        sides: of a circle.
        closed: whether the profile goes back to its first point, as that of a ring does.
    """
    angles = [math.tau * step / sides for step in range(sides + 1)]
    across = np.array([math.cos(each) for each in angles[:-1]] + [1.0])
    along = np.array([math.sin(each) for each in angles[:-1]] + [0.0])
    pieces = []
    for indices, normals in _runs(profile, closed=closed):
        run = [profile[each] for each in indices]
        radius, height = (np.array(each)[:, None] for each in zip(*run, strict=True))
        out, up = (np.array(each)[:, None] for each in zip(*normals, strict=True))
        level = np.broadcast_to(height, (len(run), sides + 1))
        points = np.stack([radius * across, radius * along, level], axis=2)
        slopes = np.stack([out * across, out * along, np.broadcast_to(up, level.shape)], axis=2)
        if len(set(height.ravel().tolist())) == 1:
            mirror = 1.0 if up[0, 0] > 0 else -1.0
            places = np.stack([mirror * points[..., 0], points[..., 1]], axis=2)
        else:
            around = radius.max() * np.array(angles)
            places = np.stack(np.broadcast_arrays(around, np.array(_lengths(run))[:, None]), axis=2)
        pieces.append(grid(skin, points, slopes, places))
    return join(pieces)


def extrude(
    skin: Skin, outline: Sequence[Flat], low: float, high: float, *, bevel: float = 0.0, side: Skin | None = None
) -> Mesh:
    """A flat body: an outline in the plane of x and y, from z = low to z = high.

    Args:
        skin: what its faces show, seen from above and from below.
        outline: counter-clockwise, not crossing itself.
        low: where it begins.
        high: where it ends.
        bevel: how much its faces are smaller than the outline, all around; the rim is round.
        side: what its rim shows, once around; as the faces where it is not given.
    """
    side = side or skin
    runs = _runs(outline, closed=True)
    inner = _inset(outline, bevel)
    pieces = []
    cut = np.array(triangles(inner))
    face = np.array(inner)
    for level, sign in ((low, -1.0), (high, 1.0)):
        points = np.column_stack([face, np.full(len(face), level)])
        corners = (cut if sign > 0 else cut[:, ::-1]).ravel()
        upright = np.tile([0.0, 0.0, sign], (len(corners), 1))
        texture = chart(skin, face * [sign, 1.0])
        pieces.append(patch(skin, points, [3] * len(cut), corners, upright, texture[corners]))
    for indices, normals in runs:
        edge = np.array([outline[each] for each in indices])
        rim = np.array([inner[each] for each in indices])
        out = unit(np.column_stack([np.array(normals), np.zeros(len(normals))]))
        along = np.array(_lengths([outline[each] for each in indices]))
        rows = [(edge, low + bevel, out), (edge, high - bevel, out)]
        if bevel:
            down, up = (np.tile([0.0, 0.0, sign], (len(out), 1)) for sign in (-1.0, 1.0))
            rows = [(rim, low, down), *rows, (rim, high, up)]
        points = np.stack([np.column_stack([line, np.full(len(line), level)]) for line, level, _ in rows])
        places = np.stack([np.column_stack([along, np.full(len(along), level)]) for _, level, _ in rows])
        pieces.append(grid(side, points, np.stack([each for _, _, each in rows]), places))
    return join(pieces)


def _inset(outline: Sequence[Flat], depth: float) -> list[Flat]:
    """The outline, moved inwards."""
    if not depth:
        return list(outline)
    count = len(outline)
    normals = [_right(outline[each], outline[(each + 1) % count]) for each in range(count)]
    result = []
    for place, (x, y) in enumerate(outline):
        (a, b), (c, d) = normals[place - 1], normals[place]
        share = depth / (1 + a * c + b * d)
        result.append((x - share * (a + c), y - share * (b + d)))
    return result


def loft(skin: Skin, rings: Sequence[Sequence[Point]], *, ends: tuple[bool, bool] = (True, True)) -> Mesh:
    """A body through rings of as many points each, counter-clockwise seen from where the last one is.

    Args:
        skin: what it shows, once around.
        rings: points in space; neighbours must differ. Rings with a lid are flat and convex.
        ends: whether the first and the last have a lid.
    """
    points = np.array(rings)
    closed, columns = _bends(points, 1)
    rows = _bends(points, 0)[1]
    pieces = []
    for row in pairwise(rows):
        for column in pairwise(columns):
            sheet = points[row[0] : row[1] + 1].take(range(column[0], column[1] + 1), 1, mode="wrap")
            pieces.append(_sheet(skin, sheet, around=closed))
    for ring, wanted, turned in ((points[0], ends[0], True), (points[-1], ends[1], False)):
        if wanted:
            pieces.append(_lid(skin, ring[::-1] if turned else ring))
    return join(pieces)


def _bends(points: Table, axis: int) -> tuple[bool, list[int]]:
    """Whether lines along an axis have no edge at all, and where the smooth parts begin and end."""
    steps = unit(np.roll(points, -1, axis) - points)
    turns = (np.roll(steps, 1, axis) * steps).sum(axis=2).min(axis=1 - axis)
    count = points.shape[axis]
    bends = [place for place in range(count) if turns[place] < math.cos(math.radians(CREASE))]
    if axis == 0:
        return False, [0, *(each for each in bends if 0 < each < count - 1), count - 1]
    return (True, [0, count]) if not bends else (False, [*bends, bends[0] + count])


def _sheet(skin: Skin, points: Table, *, around: bool) -> Mesh:
    """A smooth sheet of points (R, C, 3), normals by differences; `around` where it meets itself."""
    across, along = np.empty_like(points), np.empty_like(points)
    across[:, 1:-1] = points[:, 2:] - points[:, :-2]
    first, last = points[:, 1] - points[:, 0], points[:, -1] - points[:, -2]
    across[:, 0], across[:, -1] = (first + last, first + last) if around else (first, last)
    along[1:-1] = points[2:] - points[:-2]
    along[0], along[-1] = points[1] - points[0], points[-1] - points[-2]
    lengths = [
        np.concatenate([[0.0], np.cumsum(np.sqrt((np.diff(points, axis=axis) ** 2).sum(axis=2)).max(axis=1 - axis))])
        for axis in (1, 0)
    ]
    places = np.stack(np.broadcast_arrays(lengths[0], lengths[1][:, None]), axis=2)
    return grid(skin, points, cross(across, along), places)


def _lid(skin: Skin, ring: Table) -> Mesh:
    """A flat convex face, upright on its picture where it is steep."""
    following = np.roll(ring, -1, 0)
    normal = cross(ring - ring[0], following - ring[0]).sum(axis=0)
    axis = int(np.abs(normal).argmax())
    wide, high = ((1, 2), (0, 2), (0, 1))[axis]
    mirror = (1, -1, 1)[axis] * (1.0 if normal[axis] > 0 else -1.0)
    places = np.column_stack([mirror * ring[:, wide], ring[:, high]])
    count = len(ring)
    return patch(skin, ring, [count], np.arange(count), np.tile(normal, (count, 1)), chart(skin, places))


def tube(
    skin: Skin, path: Sequence[Point], radius: float | Sequence[float], *, sides: int = 8, flat: float = 1.0
) -> Mesh:
    """A round rod along a line.

    Args:
        skin: what it shows, once around.
        path: its middle; neighbours must differ.
        radius: of the rod, or at each point.
        sides: of its section.
        flat: how thick it is, relative to its width; it is wide sideways, as a leaf that grows from its stem.
    """
    line = np.array(path)
    steps = unit(np.diff(line, axis=0))
    ahead = unit(np.concatenate([steps[:1], steps[:-1] + steps[1:], steps[-1:]]))
    x, y, _ = ahead[0]
    wide = unit(np.array([y, -x, 0.0])) if x * x + y * y > 1e-9 else np.array([1.0, 0.0, 0.0])
    angles = [math.tau * step / sides for step in range(sides)] + [0.0]
    cosine, sine = (np.array([each(angle) for angle in angles])[:, None] for each in (math.cos, math.sin))
    breadth = np.broadcast_to(np.asarray(radius, np.float64), len(path))
    points, normals = [], []
    for centre, direction, half in zip(line, ahead, breadth, strict=True):
        # The frame is carried along: turned no more than the line itself turns.
        wide = unit(wide - (wide * direction).sum() * direction)
        thick = cross(direction, wide)
        points.append(centre + half * (cosine * wide + sine * flat * thick))
        normals.append(flat * cosine * wide + sine * thick)
    around = breadth.max() * np.array([*angles[:-1], math.tau])
    along = np.concatenate([[0.0], np.cumsum(np.sqrt((np.diff(line, axis=0) ** 2).sum(axis=1)))])
    places = np.stack(np.broadcast_arrays(around, along[:, None]), axis=2)
    pieces = [grid(skin, np.stack(points), np.stack(normals), places)]
    pieces += [_lid(skin, points[0][-1:0:-1]), _lid(skin, points[-1][:-1])]
    return join(pieces)


def ball(skin: Skin, radii: Point, span: Flat = (-90.0, 90.0), *, sides: int = 24, rings: int = 12) -> Mesh:
    """An ellipsoid around the origin, from one latitude to another; its picture goes once around from the x axis."""
    angles = [math.tau * step / sides for step in range(sides)] + [0.0]
    tilts = [math.radians(span[0] + (span[1] - span[0]) * ring / rings) for ring in range(rings + 1)]
    # Poles are exact, so that they are one point.
    spread = [0.0 if abs(abs(each) - math.pi / 2) < 1e-9 else math.cos(each) for each in tilts]
    level = np.array([[math.sin(each)] * (sides + 1) for each in tilts])
    around = [np.multiply.outer(spread, [each(angle) for angle in angles]) for each in (math.cos, math.sin)]
    round_ = np.stack([*around, level], axis=2)
    across = np.array([math.tau * step / sides for step in range(sides + 1)]) * max(radii[:2])
    places = np.stack(np.broadcast_arrays(across, np.array(tilts)[:, None] * radii[2]), axis=2)
    return grid(skin, round_ * radii, round_ / radii, places)
