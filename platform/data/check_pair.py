"""Ground truth of a `pair` sample, derived again from its cameras and depths and compared with what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...methods.errors import DatasetError
from .cameras import Array, Camera, Size, inside, reproject, stored_cameras
from .check_eye import eye_findings
from .check_pictures import REACH, Finding, Mask, alignment_findings, dilate, look_up
from .flows import landing, parallax, visible_pixels

FLOW_TOLERANCE = 0.02
"""Largest distance of the flow from the reprojected depth, in pixels; beyond the source it grows with the distance."""
EDGE_FLOW_TOLERANCE = 0.1
"""The same at depth edges of the reference: the renderer's sample lies up to 0.005 pixels beside the pixel's centre,
which on a surface seen from the side is another depth."""
DEPTH_TOLERANCE = 0.01
"""How far, relative, a depth may lie outside of the range of its nine neighbours in the other map."""
VISIBLE_SHARE = 0.001
"""Share of the visible pixels that may disagree with the source's depth."""
EDGE_SHARE = 0.1
"""The same among pixels at depth edges of the reference: the source may miss what is thinner than a pixel."""
OCCLUDED_SHARE = 0.05
"""Share of the occluded pixels that may have nothing nearer beside their landing place: thin things again."""
FEW = 5
"""Pixels that may disagree however few there are."""
EDGE = REACH
"""Pixels beside a depth edge of the source that are not compared: there the filter mixes two objects."""
STEP = 0.1
"""Share of the depth that makes such an edge: a floor seen from the side is none."""
OVERLAP_TOLERANCE = 0.01
PARALLAX_TOLERANCE = 0.05
"""Relative, and in pixels on top."""


@dataclass(frozen=True)
class PairFields:
    """The decoded fields of one sample; None where the dataset has no such field."""

    source: Tensor
    """uint8 `(3, h, w)`."""
    gt: Tensor | None
    flow: NDArray[np.float32] | None
    truth_flow: NDArray[np.float32] | None
    """From the ground truth into the source, where things move by themselves."""
    moved: NDArray[np.float32] | None
    """From the reference to the same material points in the ground truth."""
    occlusion: NDArray[np.uint8] | None
    hidden: NDArray[np.uint8] | None
    """Of the ground truth's pixels, which the source does not show."""
    dynamic: NDArray[np.uint8] | None
    depths: tuple[NDArray[np.float32], NDArray[np.float32]] | None
    meta: dict[str, Any]
    reference_size: Size
    """(height, width)."""
    partial_flow: bool = False
    """The dataset says that its flow is not known everywhere."""

    @property
    def source_size(self) -> Size:
        """(height, width)."""
        return self.source.shape[-2], self.source.shape[-1]


def pair_findings(fields: PairFields) -> Iterator[Finding]:
    """Everything that is wrong with one sample's ground truth."""
    yield from _planar_findings(fields)
    for name, mask in (("occlusion", fields.occlusion), ("hidden", fields.hidden), ("dynamic", fields.dynamic)):
        grey = 0 if mask is None else int(((mask != 0) & (mask != 255)).sum())
        if grey:
            yield name, f"{name} has {grey} pixels that are neither 0 nor 255"
    hidden = None if fields.occlusion is None else fields.occlusion > 127
    still = np.ones(fields.reference_size, bool) if fields.dynamic is None else fields.dynamic <= 127
    try:
        cameras = stored_cameras(fields.meta, 2)
    except DatasetError as error:
        yield "cameras", str(error)
        cameras = None
    for name, depth in zip(("ref", "src"), fields.depths or (), strict=False):
        if np.isnan(depth).any() or (depth <= 0).any():
            yield "depth", f"depth '{name}' has {int((~(depth > 0)).sum())} values that are not above 0"
            return
    if fields.flow is None:
        return
    positions = landing(fields.flow)
    if "eye" in fields.meta:
        yield from eye_findings(positions, hidden, fields.meta)
    if fields.depths is None:
        lost = int((~np.isfinite(positions).all(-1)).sum())
        if lost == positions[..., 0].size or (lost and not fields.partial_flow):
            yield "flow", f"flow is not finite at {lost} pixels"
    elif cameras is not None:
        yield from _flow_findings(positions, fields.depths[0], cameras, fields.source_size, still)
    if hidden is not None:
        outside = int((hidden & ~inside(positions, fields.source_size, margin=-1.0)).sum())
        if outside:
            yield "occlusion", f"occlusion marks {outside} pixels whose points leave the source"
    if hidden is not None and fields.depths is not None and cameras is not None:
        expected = reproject(fields.depths[0], *cameras)
        edges = _depth_edges(fields.depths[0])
        yield from _visibility_findings(*expected, fields.depths[1], hidden, edges, still)
    visible = visible_pixels(positions, hidden, fields.source_size)
    if fields.moved is not None and (fields.moved[:, still] != 0).any():
        yield "dynamic", f"{int((fields.moved[:, still] != 0).any(0).sum())} pixels move that dynamic does not mark"
    if fields.gt is not None and fields.truth_flow is not None and fields.hidden is not None:
        onto = landing(fields.truth_flow)
        shown = visible_pixels(onto, fields.hidden > 127, fields.source_size)
        yield from alignment_findings(
            fields.source,
            fields.gt,
            onto,
            _clean(onto, shown, fields),
            "the source warped onto the ground truth",
            beats_unwarped=True,
        )
    elif fields.gt is not None:
        yield from alignment_findings(
            fields.source,
            fields.gt,
            positions,
            _clean(positions, visible, fields),
            "the source warped by the flow onto the ground truth",
            beats_unwarped=True,
        )
    yield from _meta_findings(fields, positions, visible)


def _planar_findings(fields: PairFields) -> Iterator[Finding]:
    """Homography and control points, which no other field tells: only their form can be judged."""
    if "homography" in fields.meta:
        try:
            matrix = np.array(fields.meta["homography"], np.float64)
        except (TypeError, ValueError):
            matrix = np.empty(0)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or np.linalg.matrix_rank(matrix) < 3:
            yield "homography", "the homography is not an invertible 3 x 3 matrix"
    if "points" not in fields.meta:
        return
    try:
        points = np.array(fields.meta["points"], np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 4 or not np.isfinite(points).all():
        yield "points", "the control points are not rows of four numbers"
        return
    for name, own, size in (("ref", points[:, :2], fields.reference_size), ("src", points[:, 2:], fields.source_size)):
        outside = int((~inside(own, size)).sum())
        if outside:
            yield "points", f"{outside} of {len(points)} control points lie outside of {name}"


def _flow_findings(
    positions: Array, depth: NDArray[np.float32], cameras: list[Camera], size: Size, still: Mask
) -> Iterator[Finding]:
    """Compare the flow of what stands still with the reprojected depth."""
    expected, _ = reproject(depth, *cameras)
    expected = np.where(still[..., None], expected, positions)
    there, known = np.isfinite(expected).all(-1), np.isfinite(positions).all(-1)
    lost = int((there & ~known & np.isfinite(depth)).sum())
    if lost:
        yield "flow", f"flow is not finite at {lost} pixels whose points lie before the source's camera"
    behind = int((~there & inside(positions, size)).sum())
    if behind:
        yield "flow", f"flow leads {behind} pixels into the source whose points lie behind its camera"
    both = there & known
    distance = np.linalg.norm(np.where(both[..., None], positions - expected, 0.0), axis=-1)
    # Far beyond the source a point is near the camera's plane, and the last digit of its depth moves it by pixels.
    reach = np.abs(np.nan_to_num(expected)).max(-1)
    allowed = np.where(_depth_edges(depth), EDGE_FLOW_TOLERANCE, FLOW_TOLERANCE)
    wrong = both & (distance > allowed + 1e-3 * np.maximum(reach - 2 * max(size), 0))
    if wrong.any():
        most = float(distance[wrong].max())
        yield "flow", f"flow of {int(wrong.sum())} pixels is up to {most:.3g} px off the depth and the cameras"


def _visibility_findings(
    expected: Array, depth: Array, other: NDArray[np.float32], hidden: Mask, edges: Mask, still: Mask
) -> Iterator[Finding]:
    """Compare the points' depths, seen from the source, with the source's own depth map around the landing pixels."""
    size: Size = (other.shape[0], other.shape[1])
    inner = inside(expected, size, margin=1.0)
    column, row = np.where(inner[..., None], np.nan_to_num(expected), 0).round().astype(int).transpose(2, 0, 1)
    # Nine neighbours instead of an interpolated depth: between two objects there is none.
    inverse = torch.from_numpy(1 / other)[None, None]
    nearest = (1 / F.max_pool2d(inverse, 3, 1, 1)[0, 0]).numpy()[row, column]
    farthest = (1 / -F.max_pool2d(-inverse, 3, 1, 1)[0, 0]).numpy()[row, column]
    with np.errstate(invalid="ignore"):
        seen = (depth >= nearest * (1 - DEPTH_TOLERANCE)) & (depth <= farthest * (1 + DEPTH_TOLERANCE))
        covered = nearest * (1 - DEPTH_TOLERANCE) < depth
    shown, gone = inner & ~hidden & still, inner & hidden & still
    for pixels, share, where in ((shown & ~edges, VISIBLE_SHARE, ""), (shown & edges, EDGE_SHARE, " at depth edges")):
        wrong, count = int((pixels & ~seen).sum()), int(pixels.sum())
        if wrong > share * count + FEW:
            yield "visibility", f"{wrong} of {count} visible pixels{where} disagree with the source's depth"
    bare = int((gone & ~covered).sum())
    if bare > OCCLUDED_SHARE * int(gone.sum()) + FEW:
        yield "visibility", f"nothing lies before {bare} of {int(gone.sum())} occluded pixels in the source"


def _clean(positions: Array, visible: Mask, fields: PairFields) -> Mask:
    """Visible pixels away from depth edges of the source, where its pixels mix two objects."""
    if fields.depths is None:
        return visible
    return visible & look_up(~dilate(_depth_edges(fields.depths[1], STEP), EDGE), positions)


def _depth_edges(depth: NDArray[np.float32], step: float = DEPTH_TOLERANCE) -> Mask:
    """Pixels whose nine neighbours differ in depth by more than a share, `(H, W)`."""
    inverse = torch.from_numpy(1 / depth)[None, None]
    low, high = -F.max_pool2d(-inverse, 3, 1, 1), F.max_pool2d(inverse, 3, 1, 1)
    return np.asarray((low < (1 - step) * high)[0, 0].numpy())


def _meta_findings(fields: PairFields, positions: Array, visible: Mask) -> Iterator[Finding]:
    stored = fields.meta.get("overlap")
    found = float(visible.mean())
    # A renderer may count a pixel at the border by its centre or by its area.
    slack = OVERLAP_TOLERANCE + 1 / min(fields.source_size)
    if isinstance(stored, int | float) and not abs(stored - found) <= slack:
        yield "overlap", f"overlap is {found:.3f} by flow and occlusion, meta.json says {stored:.3f}"
    told = fields.meta.get("parallax")
    if not isinstance(told, dict):
        return
    try:
        again = parallax(positions, visible, np.array(told["homography"], np.float64))
        percent = again.p90_percent / again.p90_px if again.p90_px else 1.0
        figures = [
            ("p90_px", float(told["p90_px"]), again.p90_px, 1.0),
            ("rms_px", float(told["rms_px"]), again.rms_px, 1.0),
            ("p90_percent", float(told["p90_percent"]), again.p90_percent, percent),
        ]
    except (KeyError, TypeError, ValueError):
        yield "parallax", "parallax in meta.json lacks p90_px, p90_percent, rms_px or a 3 x 3 homography"
        return
    for name, stated, derived, unit in figures:
        if not abs(stated - derived) <= PARALLAX_TOLERANCE * (derived + unit):
            yield "parallax", f"{name} is {derived:.3g} by flow and occlusion, meta.json says {stated:.3g}"
