"""How likely an alignment is right, from how well two pictures agree window by window."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..jnd import luma

LEAST_OVERLAP = 0.05
"""Share of the frame below which a match says nothing."""
REDUCTION = 4
"""The pictures are compared at a quarter of the working size, which forgives noise."""
WINDOW = 17
"""Side of the windows, pixels of the reduced pictures: large enough to tell structure from chance, small enough that
neither light nor parallax decides."""
LEAST_CONTRAST = 1.0
"""Standard deviation of luma in a window, in grey levels, below which it shows nothing."""
INTERCEPT, SLOPE, OVERLAP_SLOPE = -6.97, 10.15, 0.25
"""Of the logistic regression, fitted by tests/benchmarks/fit_confidence.py to 320 answers on collages."""


def window_correlation(reference: Tensor, warped: Tensor, coverage: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised cross-correlation of luma in windows, blind to gain and offset of exposure.

    Args:
        reference: `(B, 3, H, W)` in [0, 1].
        warped: the source in the frame of the reference, like `reference`.
        coverage: of `warped`, `(B, 1, H, W)` in [0, 1].

    Returns:
        Correlations `(B, h, w)` in [0, 1], those below zero as 0; and which windows are covered and show something in
        both pictures, bool `(B, h, w)`.
    """
    covered = _means(F.avg_pool2d((coverage >= 0.999).float(), REDUCTION)) >= 0.999
    a, b = (F.avg_pool2d(luma(picture), REDUCTION) for picture in (reference, warped))
    mean_a, mean_b = _means(a), _means(b)
    covariance = _means(a * b) - mean_a * mean_b
    variance_a, variance_b = _means(a * a) - mean_a**2, _means(b * b) - mean_b**2
    shows = covered & (torch.minimum(variance_a, variance_b) >= LEAST_CONTRAST**2)
    correlation = covariance / (variance_a * variance_b).clamp_min(LEAST_CONTRAST**4).sqrt()
    return correlation.clamp(0, 1)[:, 0], shows[:, 0]


def _means(plane: Tensor) -> Tensor:
    return F.avg_pool2d(plane, WINDOW, stride=WINDOW // 2)


def likelihood(reference: Tensor, source: Tensor, positions: Tensor) -> Tensor:
    """How likely the mean end-point error of the visible pixels is below 1.2 % of the frame's side, `(B,)`.

    A logistic regression on the mean correlation of windows (`window_correlation`) and on how much of the frame they
    cover, fitted to pairs with known flow; 0 where less than `LEAST_OVERLAP` of the frame shows anything in both.

    Args:
        reference: `(B, 3, H, W)` in [0, 1] at the working size.
        source: the same.
        positions: `(B, H, W, 2)`, pixels of the source, for each pixel of the reference.
    """
    mean, share = agreement(reference, source, positions)
    logit = INTERCEPT + SLOPE * mean + OVERLAP_SLOPE * share.clamp_min(LEAST_OVERLAP).log()
    return torch.where(share >= LEAST_OVERLAP, logit.sigmoid(), 0.0)


def agreement(reference: Tensor, source: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Mean correlation `(B,)` of the windows that show something, and their share of the frame `(B,)`."""
    size: geometry.Size = (source.shape[-2], source.shape[-1])
    coverage = geometry.coverage(positions, size)[:, None]
    correlation, shows = window_correlation(reference, geometry.sample(source, positions), coverage)
    count = shows.flatten(1).sum(1)
    mean = (correlation * shows).flatten(1).sum(1) / count.clamp_min(1)
    return mean, shows.float().flatten(1).mean(1)
