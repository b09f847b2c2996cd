"""Records, results and the page of a sweep."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from raylign.platform.runs import read_yaml
from raylign.platform.training.options import LoopOptions, TrainingSpec, spec_from_dict
from raylign.tune.records import TrialFiles, TrialRecord, as_csv, best_record
from raylign.tune.report import importances, sweep_report
from raylign.tune.results import write_results
from raylign.tune.spaces import search_space
from raylign.tune.sweep import SweepSettings


def record(number: int, values: list[float], outcome: str = "finished", **params: Any) -> TrialRecord:
    rows = {epoch: {"epoch": float(epoch), "m": value, "seconds": 2.0} for epoch, value in enumerate(values, start=1)}
    point = {"model.levels": number % 3, "model.jnd_weight": number / 10, "loop.lr": 1e-4 * (number + 1)} | params
    return TrialRecord(number, f"id{number}", outcome, point, rows, "m", "max")


def test_files_survive_a_line_cut_off_by_a_kill_and_a_repeated_epoch(tmp_path: Path) -> None:
    files = TrialFiles(tmp_path / "trials")
    for epoch, value in [(1, 1.0), (2, math.nan), (2, 2.0)]:
        files.append("a", {"epoch": epoch, "m": value})
    with (tmp_path / "trials" / "a.jsonl").open("a") as stream:
        stream.write('{"epoch": 3, "m"')
    assert files.rows("a") == {1: {"epoch": 1, "m": 1.0}, 2: {"epoch": 2, "m": 2.0}}
    assert files.rows("unknown") == {}
    assert files.error("a") == ""
    files.set_error("a", "no memory")
    assert files.error("a") == "no memory"


def test_best_is_the_best_epoch_of_a_trial_that_held() -> None:
    records = [
        record(0, [1.0, 5.0, 4.0]),
        record(1, [9.0, math.nan], "diverged"),
        record(2, [8.0], "failed"),
        record(3, [6.0, 2.0], "stopped early"),
        record(4, [], "failed"),
    ]
    best = best_record(records)
    assert best is not None
    assert (best.number, best.best, best.best_epoch, best.seconds) == (3, 6.0, 1, 4.0)
    least = best_record([dataclasses.replace(each, mode="min") for each in records])
    assert least is not None
    assert (least.number, least.best) == (0, 1.0)
    assert best_record(records[4:]) is None
    assert best_record([]) is None


def test_csv_has_a_column_for_each_hyperparameter() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv([record(0, [1.0, 2.0]), record(1, [], "failed")]))))
    assert rows[0]["m"] == "2.0"
    assert rows[0]["model.levels"] == "0"
    assert rows[1]["state"] == "failed"
    assert rows[1]["m"] == ""


def test_results_are_written_also_when_no_trial_gave_a_number(tmp_path: Path) -> None:
    spec = TrainingSpec("crossscale", "/d", LoopOptions(epochs=3), {}, {"levels": 1})
    settings = SweepSettings(spec, "default", 2, 1, 3, 0, "m", "max")
    files = write_results(settings, tmp_path, [record(0, [math.nan], "diverged"), record(1, [], "failed")])
    assert "best.yaml" not in [file.name for file in files]
    assert json.loads((tmp_path / "results.json").read_text())["best"] is None
    files = write_results(settings, tmp_path, [record(0, [1.0]), record(1, [2.0])])
    best = spec_from_dict(read_yaml(tmp_path / "best.yaml"))
    assert best.loop == dataclasses.replace(spec.loop, lr=2e-4)
    assert best.model == {"levels": 1, "jnd_weight": 0.1}


def test_importance_finds_what_matters_at_an_epoch_that_all_reached() -> None:
    records = []
    for i in range(16):
        lr = 10 ** (-4.9 + 0.14 * i)
        values = [100 * math.log10(lr), 0.0][: 1 + i % 2]
        records.append(record(i, values, "stopped early", **{"loop.lr": lr, "model.jnd_weight": (i * 7 % 16) / 8}))
    shares = importances(records, search_space("crossscale", "default"), 1)
    assert next(iter(shares)) == "loop.lr"
    assert shares["loop.lr"] > 0.7
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(("count", "why"), [(2, "only 2 trials can be compared"), (6, "the same value")])
def test_importance_that_cannot_be_known_is_said(count: int, why: str) -> None:
    records = [record(i, [1.0]) for i in range(count)]
    space = search_space("crossscale", "default")
    with pytest.raises(ValueError, match=why):
        importances(records, space, 1)
    assert why in sweep_report("t", records, space, grace=1, use="")


def test_page_is_self_contained_and_escapes() -> None:
    failed = dataclasses.replace(record(3, [], "failed"), error="<b>no & memory</b>")
    records = [record(0, [1.0, 2.0]), record(1, [1.5], "stopped early"), record(2, [3.0, math.nan], "diverged"), failed]
    page = sweep_report("sweep <s>", records, search_space("crossscale", "default"), grace=1, use="take <it>")
    assert "take &lt;it&gt;" in page
    assert "4 trials: 1 finished, 1 stopped early, 1 diverged, 1 failed." in page
    assert "&lt;b&gt;no &amp; memory&lt;/b&gt;" in page
    assert "<b>no" not in page
    assert "http" not in page
    assert page.count("data:image/png;base64") >= 4
    nothing = sweep_report("none", [failed], search_space("crossscale", "default"), grace=1, use="")
    assert "All trials" in nothing
    assert "History" not in nothing
    assert "epoch" in page
    untrained = sweep_report("t", records, search_space("crossscale", "default"), grace=None, use="")
    assert "epoch" not in untrained[untrained.index("<body") :]
