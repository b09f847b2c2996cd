"""Metrics made from many cases: the published protocols, against torchmetrics and values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from raylign.platform.evaluation.aggregates import (
    AGGREGATES,
    FIRE_PAIRS,
    confidence_ece,
    curve_area,
    errors_of,
    fire_area,
    fire_note,
    fire_outcome,
    is_correct,
    mean_group_area,
    reliability,
    udis_split,
    without_untold,
)
from raylign.platform.evaluation.results import METRICS, CaseResult


def case(number: int = 0, subset: str = "", **values: Any) -> CaseResult:
    fields = {name: values.pop(name) for name in ("failed", "confidence", "told") if name in values}
    return CaseResult("m", "d", "pair", f"{number}", f"{number}", f"{number}", subset, metrics=values, **fields)


def test_every_metric_that_is_not_of_a_case_has_its_aggregate() -> None:
    assert set(AGGREGATES) == {metric.name for metric in METRICS if not metric.per_case}
    assert all(aggregate([case(psnr=20.0)]) is None for aggregate in AGGREGATES.values())
    assert all(aggregate([]) is None for aggregate in AGGREGATES.values())


def test_area_under_the_curve_by_hand() -> None:
    # One case with error 1: up to (1, 1) in a line, then level: (0.5 + 2) / 3.
    assert curve_area([1.0], 3) == pytest.approx(2.5 / 3)
    # A failed case halves the curve.
    assert curve_area([1.0, math.inf], 3) == pytest.approx(2.5 / 6)
    assert curve_area([0.0, 0.0], 3) == 1
    assert curve_area([3.0, math.inf], 3) == 0
    assert curve_area([2.0, 1.0], 4) == pytest.approx((0.25 + 0.75 + 2) / 4)


def test_area_under_the_curve_against_fine_integration() -> None:
    random = np.random.default_rng(0)
    errors = np.append(random.exponential(4, 40), math.inf)
    for limit in (3, 5, 10):
        xs = np.linspace(0, limit, 400_001)
        below = np.sort(errors[errors < limit])
        curve = np.interp(xs, np.append(0, below), np.arange(len(below) + 1) / len(errors))
        assert curve_area(errors, limit) == pytest.approx(curve.mean(), abs=1e-5)


@pytest.mark.parametrize(
    ("error", "area"), [(0.5, 1.0), (1.0, 0.96), (12.5, 0.52), (24.5, 0.04), (25.0, 0.0), (math.inf, 0.0)]
)
def test_fire_area_of_single_pairs(error: float, area: float) -> None:
    # A single pair: worked out by hand.
    assert fire_area([error]) == pytest.approx(area)
    assert AGGREGATES["auc"]([case(point_error=error)]) == pytest.approx(area)


def test_a_failed_pair_is_below_no_threshold() -> None:
    pairs = [case(0, point_error=0.5, mee=0.5, mae=0.5, failed=True), case(1, point_error=0.5, mee=0.5, mae=0.5)]
    assert AGGREGATES["auc"](pairs) == 0.5
    assert AGGREGATES["mauc"](pairs) == 0.5
    assert AGGREGATES["success"](pairs) == 0.5
    assert errors_of(pairs, "point_error").tolist() == [math.inf, 0.5]
    corners = [case(0, corner_error=0.0, failed=True), case(1, corner_error=0.0)]
    assert [AGGREGATES[name](corners) for name in ("auc3", "auc5", "auc10")] == [0.5, 0.5, 0.5]


def test_outcomes_of_fire() -> None:
    assert fire_outcome(case(mae=50.0, mee=20.0)) == "acceptable"
    assert fire_outcome(case(mae=50.1, mee=1.0)) == "inaccurate"
    assert fire_outcome(case(mae=30.0, mee=20.1)) == "inaccurate"
    assert fire_outcome(case(mae=math.inf, mee=1.0)) == "inaccurate"
    assert fire_outcome(case(mae=0.0, mee=0.0, failed=True)) == "failed"


def test_mauc_is_the_mean_of_the_three_groups() -> None:
    # The published groups; here with one error for each group.
    errors = {"S": 1.0, "P": 12.5, "A": 25.0}
    pairs = [case(k, name, point_error=errors[name]) for name, n in FIRE_PAIRS.items() for k in range(n)]
    assert FIRE_PAIRS == {"S": 71, "P": 48, "A": 14}
    assert fire_note(pairs) == ""
    assert "S 71, P 47, A 14 pairs were measured" in fire_note([*pairs[:80], *pairs[81:]])
    assert AGGREGATES["mauc"](pairs) == pytest.approx((0.96 + 0.52 + 0) / 3)
    assert AGGREGATES["auc"](pairs) == pytest.approx((71 * 0.96 + 48 * 0.52) / 133)
    # Without these groups: all pairs alike.
    assert mean_group_area([1.0, 1.0, 25.0], ["", "", ""]) == pytest.approx(2 * 0.96 / 3)
    assert mean_group_area([1.0, 1.0, 25.0], ["easy", "easy", "hard"]) == pytest.approx(2 * 0.96 / 3)
    assert mean_group_area([1.0, 1.0, 25.0], ["S", "S", "P"]) == pytest.approx(0.96 / 2)


def test_calibration_against_torchmetrics() -> None:
    random = np.random.default_rng(0)
    confidences, errors = random.random(200), random.exponential(3, 200)
    results = [
        case(k, corner_error=float(error), confidence=float(confidence))
        for k, (confidence, error) in enumerate(zip(confidences, errors, strict=True))
    ]
    theirs = binary_calibration_error(torch.from_numpy(confidences), torch.from_numpy((errors < 3).astype(int)), 10)
    assert confidence_ece(results) == pytest.approx(float(theirs), abs=1e-5)


def test_calibration_by_hand() -> None:
    # Bin 0.9-1: 2 of 3 right at confidence 0.95, 1 and 1; bin 0: one failure at confidence 0.
    results = [
        case(0, corner_error=2.9, confidence=0.95),
        case(1, epe=2.9, confidence=1.0),
        case(2, corner_error=3.0, epe=0.0, confidence=1.0),
        case(3, corner_error=0.0, confidence=0.0, failed=True),
        case(4, psnr=20.0, confidence=0.5),  # nothing is known of it
        case(5, corner_error=0.0),  # it says nothing
    ]
    assert [is_correct(result) for result in results] == [True, True, False, False, None, True]
    assert confidence_ece(results) == pytest.approx((2.95 - 2) / 4)
    low, high = reliability(results)
    assert (low.cases, low.confidence, low.correct) == (1, 0.0, 0.0)
    assert (high.cases, high.confidence, high.correct) == pytest.approx((3, 2.95 / 3, 2 / 3))


def test_a_column_is_not_made_of_failures_alone() -> None:
    identity = {"corner_error": 9.0, "e1": 1.0, "e2": 9.0, "epe": 9.0, "point_error": 9.0, "mee": 9.0, "mae": 9.0}
    lost = case(0, failed=True, psnr=10.0, **identity)

    def names(*results: CaseResult) -> set[str]:
        return set(without_untold(results)[0].metrics)

    assert names(lost, case(1, told=("flow",), epe=1.0)) == {"psnr", "epe", "point_error", "mee", "mae"}
    assert names(lost, case(1, told=("homography",), corner_error=1.0)) == {"psnr", *identity}
    assert names(lost, case(1, told=("confidence",), psnr=20.0)) == {"psnr"}
    assert names(lost, case(1, psnr=20.0)) == {"psnr"}
    assert names(lost, lost) == {"psnr", *identity}
    assert lost.metrics["corner_error"] == 9


def test_the_udis_split() -> None:
    scores = np.random.default_rng(0).permutation(1106).astype(float)
    split = udis_split(scores)
    assert [len(part) for part in split.values()] == [331, 332, 443]
    # Easy are the 331 best: 1105 ... 775.
    assert split["easy"].tolist() == list(range(1105, 774, -1))
    assert split["moderate"].tolist() == list(range(774, 442, -1))
    assert split["hard"].tolist() == list(range(442, -1, -1))
    released = udis_split(scores, released=True)
    assert [len(part) for part in released.values()] == [331, 332, 442]
    assert released["hard"].tolist() == list(range(442, 0, -1))


@pytest.mark.parametrize("count", [1, 2, 7, 10, 99])
def test_the_udis_split_of_any_number(count: int) -> None:
    split = udis_split(np.arange(count))
    assert np.concatenate(list(split.values())).tolist() == list(range(count - 1, -1, -1))
    assert len(split["easy"]) == math.floor(0.3 * count + 1e-9)
    assert len(split["easy"]) + len(split["moderate"]) == math.floor(0.6 * count + 1e-9)
