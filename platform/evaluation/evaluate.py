"""One protocol for every method: the pairs (0, k) of a split, at full resolution, measured alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ...methods.aligner import Aligner
from ...methods.errors import DatasetError
from ..alignment import ModelChoice, align_images
from ..data.samples import Samples, float_image
from .metrics import homography_metrics, picture_metrics

METRICS = (
    "psnr_overlap",
    "ssim_overlap",
    "overlap",
    "psnr",
    "ssim",
    "rmse",
    "corner_error",
    "e1",
    "e2",
    "seconds",
)
"""Columns of the table, in order."""


@dataclass(frozen=True)
class PairResult:
    """The metrics of one method on one pair."""

    method: str
    key: str
    frame: int
    metrics: dict[str, float]


def evaluate(
    models: list[tuple[ModelChoice, Aligner]],
    url: str,
    split: str,
    *,
    limit: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> list[PairResult]:
    """Run every aligner on every pair (0, k) of a split.

    Args:
        models: what to measure.
        url: the dataset.
        split: one of its splits.
        limit: at most so many pairs, spread over the samples; None means all.
        advance: called with 1 after each aligned pair.

    Returns:
        One result per method and pair, in that order.

    Raises:
        DatasetError: the split is missing or has no pair.
    """
    samples = Samples(url, split)
    plan = [(position, k) for position in range(len(samples)) for k in range(1, len(samples.frame_names(position)))]
    if not plan:
        raise DatasetError(f"split '{split}' of {url} has no pair: every sample has a single frame")
    if limit is not None and limit < len(plan):
        plan = [plan[round(step * (len(plan) - 1) / max(1, limit - 1))] for step in range(limit)]
    results = []
    for choice, aligner in models:
        position = -1
        for index, k in plan:
            if index != position:
                position, sample = index, samples[index]
            reference, source = float_image(sample.frames[0]), float_image(sample.frames[k])
            metrics = measure(choice, aligner, reference, source, sample.homography(0, k))
            results.append(PairResult(choice.name, sample.key, k, metrics))
            advance(1)
    return results


def measure(
    choice: ModelChoice, aligner: Aligner, reference: Tensor, source: Tensor, homography: Tensor | None
) -> dict[str, float]:
    """Align one pair and measure it; pictures `(3, H, W)` in [0, 1], true homography `(3, 3)` or None."""
    found = align_images(aligner, reference, [source], choice)
    metrics = picture_metrics(reference, found.image, found.mask[None])
    if homography is not None and found.homography is not None:
        metrics |= homography_metrics(found.homography[0], homography, *reference.shape[-2:])
    return {**metrics, "seconds": found.facts["seconds"]}


def summarise(results: list[PairResult], dataset: str) -> list[dict[str, Any]]:
    """Rows of the table, best psnr_overlap first: mean, standard deviation and 95 % confidence half-width.

    The half-width is that of the mean's bootstrap percentiles (1,000 resamples of the samples' means, fixed seed):
    pairs of one scene are not independent, so scenes are resampled, not pairs.
    """
    rows = []
    for label in dict.fromkeys(result.method for result in results):
        own = [result for result in results if result.method == label]
        metrics = {}
        for name in METRICS:
            values = [(result.key, result.metrics[name]) for result in own if name in result.metrics]
            if values:
                metrics[name] = _statistics(values)
        rows.append({"method": label, "dataset": dataset, "n": len(own), "metrics": metrics})
    return sorted(rows, key=lambda row: -row["metrics"]["psnr_overlap"]["mean"])


def _statistics(values: list[tuple[str, float]]) -> dict[str, float]:
    numbers = np.array([value for _, value in values], dtype=np.float64)
    by_key: dict[str, list[float]] = {}
    for key, value in values:
        by_key.setdefault(key, []).append(value)
    totals = np.array([sum(group) for group in by_key.values()])
    counts = np.array([len(group) for group in by_key.values()])
    pick = np.random.default_rng(0).integers(len(totals), size=(1000, len(totals)))
    means = totals[pick].sum(1) / counts[pick].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    spread = float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0
    return {"mean": float(numbers.mean()), "std": spread, "ci95": float(high - low) / 2}
