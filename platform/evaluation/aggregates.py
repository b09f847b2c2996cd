"""Metrics that are made from the values of many cases: areas under curves, rates, calibration, difficulty classes.

A failed case counts: its errors are below no threshold, its confidence is wrong.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .results import CaseResult

FIRE_PAIRS = {"S": 71, "P": 48, "A": 14}
"""Pairs of each group of FIRE: easy, hard, moderate; P37_1_2, whose annotation is wrong, is left out."""

ACCEPTABLE_MAE = 50.0
ACCEPTABLE_MEE = 20.0
"""Up to these largest and median errors of its control points, in pixels, a pair of FIRE is aligned."""

CORRECT = 3.0
"""Below this corner error or end-point error, in pixels, an answer is correct; its confidence should have said so."""


def without_untold(results: Sequence[CaseResult]) -> list[CaseResult]:
    """Leave out the errors of what a method never tells.

    A failed case is measured as no alignment, which has a homography and control points even where the method tells
    nothing but a flow or a picture; its errors would be all that the method's column is made of.

    Args:
        results: of one method on one dataset and task.
    """
    told = set().union(*(result.told for result in results))
    if not told and all(result.failed for result in results):
        return list(results)  # nobody knows what it would have told
    untold = set() if "homography" in told else {"corner_error", "e1", "e2"}
    if not told & {"homography", "flow"}:
        untold |= {"epe", "point_error", "mee", "mae"}
    return [
        replace(result, metrics={name: value for name, value in result.metrics.items() if name not in untold})
        for result in results
    ]


def errors_of(results: Sequence[CaseResult], metric: str) -> NDArray[np.float64]:
    """The values of a metric of the cases that have it; infinite for failed cases. Of a set the corner errors of each
    source, so that sets compare with their pairs."""
    errors: list[float] = []
    for result in results:
        if metric == "corner_error" and metric in result.metrics and result.frame_errors:
            errors += result.frame_errors
        elif metric in result.metrics:
            errors.append(math.inf if result.failed else result.metrics[metric])
    return np.array(errors)


def curve_area(errors: ArrayLike, limit: float) -> float:
    """Area under the cumulative curve of errors up to `limit`, divided by it (SuperGlue; Sarlin et al. 2020).

    The curve leads from (0, 0) through the points (k-th smallest error, k / n) by straight lines and stays level from
    the last error below the limit.

    Args:
        errors: at least one, not negative, inf for failed cases.
        limit: largest error that counts.

    Returns:
        In [0, 1].
    """
    below = np.sort(np.asarray(errors, dtype=np.float64))
    total = len(below)
    below = below[below < limit]
    xs = np.concatenate([[0.0], below, [limit]])
    ys = np.concatenate([np.arange(len(below) + 1), [len(below)]]) / total
    return float((np.diff(xs) * (ys[1:] + ys[:-1]) / 2).sum() / limit)


def fire_outcome(result: CaseResult) -> str:
    """`failed`, `acceptable` or `inaccurate`, of a case with control points (FIRE protocol)."""
    if result.failed:
        return "failed"
    good = result.metrics["mae"] <= ACCEPTABLE_MAE and result.metrics["mee"] <= ACCEPTABLE_MEE
    return "acceptable" if good else "inaccurate"


def fire_area(errors: ArrayLike) -> float:
    """Mean over the thresholds 1, 2, ..., 25 px of the share of cases whose error is smaller (FIRE protocol).

    Args:
        errors: mean error of the control points of each case, inf for failed cases; at least one.

    Returns:
        In [0, 1].
    """
    return float((np.asarray(errors, dtype=np.float64)[:, None] < np.arange(1, 26)).mean())


def mean_group_area(errors: ArrayLike, groups: Sequence[str]) -> float:
    """Mean of `fire_area` over the groups S, P and A, each with the same weight; over all cases without such groups.

    Args:
        errors: see `fire_area`.
        groups: of each case; without those of `FIRE_PAIRS` the value is not the published metric (`fire_note`).
    """
    values = np.asarray(errors, dtype=np.float64)
    names = np.array(groups)
    if not set(groups) <= set(FIRE_PAIRS):
        return fire_area(values)
    return float(np.mean([fire_area(values[names == name]) for name in sorted(set(groups))]))


def fire_note(results: Sequence[CaseResult]) -> str:
    """What keeps results on FIRE from being the published metrics; empty where its groups are whole.

    Args:
        results: of one method.
    """
    counts = Counter(result.subset for result in results)
    if counts == FIRE_PAIRS:
        return ""
    has, needs = (", ".join(f"{name} {each[name]}" for name in FIRE_PAIRS) for each in (counts, FIRE_PAIRS))
    return f"FIRE: {has} pairs were measured, the published protocol has {needs}; mauc is not the published metric"


def is_correct(result: CaseResult) -> bool | None:
    """Whether an answer is right: corner error, else end-point error, below `CORRECT`; None where neither is known."""
    error = result.metrics.get("corner_error", result.metrics.get("epe"))
    if error is None:
        return None
    return not result.failed and error < CORRECT


@dataclass(frozen=True)
class ConfidenceBin:
    """Answers of about one confidence."""

    cases: int
    confidence: float
    """Mean."""
    correct: float
    """Share of correct answers."""


def reliability(results: Sequence[CaseResult]) -> list[ConfidenceBin]:
    """Confidence beside the share of correct answers (`is_correct`), in those of 10 equal bins that hold any.

    Cases without a confidence, or of which no right answer is known, do not count.
    """
    judged = [(result.confidence, is_correct(result)) for result in results]
    pairs = [(confidence, right) for confidence, right in judged if confidence is not None and right is not None]
    bins: dict[int, list[tuple[float, bool]]] = {}
    for confidence, right in pairs:
        bins.setdefault(min(int(confidence * 10), 9), []).append((confidence, right))
    return [
        ConfidenceBin(len(held), *(float(mean) for mean in np.mean(np.array(held, dtype=np.float64), axis=0)))
        for _, held in sorted(bins.items())
    ]


def confidence_ece(results: Sequence[CaseResult]) -> float | None:
    """Expected calibration error of the confidence (Guo et al. 2017, Eq. 3).

    The mean over the bins of `reliability`, weighted by their cases, of |share of correct answers - mean confidence|.

    Returns:
        In [0, 1]; None where no case counts.
    """
    bins = reliability(results)
    total = sum(each.cases for each in bins)
    return sum(each.cases * abs(each.correct - each.confidence) for each in bins) / total if total else None


def _corner_area(limit: float) -> Callable[[Sequence[CaseResult]], float | None]:
    def area(results: Sequence[CaseResult]) -> float | None:
        errors = errors_of(results, "corner_error")
        return curve_area(errors, limit) if len(errors) else None

    return area


def _success(results: Sequence[CaseResult]) -> float | None:
    outcomes = [fire_outcome(result) for result in results if "mae" in result.metrics]
    return outcomes.count("acceptable") / len(outcomes) if outcomes else None


def _point_area(results: Sequence[CaseResult]) -> float | None:
    errors = errors_of(results, "point_error")
    return fire_area(errors) if len(errors) else None


def _mean_point_area(results: Sequence[CaseResult]) -> float | None:
    groups = [result.subset for result in results if "point_error" in result.metrics]
    return mean_group_area(errors_of(results, "point_error"), groups) if groups else None


AGGREGATES: dict[str, Callable[[Sequence[CaseResult]], float | None]] = {
    "auc3": _corner_area(3),
    "auc5": _corner_area(5),
    "auc10": _corner_area(10),
    "success": _success,
    "auc": _point_area,
    "mauc": _mean_point_area,
    "confidence_ece": confidence_ece,
}
"""The metrics of the table that are made from many cases: from the results of one method on one dataset and task to the
value, None where no case allows it."""


def udis_split(scores: ArrayLike, *, released: bool = False) -> dict[str, NDArray[np.float64]]:
    """The difficulty classes of the UDIS protocol: by the method's own scores, separately for PSNR and SSIM.

    Of n scores, sorted descending, the first `floor(0.3 n)` are easy, those up to `floor(0.6 n)` moderate, the rest
    hard: 331, 332 and 443 of the 1,106 pairs of UDIS-D.

    Args:
        scores: PSNR or SSIM over the full frame, one per pair.
        released: as the released script of UDIS++ does it, which loses the worst pair of hard (442 of UDIS-D).

    Returns:
        The scores of `easy`, `moderate` and `hard`, descending. A class of very few pairs may be empty.
    """
    ranked = np.sort(np.asarray(scores, dtype=np.float64))[::-1]
    count = len(ranked)
    first, second = 3 * count // 10, 6 * count // 10
    return {
        "easy": ranked[:first],
        "moderate": ranked[first:second],
        "hard": ranked[second : count - 1 if released else count],
    }
