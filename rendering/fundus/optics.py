"""From pixels through the pupil to the retina, and back.

Angles. *At the eye's centre*: what a place on the retina is away from the posterior pole, seen from the eye's centre;
the retina's map and the makers of ultra-widefield cameras count it. *Visual*: what the same place is away outside of
the eye, seen from the pupil; perimeters and the makers of standard cameras count it. A visual degree is 0.29 mm of the
retina, which is 1.45 degrees at the centre of an eye of 11.5 mm.

Everything but `to_map` uses + - * / and square roots alone, so that it is the same on every machine.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..cameras import Vector
from ..parallax.geometry import cross, turned
from .retina.spec import MICROMETRES
from .scenes import EyeSpec, Place, ShotSpec

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def map_degree(eye: EyeSpec) -> float:
    """Millimetres of retina for a degree at the eye's centre."""
    return eye.radius * math.pi / 180


def at_centre(eye: EyeSpec, visual: float) -> float:
    """Degrees at the eye's centre of visual degrees."""
    return visual * MICROMETRES / 1000 / map_degree(eye)


def forward(shot: ShotSpec) -> Vector:
    """Unit vector along the line of sight."""
    return cross(shot.up, shot.right)


def grid(width: int, height: int) -> Array:
    """The pixel centres (height, width, 2)."""
    rows, columns = np.indices((height, width), dtype=np.float64)
    return np.stack([columns, rows], axis=2)


def straighten(shot: ShotSpec, pixels: Array) -> Array:
    """Where pixels (..., 2) are on the plane at depth 1: right and down, (..., 2)."""
    bent = (pixels - np.array(shot.centre)) / shot.focal
    square = bent[..., 0] * bent[..., 0] + bent[..., 1] * bent[..., 1]
    return np.asarray(bent / (1 + shot.distortion * square)[..., None])


def bend(shot: ShotSpec, plane: Array) -> Array:
    """Pixels (..., 2) of places (..., 2) on the plane at depth 1: the inverse of `straighten`."""
    square = plane[..., 0] * plane[..., 0] + plane[..., 1] * plane[..., 1]
    # With a distortion above 0 the model ends at some radius, far outside of the picture; from there on it is scaled.
    root = np.sqrt(np.maximum(1 - 4 * shot.distortion * square, 0.0))
    return np.asarray(np.array(shot.centre) + shot.focal * plane * (2 / (1 + root))[..., None])


def rays(shot: ShotSpec, pixels: Array) -> Array:
    """Directions (..., 3) through pixels (..., 2), 1 deep along the line of sight."""
    plane = straighten(shot, pixels)
    x, y = plane[..., 0], plane[..., 1]
    ahead = forward(shot)
    return np.stack([shot.right[axis] * x - shot.up[axis] * y + ahead[axis] for axis in range(3)], axis=-1)


def meet(eye: EyeSpec, origin: Vector, directions: Array) -> Array:
    """Where rays (..., 3) from a place in the eye meet its surface, (..., 3) millimetres."""
    scale = np.array([1.0, 1 / eye.stretch, 1.0])
    start, way = np.array(origin) * scale, directions * scale
    a = way[..., 0] * way[..., 0] + way[..., 1] * way[..., 1] + way[..., 2] * way[..., 2]
    b = start[0] * way[..., 0] + start[1] * way[..., 1] + start[2] * way[..., 2]
    c = start[0] * start[0] + start[1] * start[1] + start[2] * start[2] - eye.radius * eye.radius
    length = (np.sqrt(np.maximum(b * b - a * c, 0.0)) - b) / a
    return np.asarray(np.array(origin) + length[..., None] * directions)


def seen_at(eye: EyeSpec, shot: ShotSpec, pixels: Array) -> Array:
    """The points (..., 3) of the retina that pixels (..., 2) show."""
    return meet(eye, shot.position, rays(shot, pixels))


def project(shot: ShotSpec, points: Array) -> Array:
    """Pixels (..., 2) of points (..., 3); meaningless behind the camera."""
    moved = points - np.array(shot.position)
    x, y, depth = (
        axis[0] * moved[..., 0] + axis[1] * moved[..., 1] + axis[2] * moved[..., 2]
        for axis in (shot.right, shot.up, forward(shot))
    )
    return bend(shot, np.stack([x / depth, -y / depth], axis=-1))


def to_map(points: Array) -> Array:
    """Places (..., 2) on the retina's map, in degrees, of points (..., 3) on the eye's surface."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    across = np.sqrt(x * x + z * z)
    share = np.degrees(np.arctan2(across, y)) / np.maximum(across, 1e-12)
    return np.stack([x * share, -z * share], axis=-1)


def from_map(eye: EyeSpec, place: Place) -> Vector:
    """The point of the eye's surface at a place of the retina's map, in degrees."""
    x, y = place
    length = math.sqrt(x * x + y * y)
    cosine, sine = turned(length)
    across = sine / length if length > 0 else 0.0
    flat = cosine / eye.stretch
    radius = eye.radius / math.sqrt(sine * sine + flat * flat)
    return radius * across * x, radius * cosine, -radius * across * y


def in_field(shot: ShotSpec, pixels: Array) -> Mask:
    """Which pixels (..., 2) lie within the field stop."""
    x = (pixels[..., 0] - shot.centre[0]) / shot.stop[0]
    y = (pixels[..., 1] - shot.centre[1]) / shot.stop[1]
    return np.asarray(x * x + y * y <= 1)
