"""Metrics of real sets of shots, whose true picture nobody knows.

Pictures are float `(3, H, W)` in [0, 1], masks bool `(H, W)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...methods.classical.median import masked_median
from ..alignment import AlignedPicture
from ..frames import bring
from .cases import Case

GLARE_BRIGHTNESS = 0.95
"""Least value of the brightest channel of a pixel of glare."""

GLARE_COLOUR = 0.1
"""Largest difference of its channels: a reflection has the colour of the lamp, not that of what it hides."""

SHOTS = ("ncc_before", "ncc", "sharpness", "glare_before", "glare_reference", "glare")
"""The metrics of `shot_metrics`."""


def shot_metrics(case: Case, aligned: AlignedPicture) -> dict[str, float]:
    """What can be said of the merged picture of a set without the true one.

    A source that the method left out counts in the correlation as it lies, and is no part of the median.

    Args:
        case: of the task `set`.
        aligned: what the method made of it.

    Returns:
        ncc_before, ncc: mean over the sources of `correlation` with the reference, as they came and as aligned.
        sharpness: mean gradient of the merged picture divided by that of the pixelwise median of reference and aligned
        sources. glare_before: mean over reference and aligned sources of `glare_share`; glare_reference, glare: of the
        reference and of the merged picture. Those of aligned sources are missing where the method tells no homography
        or there is no source, sharpness also where the median is flat.
    """
    reference, size = case.reference, (case.reference.shape[1], case.reference.shape[2])
    everywhere = torch.ones(size, dtype=torch.bool)
    metrics = {"glare_reference": glare_share(reference, everywhere), "glare": glare_share(aligned.image, aligned.mask)}
    if not case.sources or aligned.homography is None:
        return metrics
    still = torch.eye(3, dtype=torch.float64).expand(len(case.sources), 3, 3)
    before, before_masks = bring(case.sources, still, size)
    frames, masks = bring(case.sources, aligned.homography, size)
    used = masks.flatten(1).any(1)
    after = torch.where(used[:, None, None, None], frames, before)
    after_masks = torch.where(used[:, None, None], masks, before_masks)
    count = len(case.sources)
    metrics["ncc_before"] = (
        sum(correlation(reference, *each) for each in zip(before, before_masks, strict=True)) / count
    )
    metrics["ncc"] = sum(correlation(reference, *each) for each in zip(after, after_masks, strict=True)) / count
    shots = torch.cat([reference[None], frames[used]])
    known = torch.cat([everywhere[None], masks[used]])
    shares = [glare_share(*each) for each in zip(shots, known, strict=True)]
    metrics["glare_before"] = sum(shares) / len(shares)
    flat = mean_gradient(masked_median(shots[None], known[None, :, None])[0])
    if flat > 0:
        metrics["sharpness"] = mean_gradient(aligned.image) / flat
    return metrics


def correlation(a: Tensor, b: Tensor, mask: Tensor) -> float:
    """Normalised cross-correlation of the brightness of two pictures inside a mask, in [-1, 1]; 0 where one is flat."""
    x, y = (picture.mean(0)[mask].double() for picture in (a, b))
    if len(x) == 0:
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    scale = float(x.square().sum().sqrt() * y.square().sum().sqrt())
    return float((x * y).sum()) / scale if scale > 1e-9 else 0.0


def mean_gradient(picture: Tensor) -> float:
    """Mean length of the gradient of the brightness, per pixel, by differences of neighbours."""
    grey = picture.mean(0).double()
    along_x, along_y = grey[:-1, 1:] - grey[:-1, :-1], grey[1:, :-1] - grey[:-1, :-1]
    lengths = (along_x.square() + along_y.square()).sqrt()
    return float(lengths.mean()) if lengths.numel() else 0.0


def glare_share(picture: Tensor, mask: Tensor) -> float:
    """Share of the pixels inside a mask that are nearly saturated and have hardly any colour, in [0, 1].

    White paper under strong light counts too: only pictures of one thing compare.
    """
    high, low = picture.amax(0), picture.amin(0)
    glare = (high >= GLARE_BRIGHTNESS) & (high - low <= GLARE_COLOUR)
    return float(glare[mask].double().mean()) if bool(mask.any()) else 0.0
