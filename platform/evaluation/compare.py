"""Paired comparison of two methods: on the cases that both have, how much, how surely, and where each one wins."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .results import BY_NAME, CaseResult

MOST_EXTREMES = 5
"""Cases named for each side as its biggest wins."""

_RESAMPLES = 1000
_DIFFICULTY = {"easy": 0, "moderate": 1, "medium": 1, "hard": 2}
_TIE = 1e-9
"""Values closer than this part of the larger one are equal: two runs of the same sums differ by rounding."""

Values = NDArray[np.float64]
Cases = dict[str, dict[str, CaseResult]]
"""Of one dataset and task: method to key to result."""


@dataclass(frozen=True)
class Part:
    """The comparison on a part of the cases: a subset, or a third of them by motion.

    Attributes:
        label: name of the subset, or of the third with its range of motion.
        n: cases.
        difference: mean of a - b, in the metric's unit.
        wins: cases where a is better.
        ties: cases where both are equal.
        losses: cases where b is better.
    """

    label: str
    n: int
    difference: float
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Comparison:
    """Method a against method b by one metric, on the cases of one dataset and task where both have a finite value.

    Attributes:
        a: method.
        b: method.
        dataset: label of the dataset.
        task: see `results.Task`.
        metric: name of the metric.
        n: cases; failures count with the values they have.
        only_a: cases where a alone has a value, which count nowhere here.
        only_b: cases where b alone has a value.
        mean_a: mean of a, in the metric's unit.
        mean_b: mean of b.
        difference: mean of a - b. Whether that is good for a depends on `Metric.better`.
        low: lower end of the 95 % bootstrap interval of the difference (percentiles; scenes are resampled); minus
            infinity where all cases are of one scene, which says nothing of others.
        high: upper end.
        wins: cases where a is better.
        ties: cases where both are equal.
        losses: cases where b is better.
        p: two-sided p-value of Wilcoxon's signed-rank test, zeros left out; 1 where all cases are ties. The test takes
            cases as independent, which those of one scene are not: where scenes have many cases, trust the interval.
        subsets: by subset, see `by_difficulty`; empty where the dataset has none.
        motions: by thirds of the true motion, where it is known.
        best_for_a: keys of the biggest wins of a, each with a - b; biggest first.
        best_for_b: keys of the biggest wins of b.
    """

    a: str
    b: str
    dataset: str
    task: str
    metric: str
    n: int
    only_a: int
    only_b: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int
    p: float
    subsets: tuple[Part, ...]
    motions: tuple[Part, ...]
    best_for_a: tuple[tuple[str, float], ...]
    best_for_b: tuple[tuple[str, float], ...]


def compare(results: Iterable[CaseResult], a: str, b: str, metric: str) -> list[Comparison]:
    """Compare two methods by one metric.

    Args:
        results: of these methods, and maybe others.
        a: method.
        b: method.
        metric: name of a metric with `per_case`.

    Returns:
        One comparison per dataset and task where both have the metric on a common case, in the order of the results.
    """
    found = (_compare(group, place, a, b, metric) for place, group in by_place(results).items())
    return [comparison for comparison in found if comparison]


def compare_all(results: Iterable[CaseResult], metrics: Sequence[str]) -> list[Comparison]:
    """Every method against every later one, by each metric, as `compare`."""
    found = (
        _compare(group, place, a, b, metric)
        for place, group in by_place(results).items()
        for a, b in combinations(group, 2)
        for metric in metrics
    )
    return [comparison for comparison in found if comparison]


def by_place(results: Iterable[CaseResult]) -> dict[tuple[str, str], Cases]:
    """Results by (dataset, task), method and key, in the order in which they come."""
    places: dict[tuple[str, str], Cases] = {}
    for result in results:
        group = places.setdefault((result.dataset, result.task), {})
        group.setdefault(result.method, {})[result.key] = result
    return places


def by_difficulty(subsets: Iterable[str]) -> list[str]:
    """Names of subsets in order: from easy to hard where they say so, else by name."""
    return sorted(subsets, key=lambda name: (_DIFFICULTY.get(name.lower(), len(_DIFFICULTY)), name))


def describe(comparisons: Sequence[Comparison]) -> str:
    """Comparisons as text for a terminal: a few lines each, the verdict first."""
    return "\n\n".join("\n".join(_lines(comparison)) for comparison in comparisons)


def verdict(comparison: Comparison) -> str:
    """Who is better, in a few words; only a difference whose interval leaves out zero is called one."""
    if comparison.low <= 0 <= comparison.high:
        return "no difference that is sure"
    return f"{comparison.a if _good(comparison.metric) * comparison.difference > 0 else comparison.b} is better"


def _compare(group: Cases, place: tuple[str, str], a: str, b: str, metric: str) -> Comparison | None:
    of_a, of_b = (_finite(group.get(method, {}), metric) for method in (a, b))
    keys = [key for key in of_a if key in of_b]
    if not keys:
        return None
    first, second = (np.array([values[key] for key in keys]) for values in (of_a, of_b))
    difference = first - second
    difference[np.abs(difference) <= _TIE * np.maximum(np.abs(first), np.abs(second))] = 0.0
    gain = _good(metric) * difference
    cases = [group[a][key] for key in keys]
    low, high = _interval(difference, [case.scene for case in cases])
    whole = _part("", difference, gain)
    order = np.argsort(-gain, kind="stable")
    return Comparison(
        a=a,
        b=b,
        dataset=place[0],
        task=place[1],
        metric=metric,
        n=whole.n,
        only_a=len(of_a) - len(keys),
        only_b=len(of_b) - len(keys),
        mean_a=float(first.mean()),
        mean_b=float(second.mean()),
        difference=whole.difference,
        low=low,
        high=high,
        wins=whole.wins,
        ties=whole.ties,
        losses=whole.losses,
        p=_signed_rank(difference),
        subsets=_by_subset(cases, difference, gain),
        motions=_by_motion(cases, difference, gain),
        best_for_a=tuple((keys[i], float(difference[i])) for i in order[:MOST_EXTREMES] if gain[i] > 0),
        best_for_b=tuple((keys[i], float(difference[i])) for i in order[::-1][:MOST_EXTREMES] if gain[i] < 0),
    )


def _finite(cases: dict[str, CaseResult], metric: str) -> dict[str, float]:
    return {
        key: case.metrics[metric] for key, case in cases.items() if math.isfinite(case.metrics.get(metric, math.nan))
    }


def _good(metric: str) -> int:
    """1 where more is better, else -1."""
    return 1 if BY_NAME[metric].better == "higher" else -1


def _part(label: str, difference: Values, gain: Values) -> Part:
    wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
    return Part(label, len(gain), float(difference.mean()), wins, len(gain) - wins - losses, losses)


def _by_subset(cases: Sequence[CaseResult], difference: Values, gain: Values) -> tuple[Part, ...]:
    labels = np.array([case.subset for case in cases])
    return tuple(
        _part(label, difference[labels == label], gain[labels == label])
        for label in by_difficulty({*labels.tolist()} - {""})
    )


def _by_motion(cases: Sequence[CaseResult], difference: Values, gain: Values) -> tuple[Part, ...]:
    motion = np.array([math.nan if case.motion is None else case.motion for case in cases])
    known = np.isfinite(motion)
    if not known.any():
        return ()
    lower, upper = np.quantile(motion[known], [1 / 3, 2 / 3])
    thirds = (
        (f"small motion (up to {lower:.3g} %)", motion <= lower),
        (f"medium motion (up to {upper:.3g} %)", (motion > lower) & (motion <= upper)),
        (f"large motion (above {upper:.3g} %)", motion > upper),
    )
    return tuple(_part(label, difference[inside], gain[inside]) for label, inside in thirds if inside.any())


def _interval(difference: Values, scenes: Sequence[str]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean; a scene's cases are drawn together."""
    names, place = np.unique(np.array(scenes), return_inverse=True)
    if len(names) == 1:
        return -math.inf, math.inf
    totals, counts = np.bincount(place, weights=difference), np.bincount(place).astype(np.float64)
    weights = _weights(len(totals))
    low, high = np.quantile((weights @ totals) / (weights @ counts), [0.025, 0.975])
    return float(low), float(high)


@lru_cache(maxsize=8)
def _weights(scenes: int) -> Values:
    """How often each resample draws each scene, `(resamples, scenes)`."""
    picks = np.random.default_rng(0).integers(scenes, size=(_RESAMPLES, scenes))
    weights = np.zeros((_RESAMPLES, scenes))
    np.add.at(weights, (np.arange(_RESAMPLES)[:, None], picks), 1.0)
    return weights


def _signed_rank(difference: Values) -> float:
    from scipy.stats import wilcoxon  # type: ignore[import-untyped]

    return float(wilcoxon(difference).pvalue) if difference.any() else 1.0


def _lines(comparison: Comparison) -> list[str]:
    metric = BY_NAME[comparison.metric]
    unit = f" {metric.unit}" if metric.unit else ""

    def number(value: float) -> str:
        return f"{value:+.{metric.digits}f}"

    interval = f"95 % {number(comparison.low)} to {number(comparison.high)}"
    if math.isinf(comparison.low):
        interval = "no interval: all cases are of one scene"
    lines = [
        f"{comparison.a} against {comparison.b}: {comparison.metric} ({metric.better} is better), "
        f"{comparison.dataset} ({comparison.task}), n = {comparison.n}: {verdict(comparison)}",
        f"  mean difference {number(comparison.difference)}{unit} "
        f"({interval}), "
        f"{comparison.wins} wins, {comparison.ties} ties, {comparison.losses} losses, p = {comparison.p:.2g}",
    ]
    for part in (*comparison.subsets, *comparison.motions):
        lines.append(
            f"  {part.label}: {number(part.difference)}{unit}, {part.wins} / {part.ties} / {part.losses} of {part.n}"
        )
    for method, best in ((comparison.a, comparison.best_for_a), (comparison.b, comparison.best_for_b)):
        if best:
            lines.append(f"  biggest wins of {method}: " + ", ".join(f"{key} ({number(value)})" for key, value in best))
    for method, alone in ((comparison.a, comparison.only_a), (comparison.b, comparison.only_b)):
        if alone:
            lines.append(f"  left out: {alone} cases where only {method} has a value")
    return lines
