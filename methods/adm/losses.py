"""Losses and their schedules (source 004, Eqs. 11 to 14), in float32 at least, one number for each sample."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..errors import InputError

NEAREST_HORIZON = 0.05
"""Least third coordinate by which a point is divided, that of the picture's middle being 1 (our choice). A point nearer
to the horizon than 20 times the middle's distance, or behind it, tells nothing that a homography could be fitted to."""
NCC_EPSILON = 1e-2
"""Added to the product of the windows' sums of squares: sums of 81 pixels, not means. VoxelMorph has 1e-5, with which
windows that show nothing count as much as vessels do: the nearly flat maps of a vessel network at its beginning turned
a change of 1e-7 in the weights into 1e-2 of the loss within 24 steps, and training was another one on each number of
workers. With 1e-2 it stays 1e-7; a window counts half where both maps vary by 0.035 of their range (our choice)."""


def grid_points(side: int, jitter: Tensor | None) -> Tensor:
    """Points of a regular grid on a picture: the x_i of Eq. 11, 32 x 32 of them (their number is lost, our choice).

    Args:
        side: cells along x and along y.
        jitter: `(side * side, 2)` in [0, 1), (x, y), where in its cell each point lies; None for the middles.

    Returns:
        `(side * side, 2)`, float64, in [-1, 1], row by row; on the device of `jitter`.

    Raises:
        InputError: `jitter` has another shape.
    """
    count = side * side
    if jitter is None:
        jitter = torch.full((count, 2), 0.5)
    if jitter.shape != (count, 2):
        raise InputError(f"jitter of {side} x {side} cells must be {(count, 2)}, not {tuple(jitter.shape)}")
    cells = geometry.pixel_grid((side, side), device=jitter.device).double().reshape(count, 2)
    return (cells + jitter) * (2 / side) - 1


def p_norm_distance(first: Tensor, second: Tensor, points: Tensor, p: float = 2.0) -> Tensor:
    """How far apart two homographies send points: `((1/N) sum_i |W(H, x_i) - W(H', x_i)|_p^p)^(1/p)` (Eq. 11).

    The scale of the matrices counts nothing. Gradients flow into both; where they are equal the distance has a corner
    and the gradient is the zero that `torch.linalg.vector_norm` takes there. A point is divided by its third coordinate
    or by `NEAREST_HORIZON`, whichever is more, so that points at or behind the horizon stay finite, and move with the
    numerator only.

    Args:
        first: `(B, 3, 3)` on [-1, 1] coordinates of the reference; h33 is not 0: it is the third coordinate of the
            reference's middle.
        second: like `first`.
        points: `(N, 2)` in [-1, 1].
        p: from 1 on (lost; 2 is our choice).

    Returns:
        `(B,)`, in halves of the source's side, in the widest dtype of the arguments.
    """
    moved = _mapped(first, points) - _mapped(second, points)
    return torch.linalg.vector_norm(moved, ord=p, dim=(1, 2)) / len(points) ** (1 / p)


def _mapped(homography: Tensor, points: Tensor) -> Tensor:
    """Where the points come to lie, `(B, N, 2)`."""
    h = _wide(homography).to(torch.promote_types(homography.dtype, points.dtype))
    h = h / h[:, 2:, 2:]
    x, y = points.unbind(-1)
    # Written out, because autocast would round a matrix product.
    along_x, along_y, third = (h[:, row, 0, None] * x + h[:, row, 1, None] * y + h[:, row, 2, None] for row in range(3))
    return torch.stack([along_x, along_y], dim=-1) / third.clamp_min(NEAREST_HORIZON)[..., None]


def windowed_ncc(first: Tensor, second: Tensor, mask: Tensor | None, window: int = 9) -> Tensor:
    """Squared correlation of two pictures in the windows around their pixels, `cross^2 / (var var' + 1e-2)` (Eq. 12).

    As in DiffuseMorph and VoxelMorph, cross and var are sums over the window and not means. Unlike there, only what the
    mask shows, and nothing beyond the border, counts in a window (our choice): zeros around a warped picture would
    correlate with whatever is dark. A window without texture counts as 0. Gradients flow into the pictures, not into
    the mask: it shall not pay to leave out what does not fit.

    Args:
        first: `(B, 1, H, W)`.
        second: like `first`.
        mask: weights of the pixels `(B, 1, H, W)` in [0, 1]; None for all.
        window: side of the windows, odd.

    Returns:
        Weighted mean over the pixels `(B,)`, 1 for two equal pictures with texture everywhere, 0 where the mask is
        empty.

    Raises:
        InputError: `window` is even.
    """
    if window < 1 or window % 2 == 0:
        raise InputError(f"window must be odd, not {window}")
    first, second = _wide(first), _wide(second)
    weights = torch.ones_like(first) if mask is None else mask.detach().to(first)
    whole = weights.sum(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)

    # Without their means, so that differences of the large sums below do not lose the small ones.
    a, b = (each - (each * weights).sum(dim=(1, 2, 3), keepdim=True) / whole for each in (first, second))
    sums = torch.cat([weights, *(weights * each for each in (a, b, a * a, b * b, a * b))], dim=1)
    for kernel in ((window, 1), (1, window)):
        padding = (kernel[0] // 2, kernel[1] // 2)
        sums = F.avg_pool2d(sums, kernel, stride=1, padding=padding, divisor_override=1)
    count, sum_a, sum_b, sum_aa, sum_bb, sum_ab = sums.split(1, dim=1)
    count = count.clamp_min(1e-6)
    cross = sum_ab - sum_a * sum_b / count
    # Rounding makes flat windows a little negative.
    variances = (sum_aa - sum_a * sum_a / count).clamp_min(0) * (sum_bb - sum_b * sum_b / count).clamp_min(0)
    ncc = cross.square() / (variances + NCC_EPSILON)
    return ((ncc * weights).sum(dim=(1, 2, 3), keepdim=True) / whole).flatten()


def smoothness(field: Tensor) -> Tensor:
    """Mean squared difference of neighbours in a field (Eq. 14).

    Args:
        field: `(B, 2, H, W)`.

    Returns:
        `(B,)`, the mean over all forward differences along x and y.
    """
    field = _wide(field)
    along_x, along_y = field.diff(dim=3).flatten(1), field.diff(dim=2).flatten(1)
    return torch.cat([along_x, along_y], dim=1).square().mean(dim=1)


def rising(t: Tensor, steps: int) -> Tensor:
    """Weight of the pixel loss, `(1 - t/T)^2`: it grows as the noise falls (Eq. 13).

    Which end is the late one is not said; the source's ablation, in which this schedule steadies late sampling steps,
    fits this reading (our choice).

    Args:
        t: `(B,)`, 0 (clean) to T (pure noise).
        steps: T.
    """
    return (1 - t / steps).square()


def falling(t: Tensor, steps: int) -> Tensor:
    """Weight of the homography's regularisation, `(t/T)^2`: it falls as the noise falls (Eq. 14); see `rising`."""
    return (t / steps).square()


def _wide(values: Tensor) -> Tensor:
    """In float32 at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
