"""The spatial transformer of source 004: a homography after a field of displacements, and what belongs to it.

The pixel x of the reference shows the source at `W(H, x + D(x))`, where W applies the homography H, reference pixels to
source pixels, and D is the field: `(B, 2, H, W)`, pixels (x, y) of the reference. Pixel centres lie at integers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..errors import InputError
from ..geometry import Size


def field_positions(homography: Tensor, field: Tensor | None, size: Size) -> Tensor:
    """Where each pixel of the reference lies in the source: `W(H, x + D(x))`.

    What lies beyond the horizon of the homography is sent to `geometry.FAR_OUTSIDE`. Without a field, and with one of
    zeros, the positions are those of `geometry.homography_positions`.

    Args:
        homography: H `(B, 3, 3)`.
        field: D `(B, 2, *size)`; None for no displacement.
        size: of the reference.

    Returns:
        `(B, *size, 2)`, float32, pixels of the source; gradients flow into both.

    Raises:
        InputError: the field has another size, or does not fit the homographies.
    """
    if field is None:
        return geometry.homography_positions(homography, size)
    _check(homography, field, size)
    with torch.autocast(field.device.type, enabled=False):
        h, moved = homography.double(), field.float()
        xs, ys = geometry.pixel_axes(size, device=field.device)
        # As in `geometry.homography_positions_on`: float64 on the axes, float32 on the plane.
        along_x = h[:, :, 0, None] * xs.double()
        along_y = h[:, :, 1, None] * ys.double() + h[:, :, 2, None]
        plane = along_x.float()[:, :, None, :] + along_y.float()[:, :, :, None]
        # No matrix product, which a GPU may round to TF32.
        for axis in range(2):
            plane = plane + h[:, :, axis, None, None].float() * moved[:, None, axis]
        third = plane[:, 2]
        visible = third * torch.linalg.det(h.detach()).float().sign()[:, None, None] > 1e-8
        positions = plane[:, :2] / torch.where(visible, third, torch.ones_like(third))[:, None]
        return torch.where(visible[:, None], positions, geometry.FAR_OUTSIDE).permute(0, 2, 3, 1)


def spatial_transform(source: Tensor, homography: Tensor, field: Tensor | None, size: Size) -> tuple[Tensor, Tensor]:
    """Bring the source to the reference, bilinearly: the STL of source 004.

    Args:
        source: `(B, C, h, w)`.
        homography: H `(B, 3, 3)`.
        field: D `(B, 2, *size)`; None for no displacement.
        size: of the reference.

    Returns:
        The source in the frame of the reference `(B, C, *size)`, zero outside, float64 where the source is and float32
        otherwise, and how much of each pixel it covers, `(B, 1, *size)` in [0, 1], float32 (see `geometry.coverage`).
        Gradients flow into all three.

    Raises:
        InputError: see `field_positions`.
    """
    positions = field_positions(homography, field, size)
    with torch.autocast(source.device.type, enabled=False):
        # Positions take the type of the picture, and a narrower one has no fractions of pixels.
        wide = source.to(torch.promote_types(source.dtype, torch.float32))
        mask = geometry.coverage(positions, (source.shape[-2], source.shape[-1]))
        return geometry.sample(wide, positions), mask[:, None]


def resized_field(field: Tensor, size: Size) -> Tensor:
    """The field for a reference of another size, in pixels of that size, by the resize rule "area".

    Pictures of raylign are resized by that rule, so homographies are rescaled by it, too:
    `geometry.rescale_homography(..., rule="area")`. Both together show the same at the other size.

    Args:
        field: D `(B, 2, H, W)`.
        size: (height, width) of the result.

    Returns:
        `(B, 2, *size)`, bilinear between the pixels of the field.
    """
    height, width = field.shape[-2:]
    if (height, width) == tuple(size):
        return field
    along_x, along_y = F.interpolate(field, size, mode="bilinear", align_corners=False).unbind(1)
    return torch.stack([along_x * (size[1] / width), along_y * (size[0] / height)], dim=1)


def composed(
    first_homography: Tensor,
    first_field: Tensor | None,
    second_homography: Tensor,
    second_field: Tensor | None,
    size: Size,
) -> tuple[Tensor, Tensor | None]:
    """One homography and field for two alignments, the second of what the first brought over (source 004, 3.5.2).

    The first brings the source to the reference; the second brings that picture to the reference again. A pixel x then
    shows the first picture at `p = W(H2, x + D2(x))` and the source at `W(H1, p + D1(p))`. With `H = H1 H2` this is
    `W(H, x + D(x))` for `D(x) = W(H2^-1, p + D1(p)) - x`. D1 is bilinear between pixels, and outside of the frame as at
    its border.

    Args:
        first_homography: H1 `(B, 3, 3)`.
        first_field: D1 `(B, 2, *size)`; None for no displacement.
        second_homography: H2 `(B, 3, 3)`.
        second_field: D2 `(B, 2, *size)`; None for no displacement.
        size: of the reference.

    Returns:
        H `(B, 3, 3)`, float64, h33 = 1, and D `(B, 2, *size)`, float32, or None if there is no field. Where the way
        leads beyond the horizon of H2 nothing is seen, and D is D2.

    Raises:
        InputError: see `field_positions`.
    """
    for homography, field in ((first_homography, first_field), (second_homography, second_field)):
        if field is not None:
            _check(homography, field, size)
    with torch.autocast(first_homography.device.type, enabled=False):
        first, second = first_homography.double(), second_homography.double()
        both = first @ second
        both = both / both[:, 2:, 2:]
        if first_field is None:
            return both, second_field
        grid = geometry.pixel_grid(size, device=first.device).double()
        start = grid.expand(len(second), -1, -1, -1)
        if second_field is not None:
            start = start + second_field.double().permute(0, 2, 3, 1)
        middle, ahead = _moved(second, start)
        normalised = geometry.normalise_points(middle, size)
        displaced = F.grid_sample(first_field.double(), normalised, padding_mode="border", align_corners=True)
        end, back = _moved(torch.linalg.inv_ex(second).inverse, middle + displaced.permute(0, 2, 3, 1))
        field = torch.where((ahead & back)[..., None], end, start) - grid
        return both, field.float().permute(0, 3, 1, 2)


def _moved(homography: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Points `(B, H, W, 2)` under a homography, and whether they lie on its side of the horizon, bool `(B, H, W)`."""
    along_x, along_y, last = homography[:, 2, :, None, None].unbind(1)
    third = along_x * points[..., 0] + along_y * points[..., 1] + last
    visible = third * torch.linalg.det(homography.detach()).sign()[:, None, None] > 1e-8
    # What is not seen stays finite, so that its gradients are zero and not NaN.
    return geometry.transform_points(homography, torch.where(visible[..., None], points, 0.0)), visible


def _check(homography: Tensor, field: Tensor, size: Size) -> None:
    if field.shape != (len(homography), 2, *size):
        raise InputError(
            f"field must be ({len(homography)}, 2, {size[0]}, {size[1]}), not {tuple(field.shape)}; "
            "bring it to the reference's size with resized_field"
        )
