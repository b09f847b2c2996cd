"""Paired comparison of two methods: against hand-computed numbers and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap, wilcoxon

from raylign.platform.evaluation.compare import by_difficulty, compare, compare_all, describe, verdict
from raylign.platform.evaluation.results import CaseResult


def case(method: str, key: str, value: float | None, metric: str = "psnr_overlap", **fields: object) -> CaseResult:
    told = {"dataset": "d", "task": "pair", "scene": key, "subset": "", **fields}
    metrics = {} if value is None else {metric: value}
    return CaseResult(method=method, key=key, name=f"name {key}", metrics=metrics, **told)  # type: ignore[arg-type]


def pairs(first: list[float | None], second: list[float | None], **fields: object) -> list[CaseResult]:
    return [
        case(method, str(number), value, **fields)
        for method, values in (("a", first), ("b", second))
        for number, value in enumerate(values)
    ]


def test_numbers_by_hand() -> None:
    subsets, motions = ["hard", "easy", "easy", "hard"], [9.0, 1.0, 2.0, None]
    results = [
        case(method, str(k), value, subset=subsets[k], motion=motions[k])
        for method, values in (("a", [20.0, 11.0, 10.0, 8.0]), ("b", [14.0, 11.0, 12.0, 9.0]))
        for k, value in enumerate(values)
    ]
    (found,) = compare(results, "a", "b", "psnr_overlap")
    assert (found.n, found.mean_a, found.mean_b, found.difference) == (4, 12.25, 11.5, 0.75)
    assert (found.wins, found.ties, found.losses) == (1, 1, 2)
    assert [(p.label, p.n, p.difference, p.wins, p.ties, p.losses) for p in found.subsets] == [
        ("easy", 2, -1.0, 0, 1, 1),
        ("hard", 2, 2.5, 1, 0, 1),
    ]
    # Thirds of 1, 2, 9: up to 1 2/3, up to 4 1/3, above; the case without motion is in none.
    assert [(p.label.split(" (")[0], p.n, p.difference) for p in found.motions] == [
        ("small motion", 1, 0.0),
        ("medium motion", 1, -2.0),
        ("large motion", 1, 6.0),
    ]
    assert found.best_for_a == (("0", 6.0),)
    assert found.best_for_b == (("2", -2.0), ("3", -1.0))


def test_p_is_scipys_wilcoxon_and_interval_agrees_with_its_bootstrap() -> None:
    draw = np.random.default_rng(4)
    first = draw.normal(20, 3, 60)
    second = first + draw.normal(0.4, 1, 60)
    (found,) = compare(pairs(first.tolist(), second.tolist()), "a", "b", "psnr_overlap")
    assert found.p == pytest.approx(wilcoxon(first, second).pvalue, rel=1e-12)
    oracle = bootstrap((first - second,), np.mean, method="percentile", n_resamples=4000, rng=draw)
    # Both are made from random resamples: a tenth of the interval's width is their noise.
    width = oracle.confidence_interval.high - oracle.confidence_interval.low
    assert found.low == pytest.approx(oracle.confidence_interval.low, abs=0.1 * width)
    assert found.high == pytest.approx(oracle.confidence_interval.high, abs=0.1 * width)
    assert compare(pairs(first.tolist(), second.tolist()), "a", "b", "psnr_overlap") == [found]


def test_scenes_are_resampled_not_cases() -> None:
    values = np.random.default_rng(0).normal(0, 1, 12)
    first = np.repeat(values, 10).tolist()
    zeros = [0.0] * 120
    alone = compare(pairs(first, zeros), "a", "b", "psnr_overlap")[0]
    results = [
        case(m, str(k), v, scene=str(k // 10)) for m, vs in (("a", first), ("b", zeros)) for k, v in enumerate(vs)
    ]
    together = compare(results, "a", "b", "psnr_overlap")[0]
    once = compare(pairs(values.tolist(), [0.0] * 12), "a", "b", "psnr_overlap")[0]
    assert (together.low, together.high) == pytest.approx((once.low, once.high))
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_lower_is_better_for_errors() -> None:
    (found,) = compare(pairs([1.0, 2.0, 3.0], [2.0, 5.0, 2.5], metric="corner_error"), "a", "b", "corner_error")
    assert (found.wins, found.losses) == (2, 1)
    assert found.best_for_a == (("1", -3.0), ("0", -1.0))
    assert found.best_for_b == (("2", 0.5),)


def test_only_cases_with_both_values_count_and_failures_are_among_them() -> None:
    results = pairs([5.0, None, 7.0, math.nan, 1.0], [4.0, 3.0, None, 2.0, 1.0])
    results[0] = case("a", "0", 5.0, failed=True, error="nothing found")
    (found,) = compare(results, "a", "b", "psnr_overlap")
    assert (found.n, found.only_a, found.only_b) == (2, 1, 2)
    assert (found.wins, found.ties, found.losses) == (1, 1, 0)


def test_equal_methods_are_ties() -> None:
    (found,) = compare(pairs([0.1 + 0.2, 5.0], [0.3, 5.0]), "a", "b", "psnr_overlap")
    assert (found.wins, found.ties, found.losses, found.difference, found.p) == (0, 2, 0, 0.0, 1.0)
    assert verdict(found) == "no difference that is sure"


def test_each_dataset_and_task_is_compared_by_itself() -> None:
    results = [
        *pairs([1.0, 2.0], [0.0, 0.0]),
        *pairs([1.0], [3.0], dataset="e"),
        *pairs([1.0], [3.0], task="set"),
        case("a", "0", 4.0, dataset="f"),
    ]
    assert [(c.dataset, c.task, c.difference) for c in compare(results, "a", "b", "psnr_overlap")] == [
        ("d", "pair", 1.5),
        ("e", "pair", -2.0),
        ("d", "set", -2.0),
    ]
    everything = compare_all([*results, case("c", "0", 9.0)], ["psnr_overlap", "psnr"])
    assert [(c.a, c.b, c.dataset, c.task) for c in everything] == [
        ("a", "b", "d", "pair"),
        ("a", "c", "d", "pair"),
        ("b", "c", "d", "pair"),
        ("a", "b", "e", "pair"),
        ("a", "b", "d", "set"),
    ]


def test_order_of_arguments_mirrors_the_comparison() -> None:
    draw = np.random.default_rng(1)
    results = pairs(draw.normal(0, 1, 30).tolist(), draw.normal(1, 1, 30).tolist())
    (one,), (other,) = (compare(results, *names, "psnr_overlap") for names in (("a", "b"), ("b", "a")))
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert (one.wins, one.losses, one.best_for_a) == (
        other.losses,
        other.wins,
        tuple((key, -value) for key, value in other.best_for_b),
    )
    assert one.p == pytest.approx(other.p)
    assert verdict(one) == verdict(other) == "b is better"


def test_text() -> None:
    first = [20.0 + 0.1 * k for k in range(10)]
    results = pairs([*first, 3.0], [*(x - 1 - 0.01 * k for k, x in enumerate(first)), None], subset="easy")
    text = describe(compare(results, "a", "b", "psnr_overlap"))
    assert "a against b: psnr_overlap (higher is better), d (pair), n = 10: a is better" in text
    assert "mean difference +1.04 dB (95 % " in text
    assert "10 wins, 0 ties, 0 losses, p = 0.002" in text
    assert "easy: +1.04 dB, 10 / 0 / 0 of 10" in text
    assert "biggest wins of a: 9 (+1.09), 8 (+1.08)" in text
    assert "left out: 1 cases where only a has a value" in text


def test_subsets_go_from_easy_to_hard() -> None:
    assert by_difficulty(["hard", "easy", "Moderate"]) == ["easy", "Moderate", "hard"]
    assert by_difficulty(["S", "P", "A"]) == ["A", "P", "S"]


def test_one_scene_proves_nothing() -> None:
    (found,) = compare(pairs([20.0, 21.0], [10.0, 12.0], scene="s"), "a", "b", "psnr_overlap")
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert verdict(found) == "no difference that is sure"
    assert "no interval: all cases are of one scene" in describe([found])
