"""Surfaces from sections: the one building block of bodies, hair and clothes.

A loft is a row of closed sections, each a ring of points, from the lowest to the highest. Seen from above, the points
of a ring run counter-clockwise from the back over the person's right to the front, so that the middle of a picture
lies in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from .skeleton import JOINTS, MIRROR

Table = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
End = Literal["open", "round", "flat"]
"""How a loft ends: not at all, with a fan that is shaded with its side, or with a fan that has an edge."""


@dataclass(frozen=True)
class Part:
    """A piece of a body in the pose of `skeleton.BIND`."""

    vertices: Table
    """(V, 3), in metres."""
    weights: Table
    """(V, J): by how much each vertex follows each joint; rows sum to 1."""
    faces: Whole
    """(F, 4) vertices, counter-clockwise from outside; a triangle has its last vertex twice."""
    surfaces: Whole
    """(F,) index of each face's covering."""
    charts: Table
    """(F, 4, 2) texture coordinates."""


def curve(at: Table, keys: Sequence[float], values: npt.ArrayLike) -> Table:
    """A smooth curve through keys that does not overshoot them (slopes of Fritsch and Butland 1984); constant outside.

    Args:
        at: (...) where to read it.
        keys: (K,) ascending.
        values: (K,) or (K, C).

    Returns:
        (...) or (..., C).
    """
    knots, rows = np.asarray(keys, np.float64), np.asarray(values, np.float64)
    if rows.ndim == 1:
        return curve(at, keys, rows[:, None])[..., 0]
    step = np.diff(knots)
    slope = np.diff(rows, axis=0) / step[:, None]
    tangent = np.concatenate([slope[:1], np.zeros_like(slope[1:]), slope[-1:]])
    product, total = slope[:-1] * slope[1:], slope[:-1] + slope[1:]
    rising = product > 0
    tangent[1:-1] = np.where(rising, 2 * product / np.where(rising, total, 1), 0)
    place = np.clip(np.searchsorted(knots, at, "right") - 1, 0, len(step) - 1)
    width = step[place][..., None]
    share = np.clip((at[..., None] - knots[place][..., None]) / width, 0, 1)
    square, cube = share**2, share**3
    return (
        (2 * cube - 3 * square + 1) * rows[place]
        + (cube - 2 * square + share) * width * tangent[place]
        + (3 * square - 2 * cube) * rows[place + 1]
        + (cube - square) * width * tangent[place + 1]
    )


def ease(values: Table | float, begin: Table | float, end: Table | float) -> Table:
    """0 before `begin`, 1 after `end` (which may be the smaller one), smooth between."""
    share = np.clip((np.asarray(values, np.float64) - begin) / (end - begin), 0, 1)
    return share * share * (3 - 2 * share)


def angles(segments: int) -> Table:
    """Angle (segments,) of each point of a ring, in radians from the back; the front is at pi."""
    return 2 * np.pi * np.arange(segments) / segments


def superellipse(theta: Table, half: Table, front: Table, back: Table, square: float = 2.0) -> tuple[Table, Table]:
    """Points (x, y) of superellipses around the vertical, by broadcasting.

    Args:
        theta: angles from the back.
        half: half width.
        front: reach to the front.
        back: reach to the back.
        square: the superellipse's exponent: 2 for an ellipse, more for a squarer one.
    """
    across, ahead = np.sin(theta), -np.cos(theta)
    power = 2 / square
    reach = np.where(ahead > 0, front, back)
    return half * np.sign(across) * np.abs(across) ** power, reach * np.sign(ahead) * np.abs(ahead) ** power


def sections(theta: Table, half: Table, front: Table, back: Table, square: float = 2.0) -> tuple[Table, Table]:
    """Points (x, y) of rows of `superellipse`, (R, S) each: sizes (R,), angles (S,)."""
    return superellipse(theta, half[:, None], front[:, None], back[:, None], square)


def follow(place: Table, joints: Sequence[str], splits: Sequence[tuple[float, float]]) -> Table:
    """Weights (..., J) of a chain of joints that take over from one another along a coordinate.

    Args:
        place: (...) the coordinate.
        joints: names, in the order of the coordinate.
        splits: between each joint and the next, where they share equally and how far to each side they blend.
    """
    weights = np.zeros((*place.shape, len(JOINTS)))
    left = np.ones(place.shape)
    for joint, (centre, reach) in zip(joints[:-1], splits, strict=True):
        above = ease(place, centre - reach, centre + reach)
        weights[..., JOINTS.index(joint)] += left * (1 - above)
        left = left * above
    weights[..., JOINTS.index(joints[-1])] += left
    return weights


def share_with(weights: Table, joint: str, share: Table) -> Table:
    """Weights (..., J) of which a share (...) goes over to a joint."""
    taken = weights * (1 - share)[..., None]
    taken[..., JOINTS.index(joint)] += share
    return taken


def chart(rows: int, segments: int, across: tuple[float, float], up: npt.ArrayLike) -> Table:
    """Texture coordinates (R, S + 1, 2) of a loft: `across` from its first point around, `up` for each ring."""
    places = np.empty((rows, segments + 1, 2))
    places[..., 0] = np.linspace(across[0], across[1], segments + 1)
    places[..., 1] = np.broadcast_to(np.asarray(up, np.float64).reshape(-1, 1), (rows, segments + 1))
    return places


def loft(rings: Table, weights: Table, charts: Table, surface: int, ends: tuple[End, End]) -> Part:
    """A surface through rings (R, S, 3).

    Args:
        rings: from the lowest to the highest, as the module says.
        weights: (R, S, J).
        charts: (R, S + 1, 2) texture coordinates; the last of a row joins the first point again.
        surface: index of the covering.
        ends: the lower and the upper end.
    """
    rows, segments = rings.shape[:2]
    here = np.arange(segments)
    there = (here + 1) % segments
    low = (np.arange(rows - 1) * segments)[:, None]
    faces = [np.stack([low + here, low + there, low + segments + there, low + segments + here], 2).reshape(-1, 4)]
    corners = [charts[:-1, :-1], charts[:-1, 1:], charts[1:, 1:], charts[1:, :-1]]
    places = [np.stack(corners, 2).reshape(-1, 4, 2)]
    vertices, follows = [rings.reshape(-1, 3)], [weights.reshape(rows * segments, -1)]
    count = rows * segments
    for row, end in zip((0, rows - 1), ends, strict=True):
        if end == "open":
            continue
        first = row * segments
        if end == "flat":
            vertices.append(rings[row])
            follows.append(weights[row])
            first, count = count, count + segments
        vertices.append(rings[row].mean(axis=0, keepdims=True))
        follows.append(weights[row].mean(axis=0, keepdims=True))
        middle = np.full(segments, count)
        count += 1
        begin, stop = (there, here) if row == 0 else (here, there)
        faces.append(np.stack([first + begin, first + stop, middle, middle], 1))
        inner = charts[row].mean(axis=0)
        fan = np.stack([charts[row, :-1], charts[row, 1:]], 1)[:, :: (-1 if row == 0 else 1)]
        places.append(np.concatenate([fan, np.broadcast_to(inner, (segments, 2, 2))], axis=1))
    table = np.concatenate(faces).astype(np.int64)
    covering = np.full(len(table), surface, np.int64)
    return Part(np.concatenate(vertices), np.concatenate(follows), table, covering, np.concatenate(places))


def mirrored(part: Part) -> Part:
    """The same part on the person's other side."""
    order = [1, 0, 3, 2]
    # A triangle keeps its last vertex twice.
    triangles = part.faces[:, 2] == part.faces[:, 3]
    faces = np.where(triangles[:, None], part.faces[:, [1, 0, 2, 2]], part.faces[:, order])
    charts = np.where(triangles[:, None, None], part.charts[:, [1, 0, 2, 2]], part.charts[:, order])
    return Part(part.vertices * np.array([-1.0, 1, 1]), part.weights[:, MIRROR], faces, part.surfaces, charts)


def moved(part: Part, rotation: Table, pivot: Table, shift: Table) -> Part:
    """The part, turned about a pivot (3,) and shifted (3,)."""
    vertices = np.einsum("ij,vj->vi", rotation, part.vertices - pivot) + pivot + shift
    return Part(vertices, part.weights, part.faces, part.surfaces, part.charts)


def joined(parts: Sequence[Part]) -> Part:
    """All parts as one."""
    first = np.cumsum([0, *(len(each.vertices) for each in parts[:-1])])
    return Part(
        np.concatenate([each.vertices for each in parts]),
        np.concatenate([each.weights for each in parts]),
        np.concatenate([each.faces + start for each, start in zip(parts, first, strict=True)]),
        np.concatenate([each.surfaces for each in parts]),
        np.concatenate([each.charts for each in parts]),
    )


def trimmed(part: Part, keep: npt.NDArray[np.bool_]) -> Part:
    """The part with the faces (F,) to keep alone, and the vertices that they need."""
    faces = part.faces[keep]
    used = np.unique(faces)
    number = np.zeros(len(part.vertices), np.int64)
    number[used] = np.arange(len(used))
    return Part(part.vertices[used], part.weights[used], number[faces], part.surfaces[keep], part.charts[keep])
