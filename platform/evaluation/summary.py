"""Rows of the table: one for each method, dataset and task, with confidence intervals and reasons for empty cells."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .aggregates import AGGREGATES, udis_split, without_untold
from .datasets import TASKS
from .measure import why_missing
from .results import METRICS, CaseResult

RESAMPLES = 1000
"""Of the bootstrap; for the metrics that are made from all cases together a fifth of it."""

RANKING = {"pair": "psnr_overlap", "set": "psnr", "aligned": "psnr"}
"""The metric that orders the methods of a table, by task."""

_COSTS = {
    "seconds": "no case succeeded",
    "gflop": "only networks are counted",
    "memory_mb": "no case succeeded, or the system does not tell",
}


def summarise(
    results: Sequence[CaseResult], *, scored: Collection[str] = (), lpips: bool = False
) -> list[dict[str, Any]]:
    """Rows of the table, by dataset and task, best first.

    Args:
        results: of any methods and datasets.
        scored: labels of the datasets whose subsets are made of each method's own scores (`datasets.SCORED`).
        lpips: whether LPIPS could be measured.

    Returns:
        For each method, dataset and task: `n`, `failed`, `metrics` (`mean`, `std`, `ci95` by name), `missing` (the
        reason by the name of each metric without a value), `subsets` (`n` and `metrics` by name), `length` where sets
        were measured by their length. `ci95` is half of
        the 95 % bootstrap interval; scenes are resampled, not cases, because the cases of one scene are not
        independent; cases of a single scene have none. A single case has no `std`, nor have the metrics made from
        all cases together.
    """
    groups: dict[tuple[str, str, str], list[CaseResult]] = {}
    for result in results:
        groups.setdefault((result.dataset, result.task, result.method), []).append(result)
    datasets = list(dict.fromkeys(dataset for dataset, _, _ in groups))
    rows = [_row(without_untold(own), own[0].dataset in scored, lpips) for own in groups.values()]

    def order(row: dict[str, Any]) -> tuple[int, int, float]:
        best = row["metrics"].get(RANKING[row["task"]], {"mean": -np.inf})["mean"]
        return datasets.index(row["dataset"]), TASKS.index(row["task"]), -best

    return sorted(rows, key=order)


def _row(own: list[CaseResult], scored: bool, lpips: bool) -> dict[str, Any]:
    first = own[0]
    metrics = _metrics(own, RESAMPLES)
    known = set().union(*(result.known for result in own))
    told = set().union(*(result.told for result in own))
    return {
        "method": first.method,
        "dataset": first.dataset,
        "task": first.task,
        **({} if first.length is None else {"length": first.length}),
        "n": len(own),
        "failed": sum(result.failed for result in own),
        "metrics": metrics,
        "missing": {
            metric.name: _reason(metric.name, known, told, lpips, first.task)
            for metric in METRICS
            if metric.name not in metrics
        },
        "subsets": _score_subsets(own) if scored else _subsets(own),
    }


def _subsets(own: list[CaseResult]) -> dict[str, dict[str, Any]]:
    """Means over the cases of each subset that the dataset tells."""
    parts = {name: [r for r in own if r.subset == name] for name in dict.fromkeys(r.subset for r in own) if name}
    return {
        name: {"n": len(part), "metrics": {k: {"mean": v["mean"]} for k, v in _metrics(part, 0).items()}}
        for name, part in parts.items()
    }


def _score_subsets(own: list[CaseResult]) -> dict[str, dict[str, Any]]:
    """Means over the classes of the UDIS protocol; `hard (released)` loses the worst pair, as the script does."""
    subsets: dict[str, dict[str, Any]] = {}
    for metric in ("psnr", "ssim"):
        scores = [result.metrics[metric] for result in own if metric in result.metrics]
        classes = udis_split(scores) | {"hard (released)": udis_split(scores, released=True)["hard"]}
        for name, part in classes.items():
            if len(part):
                subset = subsets.setdefault(name, {"n": len(part), "metrics": {}})
                subset["metrics"][metric] = {"mean": float(part.mean())}
    return subsets


def _reason(name: str, known: Collection[str], told: Collection[str], lpips: bool, task: str) -> str:
    return _COSTS.get(name) or why_missing(name, known, told, lpips, task)


def _metrics(own: list[CaseResult], resamples: int) -> dict[str, dict[str, float]]:
    """Statistics of the metrics that have a value; without `resamples` only their means."""
    found: dict[str, dict[str, float]] = {}
    scenes = np.unique([result.scene for result in own], return_inverse=True)[1]
    for metric in METRICS:
        if metric.per_case:
            pairs = [
                (scene, r.metrics[metric.name])
                for scene, r in zip(scenes, own, strict=True)
                if metric.name in r.metrics
            ]
            if pairs:
                found[metric.name] = _mean_statistics(
                    np.array([value for _, value in pairs]), np.array([scene for scene, _ in pairs]), resamples
                )
            continue
        value = AGGREGATES[metric.name](own)
        if value is not None:
            found[metric.name] = {"mean": value}
            if resamples and scenes.max() > 0:
                found[metric.name]["ci95"] = _aggregate_interval(own, scenes, AGGREGATES[metric.name], resamples // 5)
    return found


def _mean_statistics(values: NDArray[np.float64], scenes: NDArray[np.int64], resamples: int) -> dict[str, float]:
    statistics = {"mean": float(values.mean())}
    if resamples and len(values) > 1:
        statistics["std"] = float(values.std(ddof=1))
    _, group = np.unique(scenes, return_inverse=True)
    if resamples and group.max() > 0:
        totals, counts = np.bincount(group, values), np.bincount(group)
        pick = np.random.default_rng(0).integers(len(totals), size=(resamples, len(totals)))
        statistics["ci95"] = _half_width(totals[pick].sum(1) / counts[pick].sum(1))
    return statistics


def _aggregate_interval(
    own: list[CaseResult], scenes: NDArray[np.int64], aggregate: Callable[[Sequence[CaseResult]], float | None], n: int
) -> float:
    by_scene = [[own[k] for k in np.flatnonzero(scenes == scene)] for scene in range(scenes.max() + 1)]
    random = np.random.default_rng(0)
    values = []
    for _ in range(n):
        pick = random.integers(len(by_scene), size=len(by_scene))
        value = aggregate([result for scene in pick for result in by_scene[scene]])
        if value is not None:
            values.append(value)
    return _half_width(np.array(values)) if values else 0.0


def _half_width(values: NDArray[np.float64]) -> float:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(high - low) / 2
