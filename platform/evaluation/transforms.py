"""Metrics of the transform that a method found: its homography, its flow, where it brings control points.

Homographies and flows lead from the reference to the source. All errors are in pixels: of the source for corners and
flow vectors, of the reference for control points.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...methods.geometry import (
    Size,
    homography_positions,
    image_corners,
    invert_homography,
    pixel_grid,
    transform_points,
)

NEAR = 2.0
"""How far beside the nearest landing pixel of a flow a point may lie, in spacings of the landing pixels, at least in
pixels of the source."""


def homography_metrics(found: Tensor, true: Tensor, size: Size) -> dict[str, float]:
    """Errors of a homography against the true one; both `(3, 3)`, reference pixels to source pixels.

    Args:
        found: the estimate.
        true: the ground truth.
        size: of the reference.

    Returns:
        corner_error: mean distance of the reference's corners mapped by both, in pixels (DeTone et al. 2016). e2: DIAR
        Eq. 18 with the image corners, the same number. e1: Frobenius distance of the matrices, each scaled to
        determinant 1 (DIAR section 6.3); missing where the estimate is singular.
    """
    found, true = found.double(), true.double()
    corners = image_corners(size)
    distance = (transform_points(found[None], corners[None]) - transform_points(true[None], corners[None])).norm(dim=-1)
    mean = float(distance.mean())
    metrics = {"corner_error": mean, "e2": mean}
    e1 = torch.linalg.matrix_norm(_unit_determinant(found) - _unit_determinant(true))
    if bool(e1.isfinite()):
        metrics["e1"] = float(e1)
    return metrics


def _unit_determinant(matrix: Tensor) -> Tensor:
    determinant = torch.linalg.det(matrix)
    return matrix / (determinant.sign() * determinant.abs().pow(1 / 3))


def homography_flow(homography: Tensor, size: Size) -> Tensor:
    """The flow of a homography.

    Args:
        homography: `(3, 3)`, reference pixels to source pixels.
        size: of the reference.

    Returns:
        `(2, H, W)`, float32, pixels; far outside of any picture where a pixel lies beyond the horizon.
    """
    return (homography_positions(homography[None], size)[0] - pixel_grid(size)).permute(2, 0, 1)


def vector_lengths(flow: Tensor) -> Tensor:
    """Lengths `(H, W)` of a flow `(2, H, W)`; along this axis the norm of torch takes thirty times as long."""
    return flow.square().sum(0).sqrt()


def flow_inside(flow: Tensor, source_size: Size) -> Tensor:
    """The flow `(2, H, W)` where it leads into the source, NaN elsewhere."""
    height, width = source_size
    positions = pixel_grid((flow.shape[1], flow.shape[2])).permute(2, 0, 1) + flow
    x, y = positions
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return torch.where(inside, flow, torch.nan)


def end_point_error(found: Tensor, true: Tensor) -> float | None:
    """Mean length of the difference of two flows where the true one is known (Baker et al. 2011).

    There is no cap: a homography whose horizon crosses the picture costs what its wrong vectors are long.

    Args:
        found: `(2, H, W)`, pixels.
        true: `(2, H, W)`, pixels; NaN where unknown.

    Returns:
        Pixels; None where nothing is known.
    """
    known = true.isfinite().all(0)
    if not bool(known.any()):
        return None
    return float(vector_lengths((found - true).double())[known].mean())


def is_planar(flow: Tensor, homography: Tensor) -> bool:
    """Whether a flow says no more than a homography: they differ by at most 0.1 px on a grid of 17 x 17 pixels.

    Pixels that the homography sends more than a picture's length outside do not count: their vectors are so long that
    single precision does not hold them.

    Args:
        flow: `(2, H, W)`, pixels.
        homography: `(3, 3)`.
    """
    height, width = flow.shape[1:]
    rows = torch.linspace(0, height - 1, 17).round().long()
    columns = torch.linspace(0, width - 1, 17).round().long()
    planar = homography_flow(homography, (height, width))[:, rows][:, :, columns]
    told = flow[:, rows][:, :, columns]
    inside = planar.abs().amax(0) <= 2 * max(height, width)
    return bool((vector_lengths(planar - told)[inside] <= 0.1).all())


def point_errors(points: Tensor, transform: Tensor) -> Tensor:
    """Distances in the reference of control points that are mapped there from the source, as FIRE's protocol does it.

    A homography maps them by its inverse. A flow is inverted at each point: where its pixels land in the source, the
    nearest to the point is found, and the rest of the way is gone with the flow's derivatives there. Where that step
    is no part of the picture (the derivatives cannot be inverted, or it is longer than `NEAR` pixels) the pixel itself
    is the answer. A point is lost, with an infinite error, where the nearest pixel lands farther away than `NEAR`
    times the distance of neighbouring landing pixels.

    Args:
        points: `(K, 4)`, float64, rows x_reference y_reference x_source y_source.
        transform: reference to source, a homography `(3, 3)` or a flow `(2, H, W)` in pixels.

    Returns:
        `(K,)`, float64, pixels of the reference.
    """
    truth, source = points[:, :2].double(), points[:, 2:].double()
    if transform.dim() == 2:
        found = transform_points(invert_homography(transform.double()[None]), source[None])[0]
    else:
        found = _invert_flow(transform, source)
    return (found - truth).norm(dim=-1).nan_to_num(nan=torch.inf)


def _invert_flow(flow: Tensor, points: Tensor) -> Tensor:
    """Reference pixels `(K, 2)` that a flow brings to points `(K, 2)` of the source; NaN for lost points."""
    height, width = flow.shape[1:]
    landing = flow + pixel_grid((height, width)).permute(2, 0, 1)
    found = torch.full_like(points, torch.nan)
    for index, point in enumerate(points):
        distances = (landing - point.to(landing.dtype)[:, None, None]).square().sum(0)
        y, x = divmod(int(distances.argmin()), width)
        rest = point - landing[:, y, x].double()
        jacobian = _derivatives(landing, x, y)
        spacing = float(jacobian.norm()) / 2**0.5
        if float(rest.norm()) > NEAR * max(1.0, spacing):
            continue
        step = torch.linalg.solve_ex(jacobian, rest).result
        if not float(step.norm()) <= NEAR:
            step = torch.zeros_like(step)
        found[index] = torch.tensor([x, y], dtype=torch.float64) + step
    return found


def _derivatives(landing: Tensor, x: int, y: int) -> Tensor:
    """Jacobian `(2, 2)`, float64, of landing positions `(2, H, W)` at a pixel: central differences, one-sided at the
    border; an axis of one pixel does not move.
    """
    height, width = landing.shape[1:]
    left, right = max(x - 1, 0), min(x + 1, width - 1)
    above, below = max(y - 1, 0), min(y + 1, height - 1)
    along_x = (landing[:, y, right] - landing[:, y, left]).double() / max(right - left, 1)
    along_y = (landing[:, below, x] - landing[:, above, x]).double() / max(below - above, 1)
    return torch.stack([along_x, along_y], dim=1)
