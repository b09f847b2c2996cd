"""A person's body, built once, and its shape in a pose: linear blend skinning with normals of the posed surface."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ...parallax.meshes import Mesh
from .cuts import BOTTOMS, DRESS_FLARE, DRESS_HEM, TOPS
from .hair import hair
from .heads import head, stuck
from .limbs import arm, hand, leg, shoe, sleeve, trouser_leg
from .lofts import Part, Table, Whole, angles, chart, joined, loft, mirrored, sections
from .skeleton import Pose, bind_frames, posed_frames, rest_joints
from .spec import Body, PersonSpec
from .surfaces import BOTTOM, SEAT, TOP
from .trunk import backpack, hips, neck, shell, skirt

SEAT_PLACE = -0.30
"""How far the middle of the seat lies ahead of a person's origin, in metres for a height of 1.75 m."""


@dataclass(frozen=True)
class Figure:
    """A body in the pose that it is built in, and all that does not change with the pose."""

    part: Part
    rest: Table
    """(J, 3) joints in the neutral stance."""
    frames: Table
    """(J, 3, 3) frames of the joints in the pose that it is built in."""
    places: Table
    """(J, 3) their places."""
    counts: npt.NDArray[np.int32]
    corners: npt.NDArray[np.int32]
    corner_of: Whole
    """(C,) index in the (F, 4) corners of each corner of `corners`."""


@lru_cache(maxsize=128)
def figure(spec: PersonSpec, seated: bool) -> Figure:
    """The body of a person, with a seat behind or without."""
    parts = _parts(spec)
    if seated:
        parts.append(_stool(spec.body))
    part = joined(parts)
    rest = rest_joints(spec.body)
    triangles = part.faces[:, 2] == part.faces[:, 3]
    kept = np.ones(part.faces.shape, bool)
    kept[triangles, 3] = False
    corner_of = np.flatnonzero(kept.reshape(-1))
    corners = part.faces.reshape(-1)[corner_of].astype(np.int32)
    return Figure(part, rest, *bind_frames(rest), kept.sum(axis=1).astype(np.int32), corners, corner_of)


def _parts(spec: PersonSpec) -> list[Part]:
    body, top, bottom = spec.body, TOPS[spec.top.cut], BOTTOMS[spec.bottom.cut]
    parts = [head(body, spec.face), neck(body), shell(body, top), *hair(body, spec.face)]
    right = [arm(body, top.sleeve), hand(body), shoe(body, spec.shoes[0])]
    if top.sleeve:
        right.append(sleeve(body, top))
    if spec.top.cut == "dress":
        parts += [skirt(body, DRESS_HEM, DRESS_FLARE, TOP)]
        right.append(leg(body, DRESS_HEM + 0.2))
    else:
        parts.append(hips(body, bottom))
        if bottom.legs:
            right.append(trouser_leg(body, bottom))
        else:
            parts.append(skirt(body, bottom.hem, bottom.ease_hem, BOTTOM))
        right.append(leg(body, bottom.hem + (0.05 if bottom.legs else 0.2)))
    if spec.backpack:
        parts.append(backpack(body))
    return [*parts, *right, *(mirrored(each) for each in right)]


def seat_height(body: Body) -> float:
    """Height of the seat that a person sits on, in metres: that of the knee's back, as in a chair that fits."""
    return 0.445 * body.scale


def _stool(body: Body) -> Part:
    """A round stool, which stands still."""
    k, top = body.scale, seat_height(body)
    pieces = []
    theta = angles(24)
    seat = np.array([top - 0.045, top - 0.04, top - 0.01, top])
    size = np.array([0.17, 0.178, 0.178, 0.17]) * k
    x, y = sections(theta, size, size, size)
    pieces.append(np.stack([x, y, np.broadcast_to(seat[:, None], x.shape)], axis=2))
    for number in range(4):
        turn_by = math.tau * (number + 0.5) / 4
        high = np.array([0.0, top - 0.042])
        x, y = sections(angles(8), np.full(2, 0.016), np.full(2, 0.016), np.full(2, 0.016))
        lean = np.array([0.165, 0.12])[:, None] * k
        pieces.append(
            np.stack(
                [x + math.cos(turn_by) * lean, y + math.sin(turn_by) * lean, np.broadcast_to(high[:, None], x.shape)],
                axis=2,
            )
        )
    made = []
    for rings in pieces:
        placed = rings + np.array([0.0, SEAT_PLACE * k, 0.0])
        charts = chart(len(rings), rings.shape[1], (0, 1), rings[:, 0, 2] / 0.5)
        made.append(loft(placed, stuck(placed, "ground"), charts, SEAT, ("flat", "flat")))
    return joined(made)


def posed_vertices(body: Figure, pose: Pose) -> Table:
    """Vertices (V, 3) in a pose, in metres."""
    frames, places = posed_frames(body.rest, pose)
    # From the frame that a joint was built in to the posed one.
    rotations = np.einsum("jab,jcb->jac", frames, body.frames)
    shifts = places - np.einsum("jab,jb->ja", rotations, body.places)
    matrices = np.concatenate([rotations.reshape(-1, 9), shifts], axis=1)
    blended = np.einsum("vj,jk->vk", body.part.weights, matrices)
    return np.einsum("vab,vb->va", blended[:, :9].reshape(-1, 3, 3), body.part.vertices) + blended[:, 9:]


def vertex_normals(vertices: Table, faces: Whole) -> Table:
    """Unit normals (V, 3): of the faces around each vertex, weighted by their areas and added in the faces' order.

    Args:
        vertices: (V, 3).
        faces: (F, 4), a triangle with its last vertex twice.
    """
    first, second, third, fourth = (vertices[faces[:, number]] for number in range(4))
    # Half the cross product of the diagonals is the area of a quadrangle, times its normal.
    areas = np.cross(third - first, fourth - second)
    triangles = (faces[:, 2] == faces[:, 3])[:, None]
    corners = np.concatenate(
        [faces[:, 0], faces[:, 1], faces[:, 2], np.where(triangles[:, 0], faces[:, 2], faces[:, 3])]
    )
    # A triangle counts once at each of its corners.
    weight = np.concatenate([areas, areas, areas, np.where(triangles, 0.0, areas)])
    total = np.stack([np.bincount(corners, weight[:, axis], len(vertices)) for axis in range(3)], axis=1)
    return total / np.sqrt((total * total).sum(axis=1, keepdims=True))


def figure_mesh(body: Figure, pose: Pose) -> Mesh:
    """The body in a pose; the same faces, coverings and texture in any."""
    vertices = posed_vertices(body, pose)
    normals = vertex_normals(vertices, body.part.faces)
    return Mesh(
        vertices,
        body.counts,
        body.corners,
        body.part.surfaces.astype(np.int32),
        normals[body.corners],
        body.part.charts.reshape(-1, 2)[body.corner_of],
    )
