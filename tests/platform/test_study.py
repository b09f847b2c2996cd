"""`raylign study`: the table of variants and seeds, going on after a kill, failed and changed variants, wrong files."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from raylign.platform import cli
from raylign.platform.evaluation.results import CaseResult
from raylign.platform.study import pace
from raylign.platform.study import run as study_run
from raylign.platform.study.options import Order, read_study
from raylign.platform.study.plan import make_trainings, variant_specs
from raylign.platform.study.process import run_command
from raylign.platform.study.results import check_orders
from raylign.platform.study.run import Measured
from raylign.platform.study.tables import text_tables
from tests.datasets import write_pairs, write_sequences

BASE = {
    **{"model.backbone": "resnet18", "model.working-size": 96, "model.mesh": [3, 3], "model.levels": 0},
    **{"model.branch": [8, 8, 16, 16], "model.trunk": 32, "model.linear": [64, 32], "model.supervision": 1},
    **{"loop.epochs": 1, "loop.batch-size": 2, "loop.val-pairs": 1, "loop.val-pictures": 0, "loop.precision": "fp32"},
}


def study(workdir: Path, **changes: Any) -> dict[str, Any]:
    """A study of two variants with two seeds, trained for two steps each, on datasets in `workdir`."""
    if not (workdir / "data").exists():
        write_sequences(workdir / "data", scenes=12, size=96)
        write_pairs(workdir / "views", scenes=8, size=64)
    content = {
        "method": "crossscale",
        "data": "data",
        "test": [{"layers": "views#train"}],
        "seeds": [0, 1],
        "base": BASE,
        "variants": {"N=0": {}, "N=1": {"model.levels": 1}},
        "budget": {"steps": 2},
        "orders": ["N=0 < N=1", "N=1 <= N=0"],
    }
    return {name: value for name, value in {**content, **changes}.items() if value is not None}


def write(workdir: Path, content: dict[str, Any]) -> str:
    (workdir / "s.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return "s.yaml"


def here(arguments: Sequence[str], log: Path) -> str:
    """`run_command` in this process: saves the imports of a new one, and Ray for the evaluation."""
    said = io.StringIO()
    alone = ["--workers", "1"] if arguments[0] == "evaluate" else []
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = cli.main([*arguments, *alone])
    return said.getvalue().strip().splitlines()[-1].partition(": error: ")[2] if status else ""


def start(workdir: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "raylign.platform.cli", "study", *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    return subprocess.Popen(command, cwd=workdir, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_a_study_goes_on_after_a_kill_and_tells_what_failed(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {"loop.lr": 1e30, "loop.grad-clip": 0}
    content = study(workdir, variants={"N=0": {}, "N=1": {"model.levels": 1}, "broken": broken})
    file = write(workdir, content)
    page = workdir / "results.md"
    page.write_text("before\n<!-- study s -->\nold\n<!-- /study s -->\nafter\n")
    runs = workdir / "runs" / "study" / "s" / "train"
    process = start(workdir, file)
    deadline = time.monotonic() + 120
    while not list(runs.glob("*/done.json")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    [first] = runs.glob("*/done.json")
    trained = first.stat().st_mtime_ns

    monkeypatch.setattr(study_run, "run_command", here)
    assert cli.main(["study", file, "--markdown", "results.md"]) == 1  # a variant failed
    told = capsys.readouterr()
    assert first.stat().st_mtime_ns == trained
    assert "already trained" in told.err
    document = json.loads((workdir / "runs" / "study" / "s" / "table.json").read_text())
    states = {(each["variant"], each["seed"]): each["state"] for each in document["trainings"]}
    assert states == {(v, s): "failed" if v == "broken" else "done" for s in (0, 1) for v in ("N=0", "N=1", "broken")}
    assert all("loss became" in each["error"] for each in document["trainings"] if each["state"] == "failed")
    assert {each["steps"] for each in document["trainings"] if each["state"] == "done"} == {2}
    _check_numbers(workdir, document)

    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert (workdir / "runs" / "study" / "s" / "study.md").read_text() in text
    assert "broken, seed 0: failed: the loss became" in told.out
    report = (workdir / "runs" / "study" / "s" / "report.html").read_text()
    assert "loss became" in report
    # The champion's registry knows nothing of the variants.
    assert not (workdir / "runs" / "mlflow.db").exists()


def _check_numbers(workdir: Path, document: dict[str, Any]) -> None:
    """The table against the cases that `raylign evaluate` wrote, by plain sums."""
    whose = {each["run"]: (each["variant"], each["seed"]) for each in document["trainings"]}
    cases: dict[tuple[str, int], dict[str, tuple[str, float, float]]] = {}
    for case in pq.read_table(workdir / "runs" / "evaluate" / "study-s" / "results.parquet").to_pylist():
        entry = case["subset"], case["psnr_overlap"], case["overlap"]
        cases.setdefault(whose[case["method"]], {})[case["key"]] = entry
    assert len(cases) == 4
    for row in document["rows"]:
        assert (row["test"], row["task"], row["seeds"]) == ("layers", "pair", [0, 1])
        for place, name in ((1, "psnr_overlap"), (2, "overlap")):
            values = [
                statistics.mean(c[place] for c in cases[row["variant"], s].values() if row["subset"] in ("", c[0]))
                for s in (0, 1)
            ]
            entry = row["metrics"][name]
            assert entry["values"] == pytest.approx(values, abs=1e-9)
            assert entry["mean"] == pytest.approx(statistics.mean(values))
            assert entry["std"] == pytest.approx(statistics.stdev(values))
            assert (entry["min"], entry["max"]) == pytest.approx((min(values), max(values)))
    assert {row["subset"] for row in document["rows"]} == {"", "easy", "moderate", "hard"}
    assert len(document["orders"]) == 2 * 4
    for order in document["orders"]:
        better, worse = ("N=1", "N=0") if order["order"] == "N=0 < N=1" else ("N=0", "N=1")
        keys = [key for key, case in cases["N=0", 0].items() if order["subset"] in ("", case[0])]
        each = [statistics.mean(cases[better, s][k][1] - cases[worse, s][k][1] for k in keys) for s in (0, 1)]
        assert order["n"] == len(keys)
        assert order["differences"] == pytest.approx(each, abs=1e-9)
        assert order["difference"] == pytest.approx(statistics.mean(each), abs=1e-9)
        # Two steps may leave both variants as they were: equal is enough for one of the orders.
        held = [value > 0 or (value == 0 and "<=" in order["order"]) for value in (statistics.mean(each), *each)]
        assert order["verdict"].startswith("held") == held[0]
        assert order["held_for"] == sum(held[1:])
        low, high = order["ci95"]
        assert low - 1e-9 <= order["difference"] <= high + 1e-9


def test_verdicts_of_orders() -> None:
    # Twelve scenes; differences to `a` by scene, plus a tenth for the second seed.
    shifts = {"a": [0.0] * 12, "up": [1.0, 2.0] * 6, "down": [-1.0, -2.0] * 6, "mixed": [-3.0, 3.2] * 6}
    results = {
        seed: [
            CaseResult(
                *(variant, "t", "pair", str(k), "", str(k), "easy" if k < 2 else "hard"),
                metrics={"psnr": 20 + k + shift + 0.1 * seed * (variant != "a"), "epe": 9 - shift},
            )
            for variant, own in shifts.items()
            for k, shift in enumerate(own)
        ]
        for seed in (0, 1)
    }
    claims = [Order("a", "<", "up"), Order("a", "<", "down"), Order("a", "<", "mixed"), Order("mixed", "<=", "a")]
    found = check_orders(Measured({}, results), claims, "psnr")
    whole = {each["order"]: each for each in found if each["subset"] == ""}
    assert {order: each["verdict"] for order, each in whole.items()} == {
        "a < up": "held for every seed",
        "a < down": "refuted",
        "a < mixed": "held on the mean",
        "mixed <= a": "undecided",
    }
    assert whole["a < up"]["differences"] == pytest.approx([1.5, 1.6])
    assert whole["a < up"]["difference"] == pytest.approx(1.55)
    assert whole["mixed <= a"]["held_for"] == 0
    assert [(each["subset"], each["n"]) for each in found[:3]] == [("", 12), ("easy", 2), ("hard", 10)]
    # Where less is better, the better variant has less.
    [error] = [each for each in check_orders(Measured({}, results), claims[:1], "epe") if each["subset"] == ""]
    assert (error["difference"], error["verdict"]) == (pytest.approx(-1.5), "held for every seed")
    # An order is left out where a seed of both is missing.
    alone = {0: [each for each in results[0] if each.method != "up"], 1: results[1]}
    assert check_orders(Measured({}, alone), claims[:1], "psnr")[0]["seeds"] == [1]
    # One seed says nothing of how much trainings differ.
    single = check_orders(Measured({}, {0: results[0]}), claims, "psnr")
    assert [each["verdict"] for each in single if each["subset"] == ""] == [
        "held for one seed",
        "refuted for one seed",
        "undecided",
        "undecided",
    ]


def test_metrics_with_the_same_numbers_share_a_table() -> None:
    values = {"psnr_overlap": 21.004, "psnr": 21.001, "psnr_occluded": 15.0, "epe": 21.0, "overlap": 1.0}
    entries = {name: {"values": [v], "mean": v, "min": v, "max": v} for name, v in values.items()}
    row = {"test": "t", "task": "pair", "variant": "a", "subset": "", "n": 3, "seeds": [0], "metrics": entries}
    found = text_tables({"rows": [row], "orders": [], "variants": {}, "trainings": []})
    assert [each.title.split(": ")[-1].split()[0] for each in found] == ["psnr_overlap", "psnr_occluded", "epe", "Cost"]
    assert found[0].note.endswith("The same numbers: PSNR over the full frame, zero outside the overlap.")
    entries["psnr"] = {**entries["psnr"], "values": [21.02]}
    assert len(text_tables({"rows": [row], "orders": [], "variants": {}, "trainings": []})) == 5


def test_a_changed_option_is_another_training_of_that_variant_alone(workdir: Path) -> None:
    def names(**changes: Any) -> dict[tuple[str, int], str]:
        found = read_study(Path(write(workdir, study(workdir, **changes))))
        trainings = make_trainings(variant_specs(found), found.seeds, workdir)
        return {(each.variant, each.seed): each.folder.name for each in trainings}

    before = names()
    assert list(before) == [("N=0", 0), ("N=1", 0), ("N=0", 1), ("N=1", 1)]
    assert len(set(before.values())) == 4
    changed = names(variants={"N=0": {}, "N=1": {"model.levels": 1, "model.jnd_weight": 0.5}})
    assert {key for key in before if before[key] != changed[key]} == {("N=1", 0), ("N=1", 1)}
    more = names(seeds=[0, 1, 2], test=["views"])
    assert {key: more[key] for key in before} == before
    other = names(budget={"steps": 3})
    assert not set(before.values()) & set(other.values())


def test_options_reach_the_training(workdir: Path) -> None:
    variants = {"a": {"model.centred-correlation": True, "loop.sync-norm": False, "model.mesh": [5, 4]}, "b": None}
    content = study(workdir, variants=variants, budget={"steps": 12}, base=BASE | {"loop.epochs": 3}, orders=None)
    specs = variant_specs(read_study(Path(write(workdir, content))))
    assert specs["a"].model["centred_correlation"] is True
    assert specs["b"].model["centred_correlation"] is False
    assert specs["a"].model["mesh"] == (5, 4)
    assert (specs["a"].loop.sync_norm, specs["b"].loop.sync_norm) == (False, True)
    assert (specs["a"].loop.epochs, specs["a"].loop.steps_per_epoch) == (3, 4)
    assert specs["a"].data == str(workdir / "data")


def test_a_variant_may_have_its_own_data(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sequences(workdir / "other", scenes=12, size=96)
    content = study(workdir, variants={"a": {}, "b": {"data": "other"}}, orders=None)
    specs = variant_specs(read_study(Path(write(workdir, content))))
    assert [specs[name].data for name in "ab"] == [str(workdir / "data"), str(workdir / "other")]
    assert cli.main(["study", "s.yaml", "--dry-run"]) == 0
    # Each of them must be there.
    write(workdir, study(workdir, variants={"a": {}, "b": {"data": "gone"}}, orders=None))
    capsys.readouterr()
    assert cli.main(["study", "s.yaml", "--dry-run"]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "gone" in line


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"variant": {}}, "unknown key variant"),
        ({"seeds": None}, "seeds missing"),
        ({"seeds": [0, 0]}, "seeds"),
        ({"seeds": 2}, "seeds"),
        ({"variants": {"a": {"model.levles": 1}}, "orders": None}, "--model.levles"),
        ({"variants": {"a": {"levels": 1}}, "orders": None}, "'levels'"),
        ({"variants": {"a": {"data": ["b", "c"]}}, "orders": None}, "variants: a: data"),
        ({"base": BASE | {"data": "b"}}, "base: 'data'"),
        ({"variants": {"a": {"loop.seed": 1}}, "orders": None}, "seeds"),
        ({"variants": {"a": {"model.levels": 7}}, "orders": None}, "levels must be"),
        ({"variants": {"a": {"loop.batch-size": 0}}, "orders": None}, "--loop.batch-size"),
        ({"variants": {"a": {}, "b": {"model.levels": 0}}, "orders": None}, "the same training"),
        ({"variants": {"a < b": {}}, "orders": None}, "a < b"),
        ({"orders": ["N=0 < N=3"]}, "N=3"),
        ({"orders": ["N=0"]}, "orders"),
        ({"budget": {"steps": 0}}, "budget"),
        ({"budget": {"hours": 1}}, "budget"),
        ({"budget": {"steps": 3}, "base": BASE | {"loop.epochs": 2}}, "evenly"),
        ({"base": BASE | {"loop.steps-per-epoch": 5}}, "loop.steps-per-epoch"),
        ({"metric": "beauty"}, "beauty"),
        ({"test": ["nowhere"]}, "nowhere"),
        ({"data": "nowhere"}, "nowhere"),
        ({"method": "sift"}, "sift"),
        ({"inference": "wings=2"}, "wings"),
        ({"limit": 0}, "limit"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_file_is_one_line_and_leaves_nothing(
    changes: dict[str, Any], named: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(workdir, study(workdir, **changes))
    assert cli.main(["study", file]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert named in line
    assert not (workdir / "runs").exists()


def test_wrong_options_are_told_at_once(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(workdir, study(workdir))
    (workdir / "plain.md").write_text("no markers")
    (workdir / "half.md").write_text("<!-- /study s -->\n<!-- study s -->")
    for arguments, named in (
        (["--only", "N=9"], "N=9"),
        (["--workers", "0"], "--workers"),
        (["--markdown", "plain.md"], "<!-- study s -->"),
        (["--markdown", "half.md"], "<!-- study s -->"),
        (["--markdown", "no/such/folder.md"], "no/such"),
    ):
        assert cli.main(["study", file, *arguments]) == 2
        assert named in capsys.readouterr().err
    assert cli.main(["study", "nowhere.yaml"]) == 2
    assert not (workdir / "runs").exists()


def test_a_dry_run_tells_the_plan_and_writes_nothing(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["study", write(workdir, study(workdir)), "--dry-run", "--only", "N=1"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(line[0], line[1], line[2], line[4]) for line in lines] == [
        (variant, f"seed {seed}", "1 epochs of 2 steps", "to do" if variant == "N=1" else "left out")
        for seed in (0, 1)
        for variant in ("N=0", "N=1")
    ]
    assert not (workdir / "runs").exists()


def test_a_budget_in_minutes_becomes_steps_that_stay(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "PROBE_STEPS", 2)
    found = read_study(Path(write(workdir, study(workdir, variants={"N=0": {}}, orders=None, budget={"minutes": 1}))))
    [spec] = variant_specs(found).values()
    steps = pace.with_minutes(spec, 1.0, workdir).loop.steps_per_epoch
    file = workdir / "pace.json"
    [(key, seconds)] = json.loads(file.read_text()).items()
    assert 0 < seconds < 30
    assert steps == max(1, round(60 / seconds))
    # However fast the machine is later, a study that goes on takes the steps of the pace that it measured.
    file.write_text(json.dumps({key: 0.25}))
    assert pace.with_minutes(spec, 1.0, workdir).loop.steps_per_epoch == 240


def test_a_command_tells_why_it_failed(workdir: Path) -> None:
    assert "nonsense" in run_command(["train", "nonsense", "--data", "x"], workdir / "log.txt")
    assert "nonsense" in (workdir / "log.txt").read_text()
    assert run_command(["--version"], workdir / "log.txt") == ""
