"""Boxes, also with round edges and narrower towards the top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from ...parallax.meshes import Mesh
from .outlines import Flat, Point
from .solids import Skin, Table, chart, cross, join, patch, unit

Side = Literal["left", "right", "back", "front", "bottom", "top"]
"""Of a box: -x, +x, -y, +y, -z, +z."""
_SIDES: tuple[Side, ...] = ("left", "right", "back", "front", "bottom", "top")


def box(
    skin: Skin,
    low: Point,
    high: Point,
    *,
    bevel: float = 0.0,
    taper: Flat = (1.0, 1.0),
    faces: Mapping[Side, Skin] | None = None,
) -> Mesh:
    """A box between two corners.

    Args:
        skin: what it shows.
        low: its least coordinates.
        high: its greatest.
        bevel: how much of its edges is rounded off.
        taper: width and depth of its upper side, relative to those of the lower one.
        faces: what single sides show instead.
    """
    half, middle = np.subtract(high, low) / 2, np.add(low, high) / 2
    pieces: list[Mesh] = []
    spots: Spots = {}
    for axis in range(3):
        for sign in (-1, 1):
            wide, tall = ((1, 2), (0, 2), (0, 1))[axis]
            mirror = sign * (1, -1, 1)[axis]
            names, own, places = [], np.zeros((4, 3)), np.zeros((4, 2))
            for number, (right, up) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1))):
                signs = [0, 0, 0]
                signs[axis], signs[wide], signs[tall] = sign, right * mirror, up
                inner = [half[each] - (0 if each == axis else bevel) for each in range(3)]
                own[number] = [one * reach for one, reach in zip(signs, inner, strict=True)]
                places[number] = mirror * own[number][wide], own[number][tall]
                names.append((axis, *signs))
            share = (own[:, 2:] / half[2] + 1) / 2
            own[:, :2] *= 1 + share * (np.asarray(taper) - 1)
            normal = unit(cross(own[2] - own[0], own[3] - own[1]))
            face = (faces or {}).get(_SIDES[2 * axis + (sign > 0)], skin)
            pieces.append(patch(face, own, [4], np.arange(4), np.tile(normal, (4, 1)), chart(face, places)))
            spots.update({name: (place, normal) for name, place in zip(names, own, strict=True)})
    if bevel:
        pieces.append(_rim(skin, spots))
    mesh = join(pieces)
    return Mesh(mesh.vertices + middle, mesh.counts, mesh.corners, mesh.surfaces, mesh.normals, mesh.texture)


Spots = dict[tuple[int, ...], tuple[Table, Table]]
"""Position and normal of the corners of a box's sides, by the side's axis and the corner's signs."""


def _rim(skin: Skin, spots: Spots) -> Mesh:
    """The rounded edges and corners of a box."""
    faces: list[list[tuple[int, ...]]] = []
    for corner in [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]:
        faces.append([(axis, *corner) for axis in range(3)])
        for along in range(3):
            if corner[along] < 0:
                a, b = (each for each in range(3) if each != along)
                other = tuple(1 if each == along else value for each, value in enumerate(corner))
                faces.append([(a, *corner), (a, *other), (b, *other), (b, *corner)])
    corners: list[tuple[Table, Table]] = []
    for face in faces:
        ring = [spots[each] for each in face]
        turn = cross(ring[1][0] - ring[0][0], ring[2][0] - ring[0][0])
        outward = sum(float((turn * normal).sum()) for _, normal in ring) > 0
        corners += ring if outward else ring[::-1]
    points, normals = (np.stack([each[part] for each in corners]) for part in (0, 1))
    # Rims are narrow: any place of the picture will do.
    places = (points[:, :2] + points[:, 2:]) / (skin.tile or (1.0, 1.0))
    return patch(skin, points, [len(each) for each in faces], np.arange(len(points)), normals, places)
