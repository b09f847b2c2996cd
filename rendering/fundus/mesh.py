"""The retina as polygons: rings around the posterior pole, exact normals, and the map's places at their corners."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..parallax.geometry import turned
from ..parallax.meshes import Mesh
from .maps import edges
from .retina.painting import RetinaMaps
from .scenes import EyeSpec

Indices = npt.NDArray[np.int32]

EDGE = 125
"""Degrees at the eye's centre up to which there is a surface: more than the widest camera sees."""
SEGMENTS = 240
"""Quadrangles around a ring; rings are one degree apart. A pixel's place is then good to 0.01 pixels."""


def retina_mesh(eye: EyeSpec, maps: RetinaMaps) -> Mesh:
    """The inner surface of an eye, a part of the map laid on it."""
    turns = np.array([turned(360 * number / SEGMENTS) for number in range(SEGMENTS)])
    rings = np.array([turned(float(degree)) for degree in range(1, EDGE + 1)])
    across = rings[:, 1, None, None] * turns
    directions = np.concatenate(
        [
            [[0.0, 1.0, 0.0]],
            np.stack(
                [across[..., 0], np.broadcast_to(rings[:, :1], across.shape[:2]), -across[..., 1]], axis=2
            ).reshape(-1, 3),
        ]
    )
    flat = directions / np.array([1.0, eye.stretch, 1.0])
    vertices = directions * (eye.radius / np.sqrt((flat * flat).sum(axis=1)))[:, None]
    inwards = -vertices / np.array([1.0, eye.stretch * eye.stretch, 1.0])
    inwards /= np.sqrt((inwards * inwards).sum(axis=1))[:, None]
    degrees = np.arange(1, EDGE + 1, dtype=np.float64)[:, None, None]
    places = np.concatenate([[[0.0, 0.0]], (degrees * turns).reshape(-1, 2)])
    # Blender counts a texture's height from below.
    left, top, right, bottom = edges(maps)
    texture = (places - [left, bottom]) / [right - left, top - bottom]
    corners, counts = _faces()
    return Mesh(
        vertices=vertices,
        counts=counts,
        corners=corners,
        surfaces=np.zeros(len(counts), np.int32),
        normals=inwards[corners],
        texture=texture[corners],
    )


def _faces() -> tuple[Indices, Indices]:
    """Corners of all faces, counter-clockwise seen from inside, and how many each face has."""
    here = np.arange(SEGMENTS)
    there = (here + 1) % SEGMENTS
    fan = np.stack([np.zeros(SEGMENTS, int), 1 + there, 1 + here], axis=1)
    inner = 1 + SEGMENTS * np.arange(EDGE - 1)[:, None]
    outer = inner + SEGMENTS
    quads = np.stack([inner + here, inner + there, outer + there, outer + here], axis=2).reshape(-1, 4)
    counts = np.concatenate([np.full(len(fan), 3), np.full(len(quads), 4)])
    return np.concatenate([fan.ravel(), quads.ravel()]).astype(np.int32), counts.astype(np.int32)
