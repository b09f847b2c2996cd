"""Metrics of one aligned pair, as METHODS defines them; pictures are float `(3, H, W)` in [0, 1].

| name | unit | definition |
|---|---|---|
| psnr, ssim | dB, 1 | UDIS protocol: zero outside the overlap, over the full frame; a small overlap raises them |
| psnr_overlap, ssim_overlap | dB, 1 | inside the overlap only |
| rmse | 1 | root mean square error inside the overlap |
| overlap | 1 | share of the reference frame that the source covers |
| corner_error | px | mean distance between the reference's corners mapped by the true and the found homography |
| e1 | 1 | Frobenius distance of the two homographies, each scaled to determinant 1 |
| e2 | px | DIAR Eq. 18 with the four image corners: the same as corner_error |
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torch import Tensor

from ...methods.geometry import image_corners, transform_points

PSNR_CAP = 100.0
"""PSNR of equal pictures, in dB, instead of infinity."""


def psnr(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1, at most `PSNR_CAP`."""
    if mean_squared_error <= 10 ** (-PSNR_CAP / 10):
        return PSNR_CAP
    return -10 * math.log10(mean_squared_error)


def ssim_map(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    """SSIM at every pixel, mean of the channels: `(H, W)`.

    scikit-image's defaults, as in the UDIS protocol: 7 x 7 uniform window, sample covariance, K1 = 0.01, K2 = 0.03.
    """
    _, full = structural_similarity(a.numpy(), b.numpy(), channel_axis=0, data_range=1.0, full=True)
    return np.asarray(full).mean(0)


def picture_metrics(reference: Tensor, aligned: Tensor, mask: Tensor) -> dict[str, float]:
    """Metrics of the pictures alone.

    Args:
        reference: `(3, H, W)` in [0, 1].
        aligned: `(3, H, W)` in [0, 1], the source in the reference frame.
        mask: `(1, H, W)`, nonzero where the source covers the reference.

    Returns:
        psnr, ssim, psnr_overlap, ssim_overlap, rmse, overlap. Without any overlap psnr_overlap and ssim_overlap are 0
        and rmse is 1: the worst that can be said.
    """
    mask = (mask > 0.5).float()
    a, b = (reference * mask).float().cpu(), (aligned * mask).float().cpu()
    mask = mask.cpu()
    squared = float((a - b).double().square().sum())
    covered = float(mask.sum()) * 3
    similarity = ssim_map(a, b)
    border = 3  # half the window: there scikit-image itself crops before it takes the mean
    inner = similarity[border:-border, border:-border]
    inside = mask[0, border:-border, border:-border].bool().numpy()
    error = squared / covered if covered else 1.0
    return {
        "psnr": psnr(squared / a.numel()),
        "ssim": float(inner.mean()),
        "psnr_overlap": psnr(error) if covered else 0.0,
        "ssim_overlap": float(inner[inside].mean()) if inside.any() else 0.0,
        "rmse": math.sqrt(error),
        "overlap": covered / a.numel(),
    }


def homography_metrics(found: Tensor, true: Tensor, height: int, width: int) -> dict[str, float]:
    """Errors of a homography against the true one; both `(3, 3)`, reference pixels to source pixels.

    Args:
        found: the estimate.
        true: the ground truth.
        height: of the reference, in pixels.
        width: of the reference, in pixels.

    Returns:
        corner_error and e2 in pixels, e1 without unit (DIAR section 6.3).
    """
    found, true = found.double().cpu(), true.double().cpu()
    corners = image_corners((height, width))
    distance = (transform_points(found[None], corners[None]) - transform_points(true[None], corners[None])).norm(dim=-1)
    mean = float(distance.mean())
    return {
        "corner_error": mean,
        "e1": float(torch.linalg.matrix_norm(_unit_determinant(found) - _unit_determinant(true))),
        "e2": mean,
    }


def _unit_determinant(matrix: Tensor) -> Tensor:
    determinant = torch.linalg.det(matrix)
    return matrix / (determinant.sign() * determinant.abs().pow(1 / 3))
