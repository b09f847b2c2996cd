"""Directions and projections without a trigonometry library, whose last digit differs between machines.

Everything here uses + - * / and square roots alone, which IEEE 754 defines to the last bit, so a plan is the same on
every machine. Pictures follow `cameras.py`: pixel centres at integers, x right, y down; camera axes x right, y down,
z forward.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..cameras import CameraSpec, Matrix, Vector, intrinsics, product
from .scenes import Turn, ViewSpec

AHEAD: Turn = (1.0, 0.0)
"""No turn."""


def turned(degrees: float) -> Turn:
    """The turn by an angle: its tangent's continued fraction at an eighth of it, then doubled twice."""
    eighth = degrees * math.pi / 1440
    square = eighth * eighth
    tangent = eighth / (1 - square / (3 - square / (5 - square / (7 - square / 9))))
    cosine, sine = (1 - tangent * tangent) / (1 + tangent * tangent), 2 * tangent / (1 + tangent * tangent)
    for _ in range(2):
        cosine, sine = cosine * cosine - sine * sine, 2 * cosine * sine
    length = math.sqrt(cosine * cosine + sine * sine)
    return cosine / length, sine / length


def combine(first: Turn, second: Turn) -> Turn:
    """One turn after the other."""
    (a, b), (c, d) = first, second
    return a * c - b * d, a * d + b * c


def unit(vector: Vector) -> Vector:
    """The vector with length 1."""
    x, y, z = vector
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


def cross(a: Vector, b: Vector) -> Vector:
    """The vector product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def forward(view: ViewSpec) -> Vector:
    """Unit vector along the line of sight."""
    return cross(view.up, view.right)


def axes(pan: Turn, tilt: Turn, roll: Turn) -> tuple[Vector, Vector]:
    """The right and up vectors of a camera that looked along +y, turned left by `pan`, up by `tilt`, then rolled."""
    (c, s), (a, b), (e, f) = pan, tilt, roll
    right, up = (c, s, 0.0), (s * b, -c * b, a)
    rolled = (e * right[0] + f * up[0], e * right[1] + f * up[1], f * up[2])
    across = (e * up[0] - f * right[0], e * up[1] - f * right[1], e * up[2])
    return unit(rolled), unit(across)


def view_intrinsics(view: ViewSpec, width: int, height: int) -> Matrix:
    """Matrix K (3, 3) from camera axes to pixels."""
    return intrinsics(CameraSpec(view.position, view.lens), width, height)


def view_matrix(view: ViewSpec) -> Matrix:
    """Matrix [R|t] (3, 4) from the world to camera axes."""
    down = (-view.up[0], -view.up[1], -view.up[2])
    turn = np.array([view.right, down, forward(view)])
    return np.column_stack([turn, -product(turn, np.asarray(view.position)[:, None])])


def to_camera(view: ViewSpec, vectors: npt.NDArray[np.float64], *, points: bool = True) -> npt.NDArray[np.float64]:
    """World vectors (..., 3) in camera axes; `points` subtracts the camera's position, directions keep theirs."""
    turn = view_matrix(view)[:, :3]
    moved = vectors - np.asarray(view.position) if points else vectors
    x, y, z = moved[..., 0], moved[..., 1], moved[..., 2]
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in turn], axis=-1)


def to_pixels(view: ViewSpec, camera: npt.NDArray[np.float64], width: int, height: int) -> npt.NDArray[np.float64]:
    """Pixels (..., 2) of vectors (..., 3) in camera axes; meaningless behind the camera."""
    matrix = view_intrinsics(view, width, height)
    depth = camera[..., 2]
    return np.stack([matrix[axis, axis] * camera[..., axis] / depth + matrix[axis, 2] for axis in range(2)], axis=-1)


def rays(view: ViewSpec, pixels: npt.NDArray[np.float64], width: int, height: int) -> npt.NDArray[np.float64]:
    """World directions (..., 3) through pixels (..., 2), 1 deep along the line of sight."""
    matrix = view_intrinsics(view, width, height)
    x = (pixels[..., 0] - matrix[0, 2]) / matrix[0, 0]
    y = (pixels[..., 1] - matrix[1, 2]) / matrix[1, 1]
    right, up, ahead = view.right, view.up, forward(view)
    return np.stack([right[axis] * x - up[axis] * y + ahead[axis] for axis in range(3)], axis=-1)


def inside(pixels: npt.NDArray[np.float64], width: int, height: int) -> npt.NDArray[np.bool_]:
    """Which pixels (..., 2) lie in the picture's area."""
    x, y = pixels[..., 0], pixels[..., 1]
    return (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
