"""From what was measured of each seed to the study's table: means and spread over seeds, and which orders hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..evaluation.compare import by_difficulty, compare
from ..evaluation.results import BY_NAME, CaseResult
from ..evaluation.summary import RANKING
from .options import Order
from .run import Measured

ALL = ""
"""The subset of all cases."""


def pool(measured: Measured, variants: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of the study's table, by test, task, subset and variant.

    Args:
        measured: of all seeds.
        variants: in the order of the table.

    Returns:
        For each variant, test, task and subset (empty for all cases): `n` cases, `failed` over all seeds (of all cases
        only), `seeds`, and `metrics` by name: `mean`, `min`, `max` and `values` over the seeds, and with more than one
        seed `std` (of a sample).
    """
    found: dict[tuple[str, str, str, str], dict[int, dict[str, Any]]] = {}
    for seed, rows in measured.rows.items():
        for row in rows:
            for subset, part in {ALL: row, **row["subsets"]}.items():
                found.setdefault((row["dataset"], row["task"], subset, row["method"]), {})[seed] = part
    places = dict.fromkeys((test, task) for test, task, _, _ in found)
    pooled = []
    for test, task in places:
        subsets = {subset for t, k, subset, _ in found if (t, k) == (test, task)} - {ALL}
        for subset in (ALL, *by_difficulty(subsets)):
            for variant in variants:
                parts = found.get((test, task, subset, variant))
                if parts:
                    pooled.append({"variant": variant, "test": test, "task": task, "subset": subset, **_pooled(parts)})
    return pooled


def _pooled(parts: dict[int, dict[str, Any]]) -> dict[str, Any]:
    names = [name for name in BY_NAME if any(name in part["metrics"] for part in parts.values())]
    metrics: dict[str, dict[str, Any]] = {}
    for name in names:
        values = [parts[seed]["metrics"][name]["mean"] for seed in sorted(parts) if name in parts[seed]["metrics"]]
        spread = {"std": float(np.std(values, ddof=1))} if len(values) > 1 else {}
        metrics[name] = {"mean": float(np.mean(values)), "min": min(values), "max": max(values), **spread}
        metrics[name]["values"] = values
    first = next(iter(parts.values()))
    failed = {"failed": sum(part["failed"] for part in parts.values())} if "failed" in first else {}
    return {"n": first["n"], **failed, "seeds": sorted(parts), "metrics": metrics}


def check_orders(measured: Measured, orders: Sequence[Order], metric: str | None) -> list[dict[str, Any]]:
    """Which orders hold, on each test and on each of its subsets.

    `verdict` is "held for every seed" where each seed agrees and the interval leaves out zero, "held on the mean" where
    only the mean over the seeds agrees, "refuted" where it does not and the interval leaves out zero, and else
    "undecided". `ci95` is the 95 % bootstrap interval over scenes of the paired difference, each case's values averaged
    over the seeds; it leaves out how much seeds differ, which `differences` tells. Of a single seed a verdict that the
    interval supports says so: "held for one seed", "refuted for one seed".

    Args:
        measured: of all seeds.
        orders: claims.
        metric: by which; None for that of `RANKING`.

    Returns:
        For each order, test, task and subset where both variants were measured with a common seed: `order`, `metric`,
        `test`, `task`, `subset`, `n`, `seeds`, `differences` (of each seed, `better - worse` in the metric's unit),
        `difference` (their mean), `ci95` (two numbers, None with a single scene), `held_for` (how many seeds agree),
        `verdict`.
    """
    return [
        found
        for order in orders
        for (test, task), subsets in _places(measured).items()
        for subset in (ALL, *subsets)
        if (found := _check(measured, order, metric or RANKING[task], (test, task, subset)))
    ]


def _places(measured: Measured) -> dict[tuple[str, str], list[str]]:
    """Subsets of each test and task."""
    subsets: dict[tuple[str, str], set[str]] = {}
    for results in measured.results.values():
        for result in results:
            subsets.setdefault((result.dataset, result.task), set()).add(result.subset)
    return {place: by_difficulty(names - {ALL}) for place, names in subsets.items()}


def _check(measured: Measured, order: Order, metric: str, place: tuple[str, str, str]) -> dict[str, Any] | None:
    by_seed = {seed: _of(results, place, order, metric) for seed, results in sorted(measured.results.items())}
    by_seed = {seed: own for seed, own in by_seed.items() if {r.method for r in own} == {order.better, order.worse}}
    if not by_seed:
        return None
    differences = {s: compare(own, order.better, order.worse, metric)[0].difference for s, own in by_seed.items()}
    [whole] = compare(_averaged(by_seed, metric), order.better, order.worse, metric)
    sign = 1 if BY_NAME[metric].better == "higher" else -1
    mean = float(np.mean(list(differences.values())))
    held, *each_held = [
        sign * value > 0 if order.relation == "<" else sign * value >= 0 for value in (mean, *differences.values())
    ]
    sure = not whole.low <= 0 <= whole.high
    return {
        "order": str(order),
        "metric": metric,
        "test": place[0],
        "task": place[1],
        "subset": place[2],
        "n": whole.n,
        "seeds": list(differences),
        "differences": list(differences.values()),
        "difference": mean,
        "ci95": [whole.low, whole.high] if np.isfinite(whole.low) else None,
        "held_for": sum(each_held),
        "verdict": _verdict(held, each_held, sure),
    }


def _verdict(held: bool, each_held: Sequence[bool], sure: bool) -> str:
    alone = len(each_held) == 1
    if held and all(each_held) and sure:
        return "held for one seed" if alone else "held for every seed"
    if held:
        return "undecided" if alone else "held on the mean"
    if sure:
        return "refuted for one seed" if alone else "refuted"
    return "undecided"


def _of(results: list[CaseResult], place: tuple[str, str, str], order: Order, metric: str) -> list[CaseResult]:
    test, task, subset = place
    return [
        result
        for result in results
        if (result.dataset, result.task) == (test, task)
        and subset in (ALL, result.subset)
        and result.method in (order.better, order.worse)
        and metric in result.metrics
    ]


def _averaged(by_seed: dict[int, list[CaseResult]], metric: str) -> list[CaseResult]:
    """One result per variant and case, with the mean over the seeds."""
    cases: dict[tuple[str, str], list[CaseResult]] = {}
    for results in by_seed.values():
        for result in results:
            cases.setdefault((result.method, result.key), []).append(result)
    return [
        replace(same[0], metrics={metric: float(np.mean([result.metrics[metric] for result in same]))})
        for same in cases.values()
    ]
