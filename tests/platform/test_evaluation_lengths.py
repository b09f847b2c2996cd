"""`raylign evaluate --lengths`: sets by their number of shots, and sets and pairs on one scale."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from raylign.platform.alignment import choose_model
from raylign.platform.cli import main
from raylign.platform.data.samples import Sample, Samples
from raylign.platform.evaluation.aggregates import AGGREGATES, errors_of
from raylign.platform.evaluation.charts import error_curves
from raylign.platform.evaluation.datasets import EvaluationSet, choose_datasets, open_sets
from raylign.platform.evaluation.evaluate import evaluate, make_plan
from raylign.platform.evaluation.farm import FarmOptions, open_farm
from raylign.platform.evaluation.lengths import by_length, length_charts, length_markdown, longest_rows
from raylign.platform.evaluation.results import CaseResult
from raylign.platform.evaluation.store import Parts
from raylign.platform.evaluation.summary import summarise
from raylign.platform.evaluation.work import WorkOptions
from tests.datasets import png, read_samples, write_samples, write_sequences
from tests.layouts import write_manifest

COSTS = {"seconds", "memory_mb", "gflop"}
TASKS = ("pair", "set", "aligned")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow store for all: a new one takes seconds to make."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def tracked(workdir: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)


def measured(folder: Path, data: list[str], methods: list[str], lengths: tuple[int, ...] = ()) -> list[CaseResult]:
    sets = open_sets(choose_datasets(data, "test", None, lengths))
    options = WorkOptions(1, None, False)
    plan = make_plan([choose_model(name) for name in methods], sets, TASKS)
    parts = Parts(folder, options, {each.choice.label: each.digest() for each in sets})
    with open_farm(options, FarmOptions(1, 0.0), None) as farm:
        return evaluate(plan, parts, farm)


def median_error(data: str, scene: int, length: int) -> float:
    """RMSE of NumPy's median of the first shots, brought together by the true homographies."""
    case = EvaluationSet(choose_datasets([data], "test", None)[0]).case("aligned", scene)
    assert case.truth.masks is not None
    frames = torch.stack([case.reference, *case.sources])[:length].double()
    frames[~case.truth.masks[:length, None].expand_as(frames)] = math.nan
    return float(np.sqrt(np.mean((np.nanmedian(frames.numpy(), axis=0) - case.target.double().numpy()) ** 2)))


def without_costs(row: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if name not in ("dataset", "length")}
    return kept | {"metrics": {name: value for name, value in row["metrics"].items() if name not in COSTS}}


def test_the_command_measures_each_length(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_sequences(workdir / "planes", scenes=5, frames=4, size=48)
    arguments = ["evaluate", "--data", f"{data}#train", "--methods", "mean", "median", "--workers", "1"]
    arguments += ["--tasks", "aligned", "--gallery", "2"]
    files = ["--json", "t.json", "--markdown", "t.md", "--chart", "t.png"]
    assert main([*arguments, "--lengths", "4", "1", "2", *files]) == 0
    rows = json.loads(Path("t.json").read_text())["rows"]
    assert [(row["dataset"], row["length"]) for row in rows[::2]] == [
        ("planes#train@1", 1),
        ("planes#train@2", 2),
        ("planes#train@4", 4),
    ]
    for row in rows:
        if row["method"] == "median":
            expected = np.mean([median_error(f"{data}#train", scene, row["length"]) for scene in range(3)])
            assert row["metrics"]["rmse"]["mean"] == pytest.approx(expected, abs=1e-6)
    told = {row["length"]: row["metrics"]["rmse"]["mean"] for row in rows if row["method"] == "mean"}
    cases = pq.read_table(Path("runs/evaluate/default/results.parquet")).to_pylist()
    assert Counter(case["length"] for case in cases) == {1: 6, 2: 6, 4: 6}
    # The table of the file: one line of 'mean', one column for each length.
    text = Path("t.md").read_text()
    assert "**planes\\#train, aligned sets: rmse ↓**" in text or "**planes#train, aligned sets: rmse ↓**" in text
    block = text.split("rmse ↓**")[1].split("\n\n")[1]
    assert block.splitlines()[0] == "| method | 1 | 2 | 4 |"
    line = next(each for each in block.splitlines() if "`mean`" in each)
    found = [float(cell.strip(" *").split(" ±")[0]) for cell in line.split("|")[2:-1]]
    assert found == pytest.approx([told[1], told[2], told[4]], abs=6e-5)
    assert "@2" not in text
    with Image.open("t.png") as picture:
        assert picture.size[0] > 600
    # The report has a chart of each metric, and shows single cases of the longest sets only.
    page = Path("runs/evaluate/default/report.html").read_text()
    assert "planes#train, aligned sets: rmse" in page
    assert "planes#train@4, aligned sets" in page
    assert "planes#train@2" not in page.split("<h2>Settings")[0]
    # Without the option the whole sets are measured, to the same numbers as the longest.
    capsys.readouterr()
    assert main([*arguments, "--json", "whole.json", "--name", "whole", "--gallery", "0"]) == 0
    whole = json.loads(Path("whole.json").read_text())["rows"]
    assert [row["dataset"] for row in whole] == ["planes#train"] * 2
    assert not any("length" in row for row in whole)
    assert [without_costs(row) for row in whole] == [without_costs(row) for row in rows[-2:]]


def test_each_sequence_is_read_once_and_what_is_done_stays(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_sequences(workdir / "planes", scenes=5, frames=4, size=40)
    reads: Counter[int] = Counter()
    one = Samples.__getitem__

    def counted(samples: Samples, position: int) -> Sample:
        reads[position] += 1
        return one(samples, position)

    monkeypatch.setattr(Samples, "__getitem__", counted)
    first = measured(workdir / "parts", [f"{data}#train"], ["mean"], (1, 3))
    assert reads == {0: 1, 1: 1, 2: 1}
    assert Counter((each.task, each.length) for each in first) == {
        (task, length): 3 for task in ("set", "aligned") for length in (1, 3)
    }
    parts = {path: path.stat().st_mtime_ns for path in (workdir / "parts").rglob("*.parquet")}
    more = measured(workdir / "parts", [f"{data}#train"], ["mean"], (1, 2, 3))
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in parts.items())
    assert [each for each in more if each.length != 2] == first
    # A single shot is its own answer, whether or not it lies on others.
    alone = [each for each in more if each.length == 1]
    samples = Samples(data, "train")
    for each in alone:
        sample = samples[int(each.key)]
        assert sample.gt is not None
        error = (sample.frames[0].double() - sample.gt.double()).square().mean().sqrt() / 255
        assert each.metrics["rmse"] == pytest.approx(float(error), abs=1e-6)
        assert not each.failed


def test_shorter_sequences_are_left_out_of_a_length(workdir: Path) -> None:
    short = write_sequences(workdir / "short", scenes=3, frames=3, size=40)
    long = write_sequences(workdir / "long", scenes=3, frames=5, size=40)
    sets = open_sets(choose_datasets([f"{short}#train", f"{long}#train"], "test", None, (2, 5)))
    counts = {each.choice.label: {task: each.count(task) for task in TASKS} for each in sets}
    assert counts == {
        "short#train": {"pair": 2, "set": 0, "aligned": 0},
        "short#train@2": {"pair": 0, "set": 1, "aligned": 1},
        "long#train": {"pair": 4, "set": 0, "aligned": 0},
        "long#train@2": {"pair": 0, "set": 1, "aligned": 1},
        "long#train@5": {"pair": 0, "set": 1, "aligned": 1},
    }
    case = sets[3].case("set", 0)
    assert len(case.sources) == 1
    assert case.truth.homography is not None
    torch.testing.assert_close(case.truth.homography[0], sets[2].case("pair", 0).truth.homography)


def blank_frame(data: str, folder: Path) -> str:
    """The same dataset with a shot of the first scene on which nothing is seen."""
    samples, info = read_samples(data)
    blank = np.full_like(np.asarray(Image.open(folder / "one.png")), 90)
    samples[0]["002.png"] = png(blank)
    return write_samples(folder / "blank", samples, info)


def test_sets_have_the_homography_errors_of_their_pairs(workdir: Path) -> None:
    data = write_sequences(workdir / "planes", scenes=5, frames=4, size=128, shift=9)
    Image.fromarray(np.zeros((128, 128, 3), np.uint8)).save(workdir / "one.png")
    results = measured(workdir / "parts", [f"{blank_frame(data, workdir)}#train"], ["sift", "median"])
    sift = [each for each in results if each.method == "sift"]
    sets = [each for each in results if each.task == "set"]
    assert [each.failed for each in sift].count(True) == 1
    assert (len(sift), len(sets)) == (9, 3)
    assert [len(each.frame_errors) for each in sets] == [3, 3, 3]
    assert sets[0].frame_errors[1] == math.inf
    torch.testing.assert_close(
        torch.tensor(errors_of(sets, "corner_error")), torch.tensor(errors_of(sift, "corner_error")), atol=1e-3, rtol=0
    )
    rows = {(row["method"], row["task"]): row["metrics"] for row in summarise(results)}
    for name in ("corner_error", "e1", "e2", "auc3", "auc5", "auc10"):
        assert rows["median", "set"][name]["mean"] == pytest.approx(rows["sift", "pair"][name]["mean"], abs=1e-3), name
        assert name not in rows["median", "aligned"]
    assert 0.3 < rows["median", "set"]["auc5"]["mean"] < 8 / 9
    missing = {row["task"]: row["missing"] for row in summarise(results) if row["method"] == "median"}
    assert missing["aligned"]["corner_error"] == "there is nothing to align"
    assert missing["set"]["epe"] == "it is measured on pairs only"
    # A curve of all sources: eight of nine are found.
    curves = [svg for svg in error_curves(sets, ["median"]) if "corner_error" in svg]
    assert len(curves) == 1
    assert AGGREGATES["auc10"](sets) == pytest.approx(rows["median", "set"]["auc10"]["mean"])


def test_a_method_for_sets_is_measured_on_pairs_by_its_homography(workdir: Path) -> None:
    root = write_manifest(workdir / "own")
    # One run would leave the median out, which repeats what sift has aligned.
    by_method = {name: measured(workdir / name, [f"{root}#A"], [name]) for name in ("sift", "median")}
    results = [each for those in by_method.values() for each in those]
    assert [each.key for each in by_method["median"]] == [each.key for each in by_method["sift"]]
    assert {each.task for each in results} == {"pair"}
    for ours, theirs in zip(*by_method.values(), strict=True):
        assert ours.failed == theirs.failed
        assert set(ours.metrics) - COSTS == set(theirs.metrics) - COSTS
        for name in set(ours.metrics) - COSTS:
            assert ours.metrics[name] == pytest.approx(theirs.metrics[name], abs=2e-3), name
    assert min(each.metrics["overlap"] for each in by_method["median"]) < 1


def test_the_longest_sets_stand_for_all() -> None:
    rows = [
        {"dataset": label, "task": task, "method": method, "n": 1, "metrics": {"psnr": {"mean": value}}} | length
        for label, task, length, method, value in (
            ("a", "pair", {}, "sift", 1.0),
            ("a@2", "set", {"length": 2}, "mean", 2.0),
            ("a@10", "set", {"length": 10}, "mean", 3.0),
            ("a@10", "set", {"length": 10}, "median", 4.0),
            ("b@2", "set", {"length": 2}, "mean", 5.0),
        )
    ]
    assert [row["dataset"] for row in longest_rows(rows)] == ["a", "a@10", "a@10", "b@2"]
    first, second = by_length(rows)
    assert (first.title, list(first.tables), first.methods) == ("a, sets", [2, 10], ["mean", "median"])
    assert (second.dataset, list(second.tables)) == ("b", [2])
    text = length_markdown(rows)
    assert "| `mean` | **2.00** | 3.00 |" in text
    assert "| `median` | - | **4.00** |" in text
    # One point is no line.
    assert len(length_charts(rows, ["sift", "mean", "median"])) == 1
    assert length_markdown(rows[:1]) == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--lengths", "0"], "--lengths must be at least 1"),
        (["--lengths", "2", "77"], "--lengths 77: no dataset"),
        (["--chart", "t.png"], "--lengths T"),
        (["--lengths", "2", "--chart", "t.txt"], ".png or .svg"),
        (["--lengths", "2", "--chart", "no/such/t.png"], "no/such/t.png"),
    ],
)
def test_wrong_input(workdir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    data = write_sequences(workdir / "planes", scenes=3, frames=3, size=32)
    assert main(["evaluate", "--data", data, "--methods", "mean", "--workers", "1", *arguments]) == 2
    assert told in capsys.readouterr().err
