"""Losses of the cross-scale method, in float32 and in the range [-1, 1] of images (paper Eqs. 9 to 13; UDIS++).

Reference and source (the papers' target) are `(B, 3, S, S)`; meshes are `(B, U, V, 2)` in pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry, tps

OVERLAP = 0.999
"""Coverage from which a pixel counts as overlap in a binary mask."""
CELL_SAMPLES = 8
"""Positions per side of a mesh cell at which its overlap is measured; 64 of them settle the 90 % limit well enough."""
CELL_OVERLAP = 0.9
"""A cell with less than this share inside the reference frame is a non-overlap cell (UDIS++)."""
LARGEST_CELL = 2.0
"""Cells up to this multiple of the regular cell are not punished (UDIS++)."""


def fit_mesh(mesh: Tensor, size: geometry.Size) -> tps.ThinPlateSpline:
    """The spline with `T(M^f_k) = M_k`: from the reference frame into the source, both in [-1, 1].

    Args:
        mesh: M^f `(B, U, V, 2)`, where the vertices of the regular source mesh lie in the reference frame, pixels.
        size: of both frames.
    """
    return tps.fit(*_control_points(mesh, size))


def mesh_positions(mesh: Tensor, size: geometry.Size) -> Tensor:
    """Where each reference pixel lies in the source, to some thousandths of a pixel (`ThinPlateSpline.on_picture`).

    `(B, S, S, 2)`, pixels, float32.
    """
    return geometry.denormalise_points(fit_mesh(mesh, size).on_picture(size), size)


def content_loss(
    reference: Tensor, source: Tensor, warped: Tensor, mask: Tensor, homography: Tensor, homography_weight: float
) -> Tensor:
    """L_content: colour-balanced L1 through the homography, both ways, and through the mesh.

    `w (mean|R' * warp(1, H) - warp(S, H)| + mean|S' * warp(1, H^-1) - warp(R, H^-1)|) + mean|R'' * m - S^w|`, means
    over all pixels. R', S' and R'' have the mean colour of what they are compared with: the released UDIS++ program
    does that, and without it differences of exposure outweigh those of alignment.

    Args:
        reference: `(B, 3, S, S)` in [-1, 1].
        source: like `reference`.
        warped: the source through the mesh.
        mask: coverage of `warped`, `(B, 1, S, S)`.
        homography: `(B, 3, 3)`, reference to source.
        homography_weight: w, 3 in UDIS++.
    """
    size = (reference.shape[-2], reference.shape[-1])
    loss = _balanced_l1(reference, warped, mask)
    if homography_weight:
        loss = loss + homography_weight * (
            _balanced_l1(reference, *geometry.warp_by_homography(source, homography, size))
            + _balanced_l1(
                source, *geometry.warp_by_homography(reference, geometry.invert_homography(homography), size)
            )
        )
    return loss


def _balanced_l1(image: Tensor, warped: Tensor, mask: Tensor) -> Tensor:
    covered = mask.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)
    shift = (warped.sum(dim=(2, 3), keepdim=True) - (image * mask).sum(dim=(2, 3), keepdim=True)) / covered
    return ((image + shift) * mask - warped).abs().mean()


def jnd_loss(reference: Tensor, warped: Tensor, mask: Tensor, threshold: Tensor) -> Tensor:
    """L_JND: mean over all pixels and channels of the difference beyond the threshold (paper Eqs. 9 to 12).

    Args:
        reference: `(B, 3, S, S)` in [-1, 1].
        warped: like `reference`.
        mask: `(B, 1, S, S)`, made binary here; no gradient.
        threshold: J in grey levels `(B, 1, S, S)`, one for all colours; divided by 127.5 to match the images.
    """
    overlap = (mask >= OVERLAP).to(reference.dtype)
    return F.relu(((reference - warped).abs() - threshold / 127.5) * overlap).mean()


def shape_loss(mesh: Tensor, size: geometry.Size) -> Tensor:
    """L_shape `= L_intra + L_inter` of the mesh in the reference frame, in pixels (intra) and cosines (inter)."""
    return intra_cell_loss(mesh, size) + inter_cell_loss(mesh, non_overlap_cells(mesh, size))


def intra_cell_loss(mesh: Tensor, size: geometry.Size) -> Tensor:
    """Mean excess of the cells' width and height over twice the regular cell, in pixels.

    From above only: so does the released UDIS++ program, whose weight alpha = 10 the paper uses.
    """
    height, width = size
    rows, columns = mesh.shape[1:3]
    widths = (mesh[:, :, 1:] - mesh[:, :, :-1])[..., 0]
    heights = (mesh[:, 1:] - mesh[:, :-1])[..., 1]
    too_wide = F.relu(widths - LARGEST_CELL * width / (columns - 1)).mean()
    return too_wide + F.relu(heights - LARGEST_CELL * height / (rows - 1)).mean()


def inter_cell_loss(mesh: Tensor, non_overlap: Tensor) -> Tensor:
    """How much edges bend from one cell to the next, where both cells lie outside the overlap.

    Args:
        mesh: `(B, U, V, 2)`.
        non_overlap: `(B, U-1, V-1)`, 1 for cells outside the overlap (`non_overlap_cells`).
    """
    right = _bend(mesh[:, :, 1:] - mesh[:, :, :-1], dim=2)
    down = _bend(mesh[:, 1:] - mesh[:, :-1], dim=1)
    # The top and the bottom edge of each pair of neighbours, the left and the right one.
    horizontal = (right[:, :-1] + right[:, 1:]) * non_overlap[:, :, :-1] * non_overlap[:, :, 1:]
    vertical = (down[:, :, :-1] + down[:, :, 1:]) * non_overlap[:, :-1] * non_overlap[:, 1:]
    return horizontal.mean() + vertical.mean()


def _bend(edges: Tensor, dim: int) -> Tensor:
    count = edges.shape[dim] - 1
    return 1 - F.cosine_similarity(edges.narrow(dim, 0, count), edges.narrow(dim, 1, count), dim=-1)


@torch.no_grad()
def non_overlap_cells(mesh: Tensor, size: geometry.Size) -> Tensor:
    """Which cells of the regular source mesh lie outside the reference frame, `(B, U-1, V-1)`, 1 or 0; no gradient.

    The spline with the point sets swapped takes source pixels into the reference frame; a cell is outside when less
    than 90 % of it lands inside.
    """
    rows, columns = mesh.shape[1] - 1, mesh.shape[2] - 1
    points, values = _control_points(mesh, size)
    swapped = tps.fit(values, points)
    xs, ys = (_cell_samples(cells, mesh.device) for cells in (columns, rows))
    landed = geometry.denormalise_points(swapped.on_grid(xs, ys), size)
    inside = F.avg_pool2d(geometry.coverage(landed, size)[:, None], CELL_SAMPLES)[:, 0]
    return (inside < CELL_OVERLAP).float()


def corner_distance(predicted: Tensor, true: Tensor, size: geometry.Size) -> Tensor:
    """Mean L1 distance of points `(B, ..., 2)`, in units of 1/16 of the frame's width: the scale of the other losses.

    Four corners or mesh vertices; not in the paper, which has no ground truth. `(B,)`.
    """
    return (predicted - true).abs().flatten(1).mean(1) / (size[1] / 16)


def _control_points(mesh: Tensor, size: geometry.Size) -> tuple[Tensor, Tensor]:
    regular = geometry.regular_mesh(mesh.shape[1], mesh.shape[2], size, device=mesh.device)
    points = geometry.normalise_points(mesh.double(), size).flatten(1, 2)
    values = geometry.normalise_points(regular, size).flatten(0, 1)
    return points, values.expand_as(points)


def _cell_samples(cells: int, device: torch.device) -> Tensor:
    """Centres of `CELL_SAMPLES` equal parts of each cell, in [-1, 1]."""
    count = cells * CELL_SAMPLES
    return (torch.arange(count, device=device) + 0.5) * (2 / count) - 1
