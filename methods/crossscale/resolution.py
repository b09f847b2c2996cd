"""From the working size to the pictures' own resolution, without resampling the geometry."""

from __future__ import annotations

from torch import Tensor

from .. import geometry
from .losses import fit_mesh


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
