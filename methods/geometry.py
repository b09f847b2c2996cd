"""Planar geometry in one convention, shared by every method.

Convention:
    Pixel centres lie at integers: the centre of the top-left pixel is (0, 0), x to the right, y down; an image of W x H
    pixels covers [-0.5, W-0.5] x [-0.5, H-0.5]. In `grid_sample` and kornia this is `align_corners=True`,
    `x_n = 2 x / (W - 1) - 1`. `H_ab` maps homogeneous pixel coordinates of a to those of b; bringing b into the frame
    of a samples b at `H_ab x_a`. A point is (x, y), a size is (height, width), corners come in the order top-left,
    top-right, bottom-left, bottom-right.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]
"""(height, width) in pixels."""

ResizeRule = Literal["area", "align_corners"]
"""How an image was resized. "area": pixel areas scale, `x' = (x + 0.5) W'/W - 0.5`, as PIL, OpenCV and `interpolate`
with `align_corners=False` do. "align_corners": centres of the corner pixels stay, `x' = x (W'-1)/(W-1)`."""

FAR_OUTSIDE = -1e6
"""Where a reference pixel beyond the horizon of a homography is sent, in pixels: outside of any image."""


def pixel_axes(size: Size, *, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Pixel centres along x `(W,)` and y `(H,)`, float32."""
    height, width = size
    return torch.arange(width, device=device).float(), torch.arange(height, device=device).float()


def pixel_grid(size: Size, *, device: torch.device | None = None) -> Tensor:
    """Pixel centres `(H, W, 2)`, float32."""
    xs, ys = pixel_axes(size, device=device)
    return torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)


def regular_mesh(rows: int, columns: int, size: Size, *, device: torch.device | None = None) -> Tensor:
    """Vertices `(rows, columns, 2)` of the regular mesh from corner pixel centre to corner pixel centre, float64."""
    height, width = size
    xs = torch.linspace(0, width - 1, columns, dtype=torch.float64, device=device)
    ys = torch.linspace(0, height - 1, rows, dtype=torch.float64, device=device)
    return torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)


def image_corners(size: Size, *, device: torch.device | None = None) -> Tensor:
    """Centres of the corner pixels `(4, 2)`, float64: top-left, top-right, bottom-left, bottom-right."""
    return regular_mesh(2, 2, size, device=device).reshape(4, 2)


def _span(size: Size, like: Tensor) -> Tensor:
    """(W-1, H-1), at least 1 so that an axis of one pixel stays at -1; made on the device, without a copy from host."""
    height, width = size
    span = torch.full((2,), max(width - 1, 1), dtype=like.dtype, device=like.device)
    span[1].fill_(max(height - 1, 1))
    return span


def normalise_points(points: Tensor, size: Size) -> Tensor:
    """Pixels `(..., 2)` to [-1, 1], corner pixel centres at the ends: `x_n = 2 x / (W - 1) - 1`."""
    return points * (2 / _span(size, points)) - 1


def denormalise_points(points: Tensor, size: Size) -> Tensor:
    """The inverse of `normalise_points`, `(..., 2)`."""
    return (points + 1) * (_span(size, points) / 2)


def homography_from_points(points_a: Tensor, points_b: Tensor) -> Tensor:
    """`H_ab` of four point pairs by the direct linear transform, in float64; gradients flow into both.

    Two rows per pair with h33 = 1 (Hartley and Zisserman 2004, section 4.1, inhomogeneous form):
    `[x y 1 0 0 0 -xu -yu] = u` and `[0 0 0 x y 1 -xv -yv] = v`. Coordinates are divided by one common length first: the
    system then has entries near 1. Four pairs of which three lie on a line give no finite solution; the result then
    holds inf or NaN instead of raising, because the check would make a GPU wait.

    Args:
        points_a: `(B, 4, 2)`, pixels.
        points_b: `(B, 4, 2)`, pixels.

    Returns:
        `(B, 3, 3)`, float64, h33 = 1.
    """
    a, b = points_a.double(), points_b.double()
    scale = a.detach().abs().amax(dim=(1, 2), keepdim=True).clamp_min(1.0)
    a, b = a / scale, b / scale
    entries, _ = torch.linalg.solve_ex(*_direct_linear_transform(a, b))
    h = _with_last_one(entries)
    # Back to pixels: diag(s, s, 1) h diag(1/s, 1/s, 1).
    length = torch.cat([scale.expand(-1, 2, 1), torch.ones_like(scale)], dim=1)
    return h * length / length.transpose(1, 2)


def _direct_linear_transform(points_a: Tensor, points_b: Tensor) -> tuple[Tensor, Tensor]:
    """The system `(B, 2K, 8)` and its right side `(B, 2K, 1)`."""
    x, y = points_a.unbind(-1)
    u, v = points_b.unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows_u = torch.stack([x, y, one, zero, zero, zero, -x * u, -y * u], dim=-1)
    rows_v = torch.stack([zero, zero, zero, x, y, one, -x * v, -y * v], dim=-1)
    return torch.cat([rows_u, rows_v], dim=1), torch.cat([u, v], dim=1).unsqueeze(-1)


def _with_last_one(entries: Tensor) -> Tensor:
    """Homographies of their first eight entries `(B, 8, 1)`."""
    return torch.cat([entries.squeeze(-1), torch.ones_like(entries[:, 0])], dim=1).reshape(-1, 3, 3)


def fit_homography(points_a: Tensor, points_b: Tensor, weights: Tensor) -> Tensor:
    """`H_ab` of four or more weighted point pairs: least squares of the equations of `homography_from_points`.

    Points should lie in [-1, 1] or so: the algebraic error is then close to the distance in b, and the normal equations
    are well-conditioned.

    Args:
        points_a: `(B, K, 2)`.
        points_b: `(B, K, 2)`.
        weights: `(B, K)`, not negative.

    Returns:
        `(B, 3, 3)`, float64, h33 = 1.
    """
    system, right = _direct_linear_transform(points_a.double(), points_b.double())
    weighted = system * weights.double().repeat(1, 2)[..., None]
    entries, _ = torch.linalg.solve_ex(system.transpose(1, 2) @ weighted, weighted.transpose(1, 2) @ right)
    return _with_last_one(entries)


def transform_points(homography: Tensor, points: Tensor) -> Tensor:
    """Apply `H_ab` to points of a.

    Args:
        homography: `(B, 3, 3)`.
        points: `(B, ..., 2)` or `(..., 2)` with B = 1, pixels of a.

    Returns:
        `(B, ..., 2)`, pixels of b, in the wider dtype of both. A point on the horizon (third coordinate within 1e-8 of
        zero) is divided by 1e-8 instead: far away, but finite.
    """
    h = homography.to(torch.promote_types(homography.dtype, points.dtype))
    shape = (-1,) + (1,) * (points.dim() - 2)
    x, y = points.unbind(-1)
    rows = [h[:, i, 0].view(shape) * x + h[:, i, 1].view(shape) * y + h[:, i, 2].view(shape) for i in range(3)]
    third = torch.where(rows[2].abs() < 1e-8, torch.full_like(rows[2], 1e-8), rows[2])
    return torch.stack([rows[0] / third, rows[1] / third], dim=-1)


def invert_homography(homography: Tensor) -> Tensor:
    """`H_ba` of `H_ab` `(B, 3, 3)`, scaled to h33 = 1; inf or NaN where `H_ab` is singular."""
    inverse = torch.linalg.inv_ex(homography).inverse
    return inverse / inverse[:, 2:, 2:]


def resize_transform(size: Size, resized: Size, rule: ResizeRule, *, device: torch.device | None = None) -> Tensor:
    """The map `(3, 3)`, float64, from pixels of an image to pixels of its resized copy."""
    transform = torch.eye(3, dtype=torch.float64)
    for axis, (before, after) in enumerate(zip(reversed(size), reversed(resized), strict=True)):
        if rule == "area":
            scale = after / before
            transform[axis, 2] = 0.5 * scale - 0.5
        else:
            scale = (after - 1) / max(before - 1, 1)
        transform[axis, axis] = scale
    return transform.to(device)


def rescale_homography(
    homography: Tensor,
    *,
    size_a: tuple[Size, Size],
    size_b: tuple[Size, Size],
    rule: ResizeRule,
) -> Tensor:
    """`H_ab` for resized images: `S_b H_ab S_a^-1` with the maps of `resize_transform`.

    Args:
        homography: `(B, 3, 3)` between the images as they were.
        size_a: size of a before and after.
        size_b: size of b before and after.
        rule: how the images were resized.

    Returns:
        `(B, 3, 3)`, float64, h33 = 1.
    """
    to_b = resize_transform(*size_b, rule, device=homography.device)
    from_a = torch.linalg.inv_ex(resize_transform(*size_a, rule, device=homography.device)).inverse
    rescaled = to_b @ homography.double() @ from_a
    return rescaled / rescaled[:, 2:, 2:]


def coverage(positions: Tensor, size: Size) -> Tensor:
    """What bilinear sampling of an all-ones image with zero padding gives: 1 inside, falling to 0 one pixel outside.

    Args:
        positions: `(..., 2)`, pixels.
        size: of the image that is sampled.

    Returns:
        `(...)` in [0, 1].
    """
    height, width = size
    x, y = positions.unbind(-1)
    # min(x + 1, W - x), written with the distance from the middle: its gradient is cheaper.
    along_x = ((width + 1) / 2 - (x - (width - 1) / 2).abs()).clamp(0, 1)
    along_y = ((height + 1) / 2 - (y - (height - 1) / 2).abs()).clamp(0, 1)
    return along_x * along_y


def sample(image: Tensor, positions: Tensor) -> Tensor:
    """Bilinear samples of `image (B, C, h, w)` at `positions (B, H, W, 2)` in pixels; zero outside. `(B, C, H, W)`."""
    grid = normalise_points(positions, (image.shape[-2], image.shape[-1]))
    return F.grid_sample(image, grid.to(image.dtype), mode="bilinear", padding_mode="zeros", align_corners=True)


def homography_positions(homography: Tensor, size: Size) -> Tensor:
    """Where each pixel of a, of a size, lies in b: see `homography_positions_on`."""
    return homography_positions_on(homography, *pixel_axes(size, device=homography.device))


def homography_positions_on(homography: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Where the points of a grid on a lie in b: `(B, H, W, 2)`, float32, pixels of b.

    Points of a beyond the horizon of `H_ab` have no counterpart, though the division would mirror them back into b;
    they are sent to `FAR_OUTSIDE`. The side of the horizon that can be seen is the one on which the map keeps its
    orientation: its Jacobian has the determinant `det(H) / w^3`.

    Args:
        homography: `(B, 3, 3)`, a to b.
        xs: `(W,)`, pixels of a.
        ys: `(H,)`, pixels of a.
    """
    h = homography.double()
    # float64 on the axes, float32 on the plane: the sums below lose nothing that matters at 8K, and memory stays small.
    along_x = h[:, :, 0, None] * xs.double()
    along_y = h[:, :, 1, None] * ys.double() + h[:, :, 2, None]
    plane = along_x.float()[:, :, None, :] + along_y.float()[:, :, :, None]
    third = plane[:, 2]
    visible = third * torch.linalg.det(h).float().sign()[:, None, None] > 1e-8
    positions = plane[:, :2] / torch.where(visible, third, torch.ones_like(third))[:, None]
    return torch.where(visible[:, None], positions, FAR_OUTSIDE).permute(0, 2, 3, 1)


def warp_by_homography(image: Tensor, homography: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Bring b into the frame of a.

    Args:
        image: b, `(B, C, h, w)`.
        homography: `H_ab (B, 3, 3)`.
        size: of the frame of a.

    Returns:
        The warped image `(B, C, H, W)`, zero outside, and its soft validity mask `(B, 1, H, W)` in [0, 1] (`coverage`).
    """
    positions = homography_positions(homography, size)
    mask = coverage(positions, (image.shape[-2], image.shape[-1]))
    return sample(image, positions), mask[:, None]
