"""Stored camera matrices, and the exact geometry that follows from them.

A camera has axes x right, y down, z forward; pixel centres lie at integers. `intrinsics` (3, 3) brings camera axes to
pixels, `world_to_camera` (3, 4) the world to camera axes. Everything here is float64, independent of the code that
wrote the dataset: `raylign data verify` derives the ground truth a second time with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...methods.errors import DatasetError

Array = NDArray[np.float64]
Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class Camera:
    """One pinhole camera."""

    intrinsics: Array
    """`(3, 3)`."""
    world_to_camera: Array
    """`(3, 4)`."""


def stored_cameras(meta: dict[str, Any], count: int) -> list[Camera] | None:
    """The cameras in a sample's `meta.json`, or None where it has none.

    Raises:
        DatasetError: there are not `count` of them, or one is not of two finite matrices.
    """
    if "cameras" not in meta:
        return None
    try:
        cameras = [
            Camera(np.array(each["intrinsics"], np.float64), np.array(each["world_to_camera"], np.float64))
            for each in meta["cameras"]
        ]
    except (TypeError, KeyError, ValueError):
        raise DatasetError("the cameras are not pairs of intrinsics and world_to_camera") from None
    if len(cameras) != count:
        raise DatasetError(f"{len(cameras)} cameras for {count} frames")
    for each in cameras:
        if each.intrinsics.shape != (3, 3) or each.world_to_camera.shape != (3, 4):
            raise DatasetError("a camera's matrices are not 3 x 3 and 3 x 4")
        if not (np.isfinite(each.intrinsics).all() and np.isfinite(each.world_to_camera).all()):
            raise DatasetError("a camera's matrices are not finite")
    return cameras


def pixel_grid(size: Size) -> Array:
    """Pixel centres `(H, W, 2)`."""
    ys, xs = np.indices(size)
    return np.stack([xs, ys], -1).astype(np.float64)


def pixel_rays(camera: Camera, size: Size) -> Array:
    """Rays `(H, W, 3)` in camera axes through the pixel centres, z = 1."""
    inverse = np.linalg.inv(camera.intrinsics)
    return np.asarray(pixel_grid(size) @ inverse[:, :2].T + inverse[:, 2])


def plane_to_pixels(camera: Camera) -> Array:
    """Homography `(3, 3)` from (X, Y) on the plane z = 0 to pixels: K [r1 r2 t]."""
    return camera.intrinsics @ camera.world_to_camera[:, [0, 1, 3]]


def plane_homography(a: Camera, b: Camera) -> Array:
    """Homography `(3, 3)` from pixels of a to pixels of b through the plane z = 0, determinant 1."""
    matrix = plane_to_pixels(b) @ np.linalg.inv(plane_to_pixels(a))
    return np.asarray(matrix / np.cbrt(np.linalg.det(matrix)))


def plane_depth(camera: Camera, size: Size) -> Array:
    """Depth `(H, W)` of the plane z = 0 along the optical axis; inf where a ray never meets it."""
    turn, shift = camera.world_to_camera[:, :3], camera.world_to_camera[:, 3]
    # Height above the plane: that of the camera's centre, and what a ray gains for each unit of depth.
    centre = -(turn.T @ shift)[2]
    slope = pixel_rays(camera, size) @ turn[:, 2]
    with np.errstate(divide="ignore"):
        depth = -centre / slope
    return np.where(depth > 0, depth, np.inf)


def reproject(depth: NDArray[np.floating[Any]], a: Camera, b: Camera) -> tuple[Array, Array]:
    """Where the points of a's depth map lie in b.

    With the inverse depth, p = K_b (R ray + t / d), a point at infinity is nothing special: its d is inf, and only the
    rotation moves it.

    Args:
        depth: `(H, W)`, inf where nothing is seen.
        a: the camera of the depth map.
        b: the other camera.

    Returns:
        Pixels of b `(H, W, 2)`, NaN for points that are not in front of b, and depths in b `(H, W)`.
    """
    turn = b.world_to_camera[:, :3] @ a.world_to_camera[:, :3].T
    shift = b.world_to_camera[:, 3] - turn @ a.world_to_camera[:, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / depth.astype(np.float64)
        directions = pixel_rays(a, (depth.shape[0], depth.shape[1])) @ turn.T + inverse[..., None] * shift
        homogeneous = directions @ b.intrinsics.T
        front = directions[..., 2] > 0
        positions = homogeneous[..., :2] / np.where(front, homogeneous[..., 2], np.nan)[..., None]
        return positions, depth * directions[..., 2]


def transform(homography: Array, points: Array) -> Array:
    """Apply a homography to points `(..., 2)`; NaN for points on the other side of its horizon.

    As in `methods/geometry.py`, the side that can be seen is the one on which the map keeps its orientation.
    """
    homogeneous = points @ homography[:, :2].T + homography[:, 2]
    seen = homogeneous[..., 2] * np.sign(np.linalg.det(homography)) > 1e-12
    with np.errstate(invalid="ignore"):
        return np.asarray(homogeneous[..., :2] / np.where(seen, homogeneous[..., 2], np.nan)[..., None])


def inside(positions: NDArray[np.floating[Any]], size: Size, margin: float = 0.0) -> NDArray[np.bool_]:
    """Which positions `(..., 2)` lie in the area [-0.5, W - 0.5] x [-0.5, H - 0.5], less a margin; NaN never does."""
    height, width = size
    x, y = positions[..., 0], positions[..., 1]
    low = margin - 0.5
    with np.errstate(invalid="ignore"):
        return np.asarray((x >= low) & (y >= low) & (x <= width - 0.5 - margin) & (y <= height - 0.5 - margin))
