"""Ground truth of a `sequence` sample, derived again from its cameras and compared with what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...methods.errors import DatasetError
from .cameras import Array, Camera, Size, inside, pixel_grid, plane_depth, plane_homography, stored_cameras, transform
from .check_pictures import REACH, Finding, Mask, alignment_findings, dilate, erode, look_up

CORNER_TOLERANCE = 0.01
"""Largest reprojection error of a picture corner, in pixels."""
DETERMINANT_TOLERANCE = 1e-9
DEPTH_TOLERANCE = 1e-3
"""Largest error of a depth, relative."""
EDGE = REACH + 1
"""Pixels of a frame beside the painting's edge that are not compared: filter and interpolation reach so far."""
STRAY_SHARE = 1e-3
"""Share of a frame's pixels that may have another depth than the plane: slivers of an occluder below half a pixel."""


@dataclass(frozen=True)
class SequenceFields:
    """The decoded fields of one sample; a list is empty where the dataset has no such field."""

    frames: list[Tensor]
    """uint8 `(3, H, W)` each."""
    gt: Tensor | None
    masks: list[NDArray[np.uint8]]
    depths: list[NDArray[np.float32]]
    meta: dict[str, Any]
    occluders_hidden: bool
    """The dataset's settings say that occluders throw shadows but are not seen."""

    @property
    def size(self) -> Size:
        """Of frame 0."""
        return self.frames[0].shape[-2], self.frames[0].shape[-1]


def sequence_findings(fields: SequenceFields) -> Iterator[Finding]:
    """Everything that is wrong with one sample's ground truth."""
    yield from _mask_findings(fields)
    try:
        cameras = stored_cameras(fields.meta, len(fields.frames))
    except DatasetError as error:
        yield "cameras", str(error)
        cameras = None
    stored = _stored_homographies(fields.meta, len(fields.frames))
    if isinstance(stored, str):
        yield "homography", stored
        return
    if stored is not None:
        yield from _homography_findings(stored, cameras, fields.size)
        if fields.meta.get("lighting") == "ambient" and fields.gt is not None and not any(_occluders(fields)):
            yield from _picture_findings(fields, stored)
    if cameras is not None and fields.depths:
        yield from _depth_findings(fields, cameras)


def _occluders(fields: SequenceFields) -> list[bool]:
    """Whether each frame lists occluders."""
    listed = fields.meta.get("occluders", [])
    return [bool(each) for each in listed] if isinstance(listed, list) else []


def _mask_findings(fields: SequenceFields) -> Iterator[Finding]:
    listed = _occluders(fields)
    if listed and len(listed) != len(fields.frames):
        yield "mask", f"occluders are listed for {len(listed)} frames, there are {len(fields.frames)}"
    for k, mask in enumerate(fields.masks):
        grey = int(((mask != 0) & (mask != 255)).sum())
        if grey:
            yield "mask", f"mask {k} has {grey} pixels that are neither 0 nor 255"
        hidden = fields.occluders_hidden or (k < len(listed) and not listed[k])
        if hidden and mask.any():
            why = "all occluders are hidden" if fields.occluders_hidden else "the frame has no occluder"
            yield "mask", f"mask {k} marks {int((mask > 0).sum())} pixels though {why}"


def _stored_homographies(meta: dict[str, Any], frames: int) -> list[Array] | str | None:
    """The matrices, None where there are none, or what is wrong with them."""
    if "homographies" not in meta:
        return None
    try:
        matrices = np.array(meta["homographies"], np.float64)
    except (TypeError, ValueError):
        return "the homographies are not 3 x 3 matrices"
    if matrices.shape == (frames - 1, 3, 3):  # without the identity of frame 0
        matrices = np.concatenate([np.eye(3)[None], matrices])
    if matrices.shape != (frames, 3, 3):
        return f"homographies of shape {matrices.shape} for {frames} frames"
    if not np.isfinite(matrices).all():
        return "a homography is not finite"
    for k, matrix in enumerate(matrices):
        if abs(np.linalg.det(matrix / np.abs(matrix).max())) < 1e-12:
            return f"homography 0 to {k} is singular"
    return list(matrices)


def _corners(size: Size) -> Array:
    """Corners of the picture's area `(4, 2)`."""
    height, width = size
    return np.array([[x, y] for y in (-0.5, height - 0.5) for x in (-0.5, width - 0.5)])


def _error(a: Array, b: Array, points: Array) -> float:
    """Largest distance between where two homographies bring the points; inf where only one of them sees a point."""
    ours, theirs = transform(a, points), transform(b, points)
    distance = np.linalg.norm(ours - theirs, axis=-1)
    unseen = np.isnan(ours[:, 0]) & np.isnan(theirs[:, 0])
    return float(np.nan_to_num(np.where(unseen, 0.0, distance), nan=np.inf).max())


def _homography_findings(stored: list[Array], cameras: list[Camera] | None, size: Size) -> Iterator[Finding]:
    corners = _corners(size)
    error = _error(stored[0] / stored[0][2, 2], np.eye(3), corners)
    if error > CORNER_TOLERANCE:
        yield "homography", f"homography 0 to 0 is not the identity: its corners move by {error:.3g} px"
    if cameras is None:
        return
    wrong = set()
    for k, matrix in enumerate(stored):
        determinant = float(np.linalg.det(matrix))
        if abs(determinant - 1) > DETERMINANT_TOLERANCE:
            yield "determinant", f"homography 0 to {k} has the determinant {determinant:.6g}, not 1"
        error = _error(matrix, plane_homography(cameras[0], cameras[k]), corners)
        if error > CORNER_TOLERANCE:
            wrong.add(k)
            yield "homography", f"homography 0 to {k} is {error:.3g} px off its cameras at the corners"
    for i in range(1, len(stored)):
        for j in range(i + 1, len(stored)):
            if wrong & {i, j}:
                continue
            between = plane_homography(cameras[i], cameras[j])
            error = _error(between @ stored[i], stored[j], corners)
            # The same from frame i's side, at those of its corners that lie on the painting's picture or near it.
            near = corners[inside(transform(np.linalg.inv(stored[i]), corners), size, margin=-0.5 * max(size))]
            if len(near):
                error = max(error, _error(stored[j] @ np.linalg.inv(stored[i]), between, near))
            if error > CORNER_TOLERANCE:
                yield "composition", f"homographies 0 to {i} and {i} to {j} do not make 0 to {j}: {error:.3g} px off"


def _picture_findings(fields: SequenceFields, stored: list[Array]) -> Iterator[Finding]:
    """Seen by its own light, each frame warped onto frame 0 is the undisturbed picture."""
    assert fields.gt is not None
    for k, matrix in enumerate(stored):
        positions = transform(matrix, pixel_grid(fields.size))
        own: Size = (fields.frames[k].shape[-2], fields.frames[k].shape[-1])
        # The painting ends in black: pixels near its edge in frame k, however small it is there, are mixed with it.
        inner = erode(inside(transform(np.linalg.inv(matrix), pixel_grid(own)), fields.size), EDGE)
        visible = look_up(inner, positions)
        what = f"frame {k} warped onto the ground truth"
        yield from alignment_findings(fields.frames[k], fields.gt, positions, visible, what)


def _depth_findings(fields: SequenceFields, cameras: list[Camera]) -> Iterator[Finding]:
    for k, depth in enumerate(fields.depths):
        size: Size = (depth.shape[0], depth.shape[1])
        if np.isnan(depth).any() or (depth <= 0).any():
            yield "depth", f"depth {k} has {int((~(depth > 0)).sum())} values that are not above 0"
            continue
        expected = plane_depth(cameras[k], size)
        painting = _on_painting(cameras, k, size, fields.size)
        # A pixel of a mask is half covered or more: beside it, an occluder may still lie under the pixel's centre.
        free = erode(fields.masks[k] == 0, 2) if fields.masks else np.ones(size, bool)
        inner, outer = erode(painting, 1) & free, ~dilate(painting, 1) & free
        with np.errstate(invalid="ignore"):
            wrong = inner & ~(np.abs(depth - expected) <= DEPTH_TOLERANCE * expected)
        stray = outer & np.isfinite(depth)
        for pixels, what in ((wrong, "is not that of the painting"), (stray, "is finite outside of the painting")):
            count = int(pixels.sum())
            if count > STRAY_SHARE * depth.size:
                yield "depth", f"depth {k} {what} at {count} pixels where no occluder is"


def _on_painting(cameras: list[Camera], k: int, size: Size, reference: Size) -> Mask:
    """Which pixels of frame k show the painting, `(H, W)`: those that frame 0, which it fills, shows as well."""
    return inside(transform(plane_homography(cameras[k], cameras[0]), pixel_grid(size)), reference)
