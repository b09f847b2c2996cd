"""Metrics that compare the aligned picture with what it should be.

Pictures are float `(3, H, W)` in [0, 1]. A mask says where a source covers the reference; outside it the aligned
picture counts as zero, whatever it holds.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

PSNR_CAP = 100.0
"""PSNR of equal pictures, in dB, instead of infinity."""

SSIM_WINDOW = 7
"""Side of the window of SSIM in pixels; smaller pictures have none."""

STRONG_EDGE = 0.2
"""A strong edge of `ghosting_score`: gradient per pixel, in standard deviations of the picture."""

EDGE_TOLERANCE = 2
"""How far an edge may lie from one of the target, in pixels, to be no ghost."""


def psnr(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1, at most `PSNR_CAP`."""
    if mean_squared_error <= 10 ** (-PSNR_CAP / 10):
        return PSNR_CAP
    return -10 * math.log10(mean_squared_error)


def ssim_map(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    """SSIM at every pixel whose window lies inside the pictures, mean of the channels: `(H - 6, W - 6)`.

    Wang et al. (2004) with scikit-image's defaults, as in the UDIS protocol: 7 x 7 uniform window, sample covariance,
    K1 = 0.01, K2 = 0.03, range 1.

    Args:
        a: `(3, H, W)` in [0, 1], no side shorter than `SSIM_WINDOW`.
        b: the same.
    """
    border = SSIM_WINDOW // 2
    samples = SSIM_WINDOW**2
    unbiased = samples / (samples - 1)
    c1, c2 = 0.01**2, 0.03**2
    total = np.zeros((a.shape[1] - 2 * border, a.shape[2] - 2 * border))

    def window_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        smooth = cv2.boxFilter(values, cv2.CV_64F, (SSIM_WINDOW, SSIM_WINDOW))
        return np.asarray(smooth)[border:-border, border:-border]

    for x, y in zip(a.double().numpy(), b.double().numpy(), strict=True):
        mean_x, mean_y = window_mean(x), window_mean(y)
        product = mean_x * mean_y
        energy = mean_x * mean_x + mean_y * mean_y
        covariance = unbiased * (window_mean(x * y) - product)
        variances = unbiased * (window_mean(x * x + y * y) - energy)
        total += (2 * product + c1) * (2 * covariance + c2) / ((energy + c1) * (variances + c2))
    return total / len(a)


def picture_metrics(target: Tensor, aligned: Tensor, mask: Tensor) -> dict[str, float]:
    """Likeness of the pictures, over the full frame and inside the overlap.

    psnr and ssim follow the UDIS protocol: both pictures are zero outside the overlap and the whole frame counts, so a
    small overlap raises them.

    Args:
        target: `(3, H, W)` in [0, 1].
        aligned: `(3, H, W)` in [0, 1], the source in the frame of the reference.
        mask: bool `(H, W)`, where the source covers the reference.

    Returns:
        psnr, ssim, psnr_overlap, ssim_overlap, rmse, overlap. Without any overlap psnr_overlap and ssim_overlap are 0
        and rmse is 1: the worst that can be said; so is ssim_overlap where only pixels less than 3 px from the border
        overlap, for which SSIM is not defined. ssim and ssim_overlap are missing where the pictures are smaller than
        `SSIM_WINDOW`.
    """
    a, b = target * mask, aligned * mask
    squared = float((a - b).double().square().sum())
    covered = 3 * int(mask.sum())
    error = squared / covered if covered else 1.0
    metrics = {
        "psnr": psnr(squared / a.numel()),
        "psnr_overlap": psnr(error) if covered else 0.0,
        "rmse": math.sqrt(error),
        "overlap": covered / a.numel(),
    }
    if min(mask.shape) >= SSIM_WINDOW:
        similarity = ssim_map(a, b)
        border = SSIM_WINDOW // 2
        inside = mask[border:-border, border:-border].numpy()
        metrics["ssim"] = float(similarity.mean())
        metrics["ssim_overlap"] = float(similarity[inside].mean()) if inside.any() else 0.0
    return metrics


def frame_psnr(picture: Tensor, aligned: Tensor, mask: Tensor) -> float:
    """PSNR over the full frame against the true picture, in dB; what the source does not cover counts as black.

    It is what a method that fills the whole frame and one that leaves holes can be compared by: `psnr` takes the holes
    out of both pictures.

    Args:
        picture: `(3, H, W)` in [0, 1], the true one.
        aligned: `(3, H, W)` in [0, 1].
        mask: bool `(H, W)`, where the source covers the reference.
    """
    return psnr(float((picture - aligned * mask).double().square().mean()))


def region_psnr(picture: Tensor, aligned: Tensor, mask: Tensor, region: Tensor) -> float | None:
    """PSNR over the pixels of a region alone, in dB; None for an empty region.

    Pixels of the region that the source does not cover count too, as the zeros that the aligned picture holds there: a
    method cannot raise its score by leaving out what is hard.

    Args:
        picture: `(3, H, W)` in [0, 1], the true one.
        aligned: `(3, H, W)` in [0, 1].
        mask: bool `(H, W)`, where the source covers the reference.
        region: bool `(H, W)`, for example where the reference's point is hidden in the source.
    """
    if not bool(region.any()):
        return None
    return psnr(float((picture - aligned * mask)[:, region].double().square().mean()))


def ghosting_score(target: Tensor, aligned: Tensor, mask: Tensor) -> float:
    """Share of the aligned picture's strong edges that the target does not have: doubled contours, foreign objects.

    Edges are Canny's without hysteresis, on the mean of the channels, smoothed by a Gaussian of 1 px: pixels at which
    the gradient is largest along its direction and exceeds a threshold. For this both pictures are brought to standard
    deviation 1 inside the mask (but noise of less than one grey level is not raised), so that neither gain nor offset
    count. The threshold is `STRONG_EDGE` in the aligned picture and half of it in the target, so that an edge is not
    foreign only because it is a little weaker there. An edge pixel is a ghost where no edge pixel of the target lies
    within `EDGE_TOLERANCE`. Only pixels whose gradient does not see the border of the mask count.

    Args:
        target: `(3, H, W)` in [0, 1].
        aligned: `(3, H, W)` in [0, 1].
        mask: bool `(H, W)`, where the source covers the reference.

    Returns:
        In [0, 1]; 0 where the aligned picture has no strong edge; 1, the worst, where no pixel is covered deep enough.
    """
    covered = mask.numpy()
    # Smoothing reaches 3 px, the gradient 1 and its comparison with the neighbours 1.
    inner = cv2.erode(covered.astype(np.uint8), np.ones((11, 11), np.uint8)) > 0
    if not inner.any():
        return 1.0
    strong = _edges(aligned * mask, covered, STRONG_EDGE) & inner
    count = int(strong.sum())
    if count == 0:
        return 0.0
    reach = np.arange(-EDGE_TOLERANCE, EDGE_TOLERANCE + 1)
    disk = (reach[:, None] ** 2 + reach**2 <= EDGE_TOLERANCE**2).astype(np.uint8)
    near = cv2.dilate(_edges(target, covered, STRONG_EDGE / 2).astype(np.uint8), disk) > 0
    return float((strong & ~near).sum()) / count


def _edges(picture: Tensor, covered: NDArray[np.bool_], threshold: float) -> NDArray[np.bool_]:
    """Pixels `(H, W)` where the gradient is a maximum across the edge and above the threshold."""
    grey = picture.float().mean(0).numpy()
    inside = grey[covered].astype(np.float64)
    grey = (grey - np.float32(inside.mean())) / np.float32(max(inside.std(), 1 / 255))
    smooth = cv2.GaussianBlur(grey, (7, 7), 1.0)
    # OpenCV takes gradients as 16-bit integers, whose squared length must fit into 32 bits.
    unit = 1000.0
    dx, dy = (
        np.clip(cv2.Sobel(smooth, cv2.CV_32F, *order, scale=unit / 8), -2e4, 2e4).round().astype(np.int16)
        for order in ((1, 0), (0, 1))
    )
    return np.asarray(cv2.Canny(dx, dy, threshold * unit, threshold * unit, L2gradient=True)) > 0
