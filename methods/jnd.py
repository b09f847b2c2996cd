"""Just-noticeable-difference thresholds of a picture (Wu et al. 2017, "Enhanced JND model with pattern complexity").

The formulas are those of the authors' released program; where the printed paper differs (it compresses the contrast by
`log2(1 + L_c)` in pattern masking), the program decides, because the constants belong to it. Thresholds are in grey
levels, 0 to 255. All filters are correlations with zero padding unless a function says otherwise.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

STRUCTURED_GRADIENT = 5.0
"""Grey levels per pixel from which a pixel has an orientation."""
ORIENTATION_STEP = 12.0
"""Degrees of one orientation bin."""
UNSTRUCTURED_BIN = 16
"""The bin of the sentinel orientation 192 degrees."""
FLOOR_TOLERANCE = 1e-4
"""Grey levels added before the floor: 0.299 + 0.587 + 0.114 times 127 is 126.99999 in float32, and a whole grey level
must not hang on that."""

_DIRECTIONAL = (
    ((0, 0, 0, 0, 0), (1, 3, 8, 3, 1), (0, 0, 0, 0, 0), (-1, -3, -8, -3, -1), (0, 0, 0, 0, 0)),
    ((0, 0, 1, 0, 0), (0, 8, 3, 0, 0), (1, 3, 0, -3, -1), (0, 0, -3, -8, 0), (0, 0, -1, 0, 0)),
)


def luma(image: Tensor) -> Tensor:
    """Grey levels `(B, 1, H, W)` in 0..255 of an RGB image `(B, 3, H, W)` in [0, 1]: 0.299 R + 0.587 G + 0.114 B."""
    red, green, blue = image.float().unbind(1)
    return (255 * (0.299 * red + 0.587 * green + 0.114 * blue))[:, None]


def jnd_threshold(image: Tensor, *, edge_protection: bool = False) -> Tensor:
    """The complete model for an RGB image.

    Args:
        image: `(B, 3, H, W)`, in [0, 1].
        edge_protection: weaken pattern masking along salient edges, where the eye tolerates less. It runs Canny for
            each picture on the CPU; off by default, because training computes thresholds at every step.

    Returns:
        `(B, 1, H, W)`, thresholds >= 2.1 in grey levels; without gradient.
    """
    return jnd_threshold_of_luma(luma(image), edge_protection=edge_protection)


@torch.no_grad()
def jnd_threshold_of_luma(grey: Tensor, *, edge_protection: bool = False) -> Tensor:
    """The complete model for grey levels `(B, 1, H, W)` in 0..255; returns the same shape."""
    with torch.autocast(grey.device.type, enabled=False):
        grey = grey.float()
        adaptation = luminance_adaptation(grey)
        contrast = luminance_contrast(grey)
        pattern = pattern_masking(contrast, pattern_complexity(grey))
        if edge_protection:
            pattern = pattern * edge_weight(grey)
        visual = torch.maximum(contrast_masking(contrast), pattern)
        # Nonlinear additivity model of masking: what both share counts once, by 30 %.
        return adaptation + visual - 0.3 * torch.minimum(adaptation, visual)


def luminance_adaptation(grey: Tensor) -> Tensor:
    """J_LA `(B, 1, H, W)`: the threshold that the background's brightness sets; the eye sees least in the dark."""
    # Outer ring 1, inner ring 2, centre 0, sum 32, as two box sums; a box sum in float64 is exact for grey levels.
    exact = grey.double()
    wide = 25 * _box_mean(F.pad(exact, (2, 2, 2, 2)), 5)
    narrow = 9 * _box_mean(F.pad(exact, (1, 1, 1, 1)), 3)
    background = torch.floor((wide + narrow - 2 * exact) / 32 + FLOOR_TOLERANCE).float()
    dark = _round(32 + background * ((127 - 32) / 127))
    background = torch.where(background <= 127, dark, background)
    low = 17 * (1 - (background / 127).clamp(max=1).sqrt()) + 3
    high = 3 / 128 * (background - 127) + 3
    return 0.7 * torch.where(background <= 127, low, high)


def luminance_contrast(grey: Tensor) -> Tensor:
    """L_c `(B, 1, H, W)`: standard deviation over 5x5 pixels in grey levels, 0 within 2 pixels of the border."""
    # float64, because E[Y^2] - E[Y]^2 cancels: float32 would give a flat picture a contrast of 0.1.
    exact = grey.double()
    variance = _box_mean(exact.square(), 5) - _box_mean(exact, 5).square()
    return F.pad(variance.clamp_min(0).sqrt().float(), (2, 2, 2, 2))


def contrast_masking(contrast: Tensor) -> Tensor:
    """J_LC of L_c: `0.115 * 16 * L_c^2.4 / (L_c^2 + 26^2)`."""
    return 0.115 * 16 * contrast.pow(2.4) / (contrast.square() + 26**2)


def complexity_counts(grey: Tensor) -> Tensor:
    """How many different orientation bins meet in the 3x3 pixels around each pixel, int32 in 1..9, `(B, 1, H, W)`.

    Pixels without an orientation share one bin; where the centre has none, and on the outermost ring, the count is 1.
    """
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    # Kernels are made on the device: a copy from the host would make a GPU wait.
    across = torch.full((3,), 1 / 3, device=grey.device)
    ramp = torch.arange(3, device=grey.device) - 1.0
    prewitt = torch.stack([across[:, None] * ramp, ramp[:, None] * across])[:, None]
    gradient_x, gradient_y = F.conv2d(padded, prewitt).split(1, dim=1)
    structured = gradient_x.square() + gradient_y.square() >= STRUCTURED_GRADIENT**2
    degrees = _round(torch.rad2deg(torch.atan2(gradient_y, gradient_x)))
    degrees = torch.where(degrees > 90, degrees - 180, degrees)
    degrees = torch.where(degrees < -90, degrees + 180, degrees) + 90
    bins = torch.where(structured, _round(degrees / ORIENTATION_STEP), UNSTRUCTURED_BIN).int()
    # One bit per bin; the distinct bins of a neighbourhood are the bits of the OR, first along x, then along y.
    bits = torch.ones_like(bins) << bins
    bits = bits[..., :-2] | bits[..., 1:-1] | bits[..., 2:]
    bits = bits[..., :-2, :] | bits[..., 1:-1, :] | bits[..., 2:, :]
    counts = F.pad(_count_bits(bits), (1, 1, 1, 1), value=1)
    return torch.where(structured, counts, 1)


def _count_bits(bits: Tensor) -> Tensor:
    """How many of the lowest 24 bits are set: sums of pairs, of fours, of eights, then of the three eights."""
    pairs = bits - ((bits >> 1) & 0x555555)
    fours = (pairs & 0x333333) + ((pairs >> 2) & 0x333333)
    eights = (fours + (fours >> 4)) & 0x0F0F0F
    return (eights + (eights >> 8) + (eights >> 16)) & 0x1F


def pattern_complexity(grey: Tensor) -> Tensor:
    """P_c `(B, 1, H, W)`: the counts smoothed by a 3x3 Gaussian of sigma 1."""
    return _gaussian(complexity_counts(grey).float(), size=3, sigma=1.0)


def pattern_masking(contrast: Tensor, complexity: Tensor) -> Tensor:
    """J_PM `= L_c * 0.3 P_c^2.7 / (P_c^2 + 1)`."""
    return contrast * (0.3 * complexity.pow(2.7) / (complexity.square() + 1))


def edge_weight(grey: Tensor) -> Tensor:
    """e(x) `(B, 1, H, W)` in [0, 1]: 0 near salient edges, 1 away from them. Canny runs on the CPU."""
    # Imported here: most users of the module never switch edge protection on.
    from skimage.morphology import dilation, disk

    highest = edge_height(grey).amax(dim=(1, 2, 3)).tolist()
    away = np.empty(grey.shape, dtype=np.float32)
    for index, plane in enumerate(grey[:, 0].cpu().numpy()):
        threshold = min(60 / max(highest[index], 1e-6), 0.8)
        away[index, 0] = ~dilation(_canny(plane, threshold), disk(3))
    return _gaussian(torch.from_numpy(away).to(grey.device), size=5, sigma=0.8)


def _canny(plane: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Canny edges, sigma sqrt(2); the high threshold is relative to the largest gradient, the low one 0.4 of it."""
    from scipy import ndimage  # type: ignore[import-untyped]
    from skimage.feature import canny

    sigma = math.sqrt(2)
    # The program's Canny repeats the border; zeros would make the frame itself the strongest edge.
    smooth = ndimage.gaussian_filter(plane, sigma, mode="nearest")
    high = threshold * float(np.hypot(ndimage.sobel(smooth, axis=0), ndimage.sobel(smooth, axis=1)).max())
    return canny(plane, sigma, low_threshold=0.4 * high, high_threshold=high, mode="nearest")


def edge_height(grey: Tensor) -> Tensor:
    """E `(B, 1, H, W)`: largest of four directional 5x5 responses, divided by 16; the border repeats mirrored."""
    horizontal, diagonal = (torch.tensor(rows, dtype=torch.float32) for rows in _DIRECTIONAL)
    kernels = torch.stack([horizontal, diagonal, diagonal.flip(1), horizontal.T])[:, None].to(grey.device)
    inside = F.conv2d(grey, kernels).abs().amax(dim=1, keepdim=True) / 16
    # Mirror including the edge value: F.pad's "reflect" leaves it out.
    inside = torch.cat([inside[..., :2].flip(-1), inside, inside[..., -2:].flip(-1)], dim=-1)
    return torch.cat([inside[..., :2, :].flip(-2), inside, inside[..., -2:, :].flip(-2)], dim=-2)


def _box_mean(image: Tensor, size: int) -> Tensor:
    """Mean over `size` x `size` pixels, only where all of them are inside; first along x, then along y."""
    return F.avg_pool2d(F.avg_pool2d(image, (1, size), stride=1), (size, 1), stride=1)


def _gaussian(image: Tensor, *, size: int, sigma: float) -> Tensor:
    """Gaussian filter with zero padding; its weights sum to 1."""
    offsets = torch.arange(size, device=image.device) - float(size // 2)
    line = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = torch.outer(line, line) / line.sum() ** 2
    return F.conv2d(image, kernel[None, None], padding=size // 2)


def _round(value: Tensor) -> Tensor:
    """Round half away from zero, as the program does; torch rounds half to even."""
    return value.sign() * torch.floor(value.abs() + 0.5)
