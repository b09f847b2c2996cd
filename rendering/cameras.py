"""Cameras that look at the plane z = 0, and the exact homographies between their pictures.

Convention. World: Blender's, right-handed, the painting lies in the plane z = 0, centred at the origin, 7 units high,
its upper edge towards +y. Picture: pixel centres at integers, x right, y down; the picture's area is
[-0.5, W - 0.5] x [-0.5, H - 0.5]. A point at u, v in [-1, 1] (normalised device coordinates, v up) lies at
`x = W (u + 1) / 2 - 0.5`, `y = H (1 - v) / 2 - 0.5`. `homography(a, b)` maps pixels of a to pixels of b.

The released SIDAR script writes `x = (W - 1) (u + 1) / 2`, which is off by up to half a pixel at the borders
(`sidar_correction`).

What is written into a dataset is computed from small matrices by `product` and `inverse`, one operation after the other
in a fixed order: a linear-algebra library's last digit depends on the processor and on where an array lies in memory,
and a scene's bytes must not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Vector = tuple[float, float, float]

PLANE_HEIGHT = 7.0
"""Height of the painting, in Blender units."""
SENSOR_WIDTH = 36.0
"""Width of the sensor, in mm; it spans the picture's longer side, which is the width here."""
REFERENCE_HEIGHT = 10.0
"""Height of the camera of frame 0 above the painting, in Blender units."""


@dataclass(frozen=True)
class CameraSpec:
    """A pinhole camera whose optical axis goes through the origin."""

    position: Vector
    """Centre of projection, in Blender units."""
    lens: float
    """Focal length in mm, on a sensor `SENSOR_WIDTH` wide."""


def reference_camera(aspect: float) -> CameraSpec:
    """The camera of frame 0: looks straight down and is exactly filled by the painting.

    Args:
        aspect: width of the painting over its height, at least 1.
    """
    return CameraSpec((0.0, 0.0, REFERENCE_HEIGHT), REFERENCE_HEIGHT * SENSOR_WIDTH / (PLANE_HEIGHT * aspect))


def rotation(camera: CameraSpec) -> Matrix:
    """Camera-to-world rotation (3, 3) in Blender's camera axes: x right, y up, looking along -z.

    It is the smallest rotation that brings the world's z axis to the direction of the camera, so a camera right above
    the origin has the identity, and the roll of the others follows from their place (niika/SIDAR).
    """
    x, y, z = camera.position
    distance = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / distance, y / distance, z / distance
    # Rodrigues' formula for the axis (0, 0, 1) x (x, y, z) = (-y, x, 0) and the cosine z.
    cross = np.array([[0.0, 0.0, x], [0.0, 0.0, y], [-x, -y, 0.0]])
    return np.eye(3) + cross + product(cross, cross) / (1.0 + z)


def intrinsics(camera: CameraSpec, width: int, height: int) -> Matrix:
    """Matrix K (3, 3) from camera axes (x right, y down, z forward) to pixels; needs `width >= height`."""
    focal = camera.lens / SENSOR_WIDTH * width
    return np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])


def world_to_camera(camera: CameraSpec) -> Matrix:
    """Matrix [R|t] (3, 4) from the world to camera axes x right, y down, z forward."""
    turn = rotation(camera).T * [[1.0], [-1.0], [-1.0]]
    return np.column_stack([turn, -product(turn, np.asarray(camera.position)[:, None])])


def project(camera: CameraSpec, points: npt.ArrayLike, width: int, height: int) -> Matrix:
    """Pixels (N, 2) of world points (N, 3). Points behind the camera have no meaningful pixel."""
    world = np.asarray(points, dtype=np.float64)
    homogeneous = np.column_stack([world, np.ones(len(world))])
    image = homogeneous @ (intrinsics(camera, width, height) @ world_to_camera(camera)).T
    return image[:, :2] / image[:, 2:]


def plane_to_pixels(camera: CameraSpec, width: int, height: int) -> Matrix:
    """Homography (3, 3) from plane coordinates (X, Y) at z = 0 to pixels: K [r1 r2 t]."""
    return product(intrinsics(camera, width, height), world_to_camera(camera)[:, [0, 1, 3]])


def homography(source: CameraSpec, target: CameraSpec, width: int, height: int) -> Matrix:
    """Homography (3, 3) that maps pixels of `source` to pixels of `target`, through the plane z = 0; det = 1."""
    matrix = product(plane_to_pixels(target, width, height), inverse(plane_to_pixels(source, width, height)))
    # Both cameras are above the plane, so the determinant is positive and its real cube root as well.
    return matrix / math.cbrt(determinant(matrix))


def product(a: Matrix, b: Matrix) -> Matrix:
    """The product of (n, 3) and (3, m)."""
    total = np.zeros((len(a), b.shape[1]))
    for k in range(3):
        total += a[:, k, None] * b[None, k]
    return total


def determinant(matrix: Matrix) -> float:
    """The determinant of a 3 x 3 matrix."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    return float(a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g))


def inverse(matrix: Matrix) -> Matrix:
    """The inverse of a 3 x 3 matrix, by its adjugate."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    adjugate = [
        [e * i - f * h, c * h - b * i, b * f - c * e],
        [f * g - d * i, a * i - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    return np.array(adjugate) / determinant(matrix)


def sidar_correction(width: int, height: int) -> Matrix:
    """Matrix S (3, 3) from the released script's pixel coordinates to ours: `H = S H_sidar S^-1`."""
    return np.array([[width / (width - 1), 0.0, -0.5], [0.0, height / (height - 1), -0.5], [0.0, 0.0, 1.0]])


def plane_corners(aspect: float) -> Matrix:
    """World corners (4, 3) of the painting as frame 0 sees them: top left, top right, bottom right, bottom left."""
    half_width, half_height = PLANE_HEIGHT * aspect / 2, PLANE_HEIGHT / 2
    return np.array(
        [
            [-half_width, half_height, 0.0],
            [half_width, half_height, 0.0],
            [half_width, -half_height, 0.0],
            [-half_width, -half_height, 0.0],
        ]
    )
