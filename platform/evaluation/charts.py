"""The charts of an evaluation: quality against time and motion, shares of cases below an error, reliability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..report import pareto_front
from .aggregates import errors_of, reliability
from .axes import Axes, Scale, fitted
from .compare import by_place
from .results import BY_NAME, CaseResult, Metric
from .summary import RANKING
from .tables import TASKS, Table

ERRORS = {"corner_error": "homography", "epe": "flow", "mee": "points"}
"""Metrics with a curve of their own, and what has to be known of the right answer for them."""

_BINS = 8
_LEAST_PER_BIN = 5
_LEAST_PER_CONFIDENCE = 3
_CURVE_POINTS = 80


def headline(task: str) -> Metric:
    """The metric of pictures by which methods are ranked: inside the overlap for pairs, over the frame for sets."""
    return BY_NAME[RANKING[task]]


def pareto_charts(tables: Iterable[Table], methods: Sequence[str]) -> list[str]:
    """Headline metric against seconds of one alignment, one chart per dataset and task; SVG figures.

    Args:
        tables: of the evaluation.
        methods: all methods; the place of one gives its colour.
    """
    charts = []
    for table in tables:
        metric = headline(table.task)
        shown = [row for row in table.rows if {metric.name, "seconds"} <= row["metrics"].keys()]
        shown = [row for row in shown if row["metrics"]["seconds"]["mean"] > 0]
        if len(shown) < 2:
            continue
        points = [(row["metrics"]["seconds"]["mean"], row["metrics"][metric.name]["mean"]) for row in shown]
        x = fitted([point[0] for point in points], log=True)
        halves = [row["metrics"][metric.name].get("ci95", 0.0) for row in shown]
        y = fitted([point[1] + side * half for point, half in zip(points, halves, strict=True) for side in (-1, 1)])
        axes = Axes(table.title, x, y, "seconds of one alignment", f"{metric.name} ({metric.unit})")
        axes.front([points[index] for index in pareto_front(points, higher=metric.better == "higher")])
        for row, point, half in zip(shown, points, halves, strict=True):
            told = f"{row['method']}: {point[1]:.{metric.digits}f} {metric.unit} in {point[0]:.3g} s"
            axes.dot(point, methods.index(row["method"]), told, half=half)
        for row, point in zip(shown, points, strict=True):
            axes.label(point, row["method"], methods.index(row["method"]))
        charts.append(axes.svg())
    return charts


def error_curves(results: Iterable[CaseResult], methods: Sequence[str]) -> list[str]:
    """Share of the cases whose error is at most x, one chart per dataset, task and kind of error; SVG figures.

    Every case whose right answer is known counts in the whole; a failed one is below no threshold.
    """
    charts = []
    for (dataset, task), group in by_place(results).items():
        for name, truth in ERRORS.items():
            shares = {}
            for method, cases in group.items():
                known = [case for case in cases.values() if truth in case.known]
                errors = errors_of(known, name)
                total = len(errors) + sum(name not in case.metrics for case in known)
                errors = np.sort(errors[np.isfinite(errors)])
                if len(errors):
                    shares[method] = (errors, total)
            if shares:
                charts.append(_curves(f"{dataset}, {TASKS[task]}: {name}", shares, BY_NAME[name], methods))
    return charts


def motion_charts(results: Iterable[CaseResult], methods: Sequence[str]) -> list[str]:
    """Headline metric against the true motion, means of bins with equally many cases; SVG figures."""
    charts = []
    for (dataset, task), group in by_place(results).items():
        metric = headline(task)
        lines = {}
        for method, cases in group.items():
            points = [
                (c.motion, c.metrics[metric.name]) for c in cases.values() if c.motion and metric.name in c.metrics
            ]
            bins = min(_BINS, len(points) // _LEAST_PER_BIN)
            if bins >= 2:
                parts = np.array_split(np.array(sorted(points)), bins)
                lines[method] = [(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in parts]
        if not lines:
            continue
        motions = [x for line in lines.values() for x, _ in line]
        log = max(motions) > 15 * min(motions)
        axes = Axes(
            f"{dataset}, {TASKS[task]}",
            fitted(motions, log=log),
            fitted([y for line in lines.values() for _, y in line]),
            "true motion (% of the diagonal)",
            f"{metric.name} ({metric.unit})",
        )
        for method, line in lines.items():
            axes.line(line, methods.index(method), method, dots=True)
        charts.append(axes.svg())
    return charts


def reliability_charts(results: Iterable[CaseResult], methods: Sequence[str]) -> list[str]:
    """Share of correct answers against the confidence that was given, one chart per dataset and task; SVG figures."""
    charts = []
    for (dataset, task), group in by_place(results).items():
        lines = {}
        for method, cases in group.items():
            bins = [each for each in reliability(list(cases.values())) if each.cases >= _LEAST_PER_CONFIDENCE]
            if bins:
                lines[method] = [(each.confidence, each.correct) for each in bins]
        if not lines:
            continue
        title = f"{dataset}, {TASKS[task]}"
        axes = Axes(title, Scale(0, 1), Scale(0, 1), "confidence", "share of correct answers")
        axes.front([(0.0, 0.0), (1.0, 1.0)])
        for method, line in lines.items():
            axes.line(line, methods.index(method), method, dots=True)
        charts.append(axes.svg())
    return charts


def _curves(
    title: str, shares: dict[str, tuple[NDArray[np.float64], int]], metric: Metric, methods: Sequence[str]
) -> str:
    everything = np.concatenate([errors for errors, _ in shares.values()])
    # Beyond these, curves are flat or the answer is lost altogether.
    low = max(float(np.quantile(everything, 0.02)), 0.01)
    high = max(min(float(np.quantile(everything, 0.98)), 1000.0), 10 * low)
    axes = Axes(title, Scale(low, high, log=True), Scale(0, 1), f"{metric.name} ({metric.unit})", "share of cases")
    grid = np.geomspace(low, high, _CURVE_POINTS)
    for method, (errors, total) in shares.items():
        heights = np.searchsorted(errors, grid, side="right") / total
        axes.line(list(zip(grid.tolist(), heights.tolist(), strict=True)), methods.index(method), method)
    return axes.svg()
