"""Ground truth of a pair of retinal photographs, derived again from the eye and the cameras in its `meta.json`.

The retina is an ellipsoid around the origin: `radius` across the y axis, `radius * stretch` along it. A camera is a
pinhole behind a lens with the division model of radial distortion (Fitzgibbon, CVPR 2001): a place q = (x, y) on the
film, in focal lengths from the line of sight, shows the direction q / (1 + distortion * |q|^2). Its field is an ellipse
around the line of sight's pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...methods.errors import DatasetError
from .cameras import Array, Camera, inside, pixel_grid, stored_cameras
from .check_pictures import Finding, Mask

FLOW_TOLERANCE = 0.02
"""Largest distance of the flow from that by the cameras, in pixels of the source, within the source."""
POINT_TOLERANCE = 0.01
"""The same of a control point."""
RIM = 0.5
"""Pixels at the rim of a field that may count to either side."""


@dataclass(frozen=True)
class _Shot:
    camera: Camera
    distortion: float
    field: tuple[float, float]
    """Half axes, in pixels."""


def eye_findings(positions: Array, hidden: Mask | None, meta: dict[str, Any]) -> Iterator[Finding]:
    """What is wrong with the flow, the occlusion and the control points of a pair with an `eye` in its `meta.json`.

    Args:
        positions: where the pixels of the reference lie in the source, `(H, W, 2)`.
        hidden: `(H, W)`, or None where the dataset has no occlusion.
        meta: of the pair.
    """
    try:
        radii = np.array([1.0, float(meta["eye"]["stretch"]), 1.0]) * float(meta["eye"]["radius"])
        reference, source = _shots(meta)
    except (DatasetError, KeyError, TypeError, ValueError):
        yield "cameras", "the eye or the cameras in meta.json are not what a pair of retinal photographs has"
        return
    size = positions.shape[0], positions.shape[1]
    pixels = pixel_grid(size)
    expected = _landing(pixels, radii, reference, source)
    near = inside(expected, size)
    distance = np.linalg.norm(np.where(near[..., None], positions - expected, 0.0), axis=-1)
    wrong = near & ~(distance <= FLOW_TOLERANCE)
    if wrong.any():
        yield "flow", f"flow of {int(wrong.sum())} pixels is up to {distance.max():.3g} px off the eye and the cameras"
    seen = near & (True if hidden is None else ~hidden)
    beyond = int((seen & ~(_in_field(pixels, reference) & _in_field(expected, source))).sum())
    if beyond:
        yield "occlusion", f"{beyond} pixels beyond the field of a camera count as seen"
    points = np.array(meta.get("points", np.empty((0, 4))), np.float64)
    if points.ndim == 2 and points.shape[1] == 4 and len(points):
        gaps = np.linalg.norm(_landing(points[:, :2], radii, reference, source) - points[:, 2:], axis=-1)
        if not (gaps <= POINT_TOLERANCE).all():
            yield "points", f"control points are up to {gaps.max():.3g} px off the eye and the cameras"


def _shots(meta: dict[str, Any]) -> list[_Shot]:
    cameras = stored_cameras(meta, 2) or []
    return [
        _Shot(camera, float(told["distortion"]), (float(told["field"][0]), float(told["field"][1])))
        for camera, told in zip(cameras, meta["cameras"], strict=True)
    ]


def _landing(pixels: Array, radii: Array, reference: _Shot, source: _Shot) -> Array:
    """Where pixels of the reference (..., 2) lie in the source: through the lens, onto the ellipsoid, and back."""
    film = (pixels - reference.camera.intrinsics[:2, 2]) / np.diag(reference.camera.intrinsics)[:2]
    plane = film / (1 + reference.distortion * np.square(film).sum(-1, keepdims=True))
    turn, shift = reference.camera.world_to_camera[:, :3], reference.camera.world_to_camera[:, 3]
    way = np.concatenate([plane, np.ones_like(plane[..., :1])], -1) @ turn / radii
    start = -(turn.T @ shift) / radii
    # In units of the radii the ellipsoid is the unit sphere.
    a, b, c = np.square(way).sum(-1), way @ start, start @ start - 1
    length = (-b + np.sqrt(np.maximum(b * b - a * c, 0))) / a
    point = (start + length[..., None] * way) * radii
    moved = point @ source.camera.world_to_camera[:, :3].T + source.camera.world_to_camera[:, 3]
    plane = moved[..., :2] / np.where(moved[..., 2:] > 0, moved[..., 2:], np.nan)
    root = np.sqrt(np.maximum(1 - 4 * source.distortion * np.square(plane).sum(-1, keepdims=True), 0))
    film = 2 * plane / (1 + root)
    return np.asarray(film * np.diag(source.camera.intrinsics)[:2] + source.camera.intrinsics[:2, 2])


def _in_field(pixels: Array, shot: _Shot) -> Mask:
    """Which pixels (..., 2) lie in the field, or at its rim."""
    offset = (pixels - shot.camera.intrinsics[:2, 2]) / (np.array(shot.field) + RIM)
    return np.asarray(np.square(offset).sum(-1) <= 1)
