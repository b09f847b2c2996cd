"""From the working size to the pictures' own resolution, without resampling the geometry."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import geometry
from .losses import fit_mesh

UNSEEN_WEIGHT = 1e-3
"""Weight of a mesh vertex that lies outside of the reference, against 1 for one inside."""


def mesh_homography(mesh: Tensor, size: geometry.Size) -> Tensor:
    """The homography `(B, 3, 3)`, float64, reference to source, that comes closest to the mesh.

    The network's first stage gives a homography from coarse features; its second stage corrects it in the mesh. What a
    plane's homography is, the corrected mesh knows better. Vertices outside of the reference say little, because no
    picture content held them in place; their small weight only settles what nothing else does.

    Args:
        mesh: M^f `(B, U, V, 2)`, pixels.
        size: of both frames.
    """
    regular = geometry.regular_mesh(mesh.shape[1], mesh.shape[2], size, device=mesh.device)
    weights = geometry.coverage(mesh, size).clamp_min(UNSEEN_WEIGHT).flatten(1)
    in_reference = geometry.normalise_points(mesh, size).flatten(1, 2)
    in_source = geometry.normalise_points(regular, size).flatten(0, 1).expand_as(in_reference)
    fitted = geometry.fit_homography(in_reference, in_source, weights)
    # From [-1, 1] to pixels, on both sides.
    half = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2, 1.0], dtype=fitted.dtype, device=fitted.device)
    to_pixels = torch.diag(half)
    to_pixels[:2, 2] = half[:2]
    pixels = to_pixels @ fitted @ torch.linalg.inv(to_pixels)
    return pixels / pixels[:, 2:, 2:]


def full_resolution_positions(
    mesh: Tensor, working_size: geometry.Size, reference_size: geometry.Size, source_size: geometry.Size
) -> Tensor:
    """Where each pixel of the full reference lies in the full source: `(B, H, W, 2)`, float32, pixels of the source.

    Full-resolution pixel centres are taken into the working frame, where the spline is exactly the predicted one, and
    its values back out into the full source. Both pictures were resized by the area rule.

    Args:
        mesh: M^f `(B, U, V, 2)`, pixels of the working size.
        working_size: of the network's pictures.
        reference_size: of the full reference.
        source_size: of the full source.
    """
    axes = geometry.pixel_axes(reference_size, device=mesh.device)
    into_frame = geometry.resize_transform(reference_size, working_size, "area")
    out_of_frame = geometry.resize_transform(working_size, source_size, "area")
    normalised = []
    for axis, centres in enumerate(axes):
        scale, shift = float(into_frame[axis, axis]), float(into_frame[axis, 2])
        span = working_size[1 - axis] - 1
        normalised.append(((centres.double() * scale + shift) * (2 / span) - 1).float())
    values = fit_mesh(mesh, working_size).on_grid(*normalised)
    for axis in (0, 1):
        half = (working_size[1 - axis] - 1) / 2
        scale, shift = float(out_of_frame[axis, axis]), float(out_of_frame[axis, 2])
        values[..., axis].mul_(half * scale).add_(half * scale + shift)
    return values
