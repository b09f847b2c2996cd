"""`raylign evaluate` as a user runs it: the table, going on after a kill, workers that die, wrong inputs."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import torch
from mlflow.utils.validation import _validate_metric_name
from torch import Tensor

from raylign.methods.aligner import Alignment
from raylign.methods.errors import InputError, RaylignError
from raylign.platform.alignment import choose_model
from raylign.platform.cli import main
from raylign.platform.cluster import RayAhead
from raylign.platform.evaluation.datasets import EvaluationSet, choose_datasets
from raylign.platform.evaluation.drawing import gallery_items
from raylign.platform.evaluation.evaluate import evaluate, make_plan
from raylign.platform.evaluation.farm import FarmOptions, open_farm
from raylign.platform.evaluation.gallery import choose_items
from raylign.platform.evaluation.outputs import metric_name
from raylign.platform.evaluation.results import METRICS, CaseResult
from raylign.platform.evaluation.store import Parts, decode, encode, model_digest
from raylign.platform.evaluation.summary import summarise
from raylign.platform.evaluation.work import Job, Worker, WorkOptions
from tests.datasets import write_pairs, write_sequences
from tests.layouts import write_fire

COSTS = {"seconds", "memory_mb", "gflop"}
"""What no two runs agree on."""
TASKS = ("pair", "set", "aligned")

# Methods of another distribution, found by their entry point in every process that Ray starts.
STRANGERS = """
import os
from pathlib import Path
import torch
from raylign.methods.aligner import Aligner, Alignment
from raylign.methods.classical.identity import Identity

class Fragile(Identity):
    name = "fragile"
    def align(self, reference, sources):
        # One case takes its process with it, another cannot be done.
        brightness = round(float(reference.mean()), 4)
        if brightness == float(os.environ["DEADLY"]):
            os._exit(1)
        if brightness == float(os.environ["UNDRAWN"]) and Path("runs/evaluate/default/table.json").exists():
            os._exit(1)  # when everything is measured, and pictures are drawn for the report
        if brightness == float(os.environ["HARD"]):
            raise ValueError("this one\\nis too hard")
        return super().align(reference, sources)

class Slow(Identity):
    name = "slow"
    def align(self, reference, sources):
        import time
        time.sleep(0.4)
        return super().align(reference, sources)
"""


NOWHERE = ("DEADLY", "UNDRAWN", "HARD")


def without_costs(path: Path) -> list[dict[str, object]]:
    rows = pq.read_table(path).to_pylist()
    return [{name: value for name, value in row.items() if name not in COSTS} for row in rows]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow store for all: a new one takes seconds to make."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def tracked(workdir: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)


@pytest.fixture
def strangers(workdir: Path) -> dict[str, str]:
    """The environment of a process that knows the methods above."""
    folder = workdir / "strangers"
    info = folder / "strangers-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "strangers.py").write_text(STRANGERS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[raylign.methods]\nfragile = strangers:Fragile\nslow = strangers:Slow\n")
    return {**os.environ, "PYTHONPATH": str(folder), "RAY_AUTH_MODE": "disabled", **dict.fromkeys(NOWHERE, "-1")}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "raylign.platform.cli", "evaluate", *arguments]


def test_one_table_of_pairs_and_sets(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sequences = write_sequences(workdir / "planes", scenes=6, frames=4, size=96)
    pairs = write_pairs(workdir / "views", scenes=6, size=64)
    files = {name: workdir / f"table.{name}" for name in ("json", "csv", "latex", "markdown", "html")}
    options = [text for name, path in files.items() for text in (f"--{name}", str(path))]
    arguments = ["--data", f"{sequences}#train", pairs, "--methods", "identity", "sift", "median", "--workers", "1"]
    assert main(["evaluate", *arguments, *options, "--compare", "sift", "identity"]) == 0
    told = capsys.readouterr().out
    assert "median" in told
    content = json.loads(files["json"].read_text())
    found = {(row["dataset"], row["task"], row["method"]): row for row in content["rows"]}
    assert set(found) == {
        *((dataset, "pair", method) for dataset in ("planes#train", "views") for method in ("identity", "sift")),
        ("planes#train", "set", "median"),
        ("planes#train", "aligned", "median"),
    }
    sift = found["planes#train", "pair", "sift"]
    assert sift["n"] == 4 * 3
    assert sift["failed"] == 0
    assert set(sift["metrics"]["corner_error"]) == {"mean", "std", "ci95"}
    assert (
        sift["metrics"]["corner_error"]["mean"]
        < found["planes#train", "pair", "identity"]["metrics"]["corner_error"]["mean"]
    )
    assert found["planes#train", "aligned", "median"]["metrics"]["psnr"]["mean"] > 15
    # What has no value says why, and is never zero.
    missing = found["views", "pair", "sift"]["missing"]
    assert "homography" in missing["corner_error"]
    assert not set(missing) & set(found["views", "pair", "sift"]["metrics"])
    assert set(missing) | set(found["views", "pair", "sift"]["metrics"]) == {metric.name for metric in METRICS}
    assert set(found["views", "pair", "sift"]["subsets"]) == {"moderate", "hard"}
    assert content["settings"]["datasets"][1]["label"] == "views"
    with files["csv"].open() as stream:
        assert len([row for row in csv.DictReader(stream) if not row["subset"]]) == len(content["rows"])
    assert "\\begin{tabular}" in files["latex"].read_text()
    assert files["html"].read_text() == (workdir / "runs/evaluate/default/report.html").read_text()


def test_two_runs_agree_to_the_last_bit_whoever_does_the_work(workdir: Path, ray_local: None) -> None:
    data = write_sequences(workdir / "planes", scenes=6, frames=4, size=96)
    arguments = ["evaluate", "--data", f"{data}#train", "--methods", "identity", "sift", "mean", "--gallery", "0"]
    assert main([*arguments, "--name", "here", "--workers", "1"]) == 0
    assert main([*arguments, "--name", "there", "--workers", "2", "--address", "local"]) == 0
    here, there = (Path("runs/evaluate", name, "results.parquet") for name in ("here", "there"))
    assert without_costs(here) == without_costs(there)
    parts = {path: path.stat().st_mtime_ns for path in Path("runs/evaluate/here/parts").rglob("*.parquet")}
    # Another method adds its own work only; 'fresh' does all again, to the same numbers.
    assert main([*arguments, "--name", "here", "--workers", "1", "--methods", "identity", "sift", "mean", "orb"]) == 0
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in parts.items())
    assert main([*arguments, "--name", "here", "--workers", "1", "--fresh"]) == 0
    assert all(path.stat().st_mtime_ns > time_ns for path, time_ns in parts.items())
    assert without_costs(here) == without_costs(there)


def test_metrics_of_any_method_have_names_that_mlflow_takes() -> None:
    for method in ("sift", "/tmp/train/a/checkpoint", "../checkpoint", "a//b[adapt=0,start=network]", "ärger"):
        _validate_metric_name(metric_name("board/parallax", "pair", method, "psnr_overlap"))
    assert metric_name("parallax", "pair", "sift", "psnr") == "parallax/pair/sift/psnr"


def test_a_killed_evaluation_goes_on_to_the_same_numbers(
    workdir: Path, strangers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_sequences(workdir / "planes", scenes=6, frames=4, size=48)
    arguments = ["--data", f"{data}#train", "--methods", "slow", "sift", "--workers", "1", "--gallery", "0"]
    first = subprocess.Popen(command(*arguments, "--name", "killed"), env=strangers, cwd=workdir)
    parts = workdir / "runs/evaluate/killed/parts"
    deadline = time.monotonic() + 300
    while len(list(parts.rglob("*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = {path: path.stat().st_mtime_ns for path in parts.rglob("*.parquet")}
    assert 2 <= len(kept) < 6
    monkeypatch.syspath_prepend(workdir / "strangers")
    assert main(["evaluate", *arguments, "--name", "killed"]) == 0
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items())
    assert main(["evaluate", *arguments, "--name", "whole"]) == 0
    killed, whole = (workdir / "runs/evaluate" / name / "results.parquet" for name in ("killed", "whole"))
    assert without_costs(killed) == without_costs(whole)


def test_failures_are_counted_and_listed(workdir: Path, strangers: dict[str, str]) -> None:
    data = write_pairs(workdir / "views", scenes=14, size=48)
    dataset = EvaluationSet(choose_datasets([f"{data}#train"], "test", None)[0])
    brightness = [f"{round(float(dataset.case('pair', k).reference.mean()), 4)}" for k in range(dataset.count("pair"))]
    assert len(set(brightness)) == 12
    environment = {**strangers, "DEADLY": brightness[3], "UNDRAWN": brightness[5], "HARD": brightness[9]}
    arguments = ["--data", f"{data}#train", "--methods", "fragile", "identity", "--workers", "2", "--json", "t.json"]
    arguments += ["--gallery", "24"]
    done = subprocess.run(command(*arguments), env=environment, cwd=workdir, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(workdir / "runs/evaluate/default/results.parquet").to_pylist()
    failed = [row for row in rows if row["failed"]]
    assert [(row["method"], row["key"]) for row in failed] == [("fragile", "000003"), ("fragile", "000009")]
    assert "died 2 times" in failed[0]["error"]
    assert failed[1]["error"] == "ValueError: this one is too hard"
    table = {row["method"]: row for row in json.loads((workdir / "t.json").read_text())["rows"]}
    assert (table["fragile"]["n"], table["fragile"]["failed"]) == (12, 2)
    # A failure counts as no alignment, which is what identity is.
    assert table["fragile"]["metrics"]["psnr_overlap"] == table["identity"]["metrics"]["psnr_overlap"]
    report = (workdir / "runs/evaluate/default/report.html").read_text()
    assert "this one is too hard" in report
    # All cases of both, three without what the method made of them.
    assert report.count('<article class="card') == 24
    assert report.count('<article class="card bare"') == 3
    assert "drawing: 24/24 cases" in done.stderr


def test_more_workers_than_room_come_to_an_end(workdir: Path, ray_local: None) -> None:
    data = write_pairs(workdir / "views", scenes=44, size=48)
    datasets = [EvaluationSet(each) for each in choose_datasets([f"{data}#train"], "test", None)]
    plan = make_plan([choose_model("identity")], datasets, TASKS)
    assert len(plan.jobs) >= 4
    options = WorkOptions(1, None, False)
    parts = Parts(workdir / "parts", options, {"views#train": datasets[0].digest()})
    signal.alarm(120)  # workers that wait for a CPU that never comes free
    try:
        with RayAhead(None) as ray, open_farm(options, FarmOptions(4, 0.0), ray) as farm:
            for _ in range(2):  # those that have nothing more to do keep no CPU from the next ones
                assert len(evaluate(plan, parts, farm, fresh=True)) == plan.cases
    finally:
        signal.alarm(0)
    many = WorkOptions(64, None, False)
    with (
        RayAhead(None) as ray,
        open_farm(many, FarmOptions(2, 0.0), ray) as farm,
        pytest.raises(RaylignError, match="no room for a worker with 64 CPUs"),
    ):
        evaluate(plan, parts, farm, fresh=True)


def test_wrong_input_is_told_at_once_though_ray_is_coming_up(workdir: Path) -> None:
    data = write_pairs(workdir / "views", scenes=3, size=48)
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": str(workdir / "ray")}
    arguments = command("--data", data, "--methods", "nothing", "--workers", "2")
    running = subprocess.Popen(arguments, env=environment, cwd=workdir, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    assert "--methods nothing" in running.stderr.readline()
    assert running.poll() is None, "Ray still has to be ended"
    assert running.wait(timeout=120) == 2
    assert not running.stderr.read()
    ours = [each for each in psutil.process_iter() if str(workdir / "ray") in " ".join(_command_line(each))]
    assert not ours
    assert not (workdir / "runs/evaluate").exists()


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_workers_that_cannot_start_are_no_failures_of_a_method(workdir: Path, strangers: dict[str, str]) -> None:
    data = write_pairs(workdir / "views", scenes=12, size=48)
    # Only the processes that Ray starts run this: there raylign's evaluation cannot be imported.
    (workdir / "strangers/sitecustomize.py").write_text(
        "import sys\nif any('default_worker' in text for text in sys.orig_argv):\n"
        "    sys.modules['raylign.platform.evaluation.work'] = None\n"
    )
    arguments = command("--data", f"{data}#train", "--methods", "identity", "--workers", "2")
    done = subprocess.run(arguments, env=strangers, cwd=workdir, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "do not start" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_case_that_took_its_worker_with_it_has_every_metric_of_a_failure(workdir: Path) -> None:
    data = write_pairs(workdir / "views", scenes=4, size=48)
    dataset = EvaluationSet(choose_datasets([f"{data}#train"], "test", None)[0])
    [job] = make_plan([choose_model("identity")], [dataset], TASKS).jobs
    worker = Worker(WorkOptions(1, "given", False))
    worker._lpips = lambda aligned, target: 0.5  # type: ignore[assignment]
    lost, [measured, *_] = worker.lost(job, "gone"), worker.run(job)
    assert lost.failed
    assert {k: v for k, v in measured.metrics.items() if k not in COSTS} == lost.metrics
    assert lost.metrics["lpips"] == 0.5


def test_costs_are_those_of_a_case_that_succeeds(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raylign.methods.classical.identity import Identity
    from raylign.methods.classical.sift import Sift

    data = write_pairs(workdir / "views", scenes=5, size=48)
    dataset = EvaluationSet(choose_datasets([f"{data}#train"], "test", None)[0])
    [job] = make_plan([choose_model("sift")], [dataset], TASKS).jobs
    bad = float(dataset.case("pair", 0).reference.mean())

    def fails_on_the_first(self: Sift, reference: Tensor, sources: Tensor) -> Alignment:
        if float(reference.mean()) == bad:
            raise ValueError("no")
        return Identity().align(reference, sources)

    monkeypatch.setattr(Sift, "align", fails_on_the_first)
    results = Worker(WorkOptions(1, None, False)).run(job)
    assert [result.failed for result in results] == [True, False, False]
    assert ["memory_mb" in result.metrics for result in results] == [False, True, False]


def test_a_picture_of_another_size_is_a_failure(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raylign.methods.classical.sift import Sift

    data = write_pairs(workdir / "views", scenes=3, size=48)
    dataset = EvaluationSet(choose_datasets([f"{data}#train"], "test", None)[0])
    [job] = make_plan([choose_model("sift")], [dataset], TASKS).jobs
    wrong = Alignment(torch.zeros(1, 3, 9, 9), torch.ones(1, 1, 9, 9))
    monkeypatch.setattr(Sift, "align", lambda *_: wrong)
    results = Worker(WorkOptions(1, None, False)).run(job)
    assert all("gave a picture (3, 9, 9)" in result.error for result in results)


def test_fresh_takes_nothing_of_before(workdir: Path) -> None:
    data = write_pairs(workdir / "views", scenes=4, size=48)
    dataset = EvaluationSet(choose_datasets([f"{data}#train"], "test", None)[0])
    plan = make_plan([choose_model("identity")], [dataset], TASKS)
    options = WorkOptions(1, None, False)
    parts = Parts(workdir / "parts", options, {"views#train": dataset.digest()})
    with open_farm(options, FarmOptions(1, 0.0), None) as here:
        old = evaluate(plan, parts, here)

    class CaseByCase:
        """As after a job has taken its workers with it."""

        def run(self, pieces: Sequence[Job], done: Callable[[Job, list[CaseResult]], None]) -> None:
            for job in pieces:
                for single in job.cut():
                    done(single, [dataclasses.replace(old[single.first], error="new")])

    results = evaluate(plan, parts, CaseByCase(), fresh=True)
    assert [result.error for result in results] == ["new"] * plan.cases
    with open_farm(options, FarmOptions(1, 0.0), None) as here:
        assert evaluate(plan, parts, here) == results


def test_folders_that_differ_in_pictures_alone_are_measured_apart(workdir: Path) -> None:
    from PIL import Image

    for place in ("one", "two"):
        folder = workdir / place / "views"
        folder.mkdir(parents=True)
        rng = np.random.default_rng(len(place) + ord(place[0]))
        for name in ("a_ref.png", "a_src.png"):
            Image.fromarray(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)).save(folder / name)
    arguments = ["evaluate", "--methods", "identity", "--workers", "1", "--gallery", "0", "--data"]

    def measured(*places: str) -> dict[str, float]:
        assert main([*arguments, *(f"{place}/views" for place in places)]) == 0
        rows = json.loads(Path("runs/evaluate/default/table.json").read_text())["rows"]
        return {row["dataset"]: row["metrics"]["psnr"]["mean"] for row in rows}

    both = measured("one", "two")
    assert set(both) == {"views", "views (2)"}
    assert both["views"] != both["views (2)"]
    # In the other order each keeps its numbers.
    assert measured("two", "one") == {"views": both["views (2)"], "views (2)": both["views"]}
    # Other pictures under the same names.
    for name in ("a_ref.png", "a_src.png"):
        os.replace(Path("two/views", name), Path("one/views", name))
    assert measured("one") == {"views": both["views (2)"]}


def test_shards_that_differ_in_pictures_alone_are_measured_apart(workdir: Path) -> None:
    def digest(folder: str) -> str:
        return EvaluationSet(choose_datasets([folder], "test", None)[0]).digest()

    before = digest(write_pairs(workdir / "views", scenes=3, size=48))
    assert digest(str(workdir / "views")) == before
    stamp = (workdir / "views/shards/000000.tar").stat()
    os.utime(workdir / "views/shards/000000.tar", ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 10**9))
    assert digest(str(workdir / "views")) != before


def test_a_method_of_another_distribution_that_changes_is_measured_again(
    workdir: Path, strangers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another test may have loaded a package of this name, from elsewhere.
    monkeypatch.delitem(sys.modules, "strangers", raising=False)
    monkeypatch.syspath_prepend(workdir / "strangers")
    before = model_digest(choose_model("slow"))
    assert model_digest(choose_model("slow")) == before
    with (workdir / "strangers/strangers.py").open("a") as stream:
        stream.write("# another version\n")
    assert model_digest(choose_model("slow")) != before


def test_other_weights_of_lpips_in_the_same_file_are_measured_again(workdir: Path) -> None:
    data = write_pairs(workdir / "views", scenes=3, size=48)
    dataset = EvaluationSet(choose_datasets([data], "test", None)[0])
    [job] = make_plan([choose_model("identity")], [dataset], TASKS).jobs
    paths = []
    for content in (b"old", b"new"):
        Path("alex.pth").write_bytes(content)
        paths.append(Parts(workdir, WorkOptions(1, "alex.pth", False), {"views": dataset.digest()}).path(job))
    assert paths[0] != paths[1]


def test_a_name_that_no_file_can_have(workdir: Path) -> None:
    data = write_pairs(workdir / "views", scenes=3, size=48)
    dataset = EvaluationSet(choose_datasets([data], "test", None)[0])
    model = dataclasses.replace(choose_model("identity"), name="../a b/" + "é" * 300)
    [job] = make_plan([model], [dataset], TASKS).jobs
    options = WorkOptions(1, None, False)
    parts = Parts(workdir / "parts", options, {"views": dataset.digest()})
    results = Worker(options).run(job)
    parts.write(job, results)
    assert parts.read(job) == results
    assert parts.path(job).is_relative_to(workdir / "parts")
    assert ".." not in parts.path(job).parts


def test_results_are_kept_where_mlflow_does_not_answer(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_pairs(workdir / "views", scenes=3, size=48)
    arguments = ["evaluate", "--data", data, "--methods", "identity", "--workers", "1", "--json", "t.json"]
    assert main([*arguments, "--tracking-uri", "http://127.0.0.1:9"]) == 2
    error = capsys.readouterr().err
    assert "table and report are in" in error
    assert "Traceback" not in error
    assert json.loads(Path("t.json").read_text())["rows"]
    assert Path("runs/evaluate/default/report.html").exists()
    # An address that can never be one is told before any work is done.
    assert main([*arguments, "--name", "other", "--tracking-uri", "ftp://here"]) == 2
    assert not Path("runs/evaluate/other").exists()


def test_files_are_written_though_the_reader_of_the_table_has_gone(workdir: Path) -> None:
    data = write_pairs(workdir / "views", scenes=3, size=48)
    reader, writer = os.pipe()
    os.close(reader)
    arguments = command("--data", data, "--methods", "identity", "--workers", "1", "--json", "t.json")
    done = subprocess.run(arguments, cwd=workdir, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert done.returncode == 0, done.stderr
    assert (workdir / "t.json").exists()
    assert (workdir / "runs/evaluate/default/report.html").exists()


def test_results_survive_parquet(workdir: Path) -> None:
    data = write_pairs(workdir / "views", scenes=3, size=48)
    choices = choose_datasets([f"{data}#train"], "test", None)
    datasets = [EvaluationSet(choice) for choice in choices]
    plan = make_plan([choose_model("sift")], datasets, TASKS)
    results = Worker(WorkOptions(1, None, False)).run(plan.jobs[0])
    assert decode(encode(results)) == results
    parts = Parts(workdir / "parts", WorkOptions(1, None, False), {"views#train": datasets[0].digest()})
    parts.write(plan.jobs[0], results)
    assert parts.read(plan.jobs[0]) == results
    parts.path(plan.jobs[0]).write_bytes(b"half a file")
    assert parts.read(plan.jobs[0]) is None
    # Other pictures, another number of threads: nothing of it is taken over.
    other = Parts(workdir / "parts", WorkOptions(2, None, False), {"views#train": datasets[0].digest()})
    assert other.path(plan.jobs[0]) != parts.path(plan.jobs[0])


def test_aligned_sets_are_warped_by_the_true_homographies(workdir: Path) -> None:
    data = write_sequences(workdir / "planes", scenes=3, frames=5, size=96, shift=8)
    dataset = EvaluationSet(choose_datasets([f"{data}#train"], "test", None)[0])
    case = dataset.case("aligned", 0)
    assert case.truth.masks is not None
    assert case.truth.masks.shape == (5, 96, 96)
    reference = dataset.samples[0].frames[0].float() / 255
    for picture, mask in zip(case.sources, case.truth.masks[1:], strict=True):
        gain = (reference * mask).sum() / (picture * mask).sum()
        assert float(((picture * gain - reference).abs() * mask).sum() / mask.sum() / 3) < 0.02
    # The raw frames do not lie on the reference.
    raw = dataset.case("set", 0).sources[0]
    assert float((raw - reference).abs().mean()) > 0.02


def test_a_limit_is_spread_over_the_dataset(workdir: Path) -> None:
    data = write_sequences(workdir / "planes", scenes=12, frames=3, size=48)
    dataset = EvaluationSet(choose_datasets([f"{data}#train"], "test", 3)[0])
    assert [dataset.case("pair", k).key for k in range(dataset.count("pair"))] == ["000000:1", "000004:1", "000007:2"]
    assert dataset.count("set") == 3


def test_methods_without_cases_are_left_out(workdir: Path) -> None:
    data = write_sequences(workdir / "planes", scenes=3, frames=3, size=48)
    sets = [EvaluationSet(each) for each in choose_datasets([data], "test", None)]
    plan = make_plan([choose_model("median"), choose_model("identity")], sets, ("pair",))
    assert {job.model.name for job in plan.jobs} == {"identity"}
    assert "sets of shots" in plan.left_out["median"]
    with pytest.raises(InputError, match="nothing to measure"):
        make_plan([choose_model("median")], sets, ("pair",))


def test_what_merges_pairs_of_sift_does_not_repeat_it(workdir: Path) -> None:
    data = write_pairs(workdir / "views", scenes=3, size=48)
    pairs = [EvaluationSet(each) for each in choose_datasets([data], "test", None)]
    alone = make_plan([choose_model("median")], pairs, ("pair",))
    assert {job.model.name for job in alone.jobs} == {"median"}
    beside = make_plan([choose_model("median"), choose_model("sift")], pairs, ("pair",))
    assert {job.model.name for job in beside.jobs} == {"sift"}
    assert "sets of shots" in beside.left_out["median"]


def test_workers_on_ray_give_what_one_process_gives(workdir: Path, ray_local: None) -> None:
    data = write_sequences(workdir / "planes", scenes=6, frames=4, size=96)
    datasets = [EvaluationSet(each) for each in choose_datasets([f"{data}#train"], "test", None)]
    plan = make_plan([choose_model("sift"), choose_model("identity")], datasets, ("pair",))
    options = WorkOptions(1, None, False)
    counted: list[int] = []
    drawn: list[int] = []
    tables, galleries = [], []
    for workers in (1, 2):
        with contextlib.ExitStack() as stack:
            ray = stack.enter_context(RayAhead(None)) if workers > 1 else None
            farm = stack.enter_context(open_farm(options, FarmOptions(workers, 0.0), ray))
            parts = Parts(workdir / f"parts{workers}", options, {"planes#train": datasets[0].digest()})
            results = evaluate(plan, parts, farm, advance=counted.append)
            items = gallery_items(choose_items(results), plan.jobs, results, farm, advance=drawn.append)
        tables.append([(r.method, r.key, {k: v for k, v in r.metrics.items() if k not in COSTS}) for r in results])
        galleries.append([(item.method, item.key, item.reference, item.source, item.aligned) for item in items])
    assert tables[0] == tables[1]
    assert sum(counted) == 2 * plan.cases
    assert galleries[0] == galleries[1]
    assert len(drawn) == 2 * len(galleries[0])
    assert len({item[-1] for item in galleries[0] if item[-1]}) > 4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--data is missing"),
        (["--data", "nowhere"], "nowhere"),
        (["--data", "DATA", "--split", "dev"], "no split 'dev'"),
        (["--data", "DATA", "DATA"], "given twice"),
        (["--data", "DATA", "--methods", "nothing"], "--methods nothing"),
        (["--data", "DATA", "--methods", "raft"], "--weights raft=FILE"),
        (["--data", "DATA", "--weights", "sift=x"], "--weights sift=x"),
        (["--data", "DATA", "--methods", "sift", "--compare", "sift", "orb"], "'orb' is not measured"),
        (["--data", "DATA", "--methods", "median", "--tasks", "pair"], "nothing to measure"),
        (["--data", "DATA", "--limit", "0"], "--limit must be at least 1"),
        (["--data", "DATA", "--json", "no/such/place.json"], "no/such/place.json"),
        (["--data", "DATA", "--paper", "007"], "007"),
        (["--data", "DATA", "--lpips-weights", "none.pth"], "none.pth"),
    ],
)
def test_wrong_input(workdir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    data = write_sequences(workdir / "planes", scenes=3, frames=3, size=48)
    arguments = [data if text == "DATA" else text for text in arguments]
    assert main(["evaluate", "--workers", "1", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


def test_pairs_of_unequal_size(workdir: Path) -> None:
    from PIL import Image

    folder = workdir / "mixed"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a_ref.png", (60, 80)), ("a_src.png", (90, 50))):
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(folder / name)
    arguments = ["--data", str(folder), "--methods", "identity", "sift", "--workers", "1", "--json", "t.json"]
    assert main(["evaluate", *arguments]) == 0
    rows = json.loads(Path("t.json").read_text())["rows"]
    assert {row["method"]: row["n"] for row in rows} == {"identity": 1, "sift": 1}


def test_summary_resamples_scenes() -> None:
    values = np.random.default_rng(0).normal(20, 2, 30)

    def result(scene: int, key: int, value: float) -> CaseResult:
        metrics = {"psnr_overlap": value}
        return CaseResult("m", "d", "pair", f"{key:06d}", f"{key:06d}", f"{scene}", "", metrics=metrics)

    [row] = summarise([result(k, k, float(value)) for k, value in enumerate(values)])
    entry = row["metrics"]["psnr_overlap"]
    assert entry["mean"] == pytest.approx(values.mean())
    assert entry["std"] == pytest.approx(values.std(ddof=1))
    assert entry["ci95"] == pytest.approx(1.96 * values.std(ddof=1) / np.sqrt(30), rel=0.15)
    # The same values as 3 cases of each of 10 scenes: cases of one scene that agree carry less.
    [tied] = summarise([result(k // 3, k, float(values[k // 3])) for k in range(30)])
    assert tied["metrics"]["psnr_overlap"]["ci95"] > 0.9
    # A single scene says nothing of others: there is no interval, and certainly none of length 0.
    [one] = summarise([result(0, k, float(values[k])) for k in range(5)])
    assert set(one["metrics"]["psnr_overlap"]) == {"mean", "std"}
    [single] = summarise([result(0, 0, 20.0)])
    assert single["metrics"]["psnr_overlap"] == {"mean": 20.0}


def test_udis_classes_are_made_of_each_methods_own_scores() -> None:
    scores = {"psnr": np.linspace(10, 30, 1106), "ssim": np.linspace(0.9, 0.1, 1106)}
    results = [
        CaseResult(
            "m", "UDIS-D", "pair", f"{k}", f"{k}", f"{k}", "", metrics={n: float(v[k]) for n, v in scores.items()}
        )
        for k in range(1106)
    ]
    [row] = summarise(results, scored=["UDIS-D"])
    counts = {name: part["n"] for name, part in row["subsets"].items()}
    assert counts == {"easy": 331, "moderate": 332, "hard": 443, "hard (released)": 442}
    for name, values in scores.items():
        ranked = np.sort(values)[::-1]
        means = {part: row["subsets"][part]["metrics"][name]["mean"] for part in counts}
        assert means["easy"] == pytest.approx(ranked[:331].mean())
        assert means["hard"] == pytest.approx(ranked[663:].mean())
        assert means["hard (released)"] == pytest.approx(ranked[663:1105].mean())


def test_the_overview_of_a_readme_stays_between_its_markers(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_pairs(workdir / "views", scenes=6, size=64)
    planes = write_sequences(workdir / "planes", scenes=6, frames=3, size=64)
    readme, page, broken = Path("README.md"), Path("page.md"), Path("broken.md")
    readme.write_text("# Mine\n<!-- overview -->\nold\n<!-- /overview -->\nto the end\n")
    broken.write_text("<!-- /overview -->\n<!-- overview -->\n")
    arguments = ["evaluate", "--data", data, planes, "--methods", "identity", "sift", "mean", "--workers", "1"]
    arguments += ["--gallery", "0", "--split", "test"]
    assert main([*arguments, "--markdown", str(readme), str(page)]) == 0
    lines = readme.read_text().splitlines()
    assert lines[0] == "# Mine"
    assert lines[-1] == "to the end"
    assert "old" not in lines
    [header] = [line for line in lines if line.startswith("| method | views")]
    assert header == "| method | views moderate | views hard | planes | s |"
    # Best mean rank first; the number is that of the table.
    rows = json.loads(Path("runs/evaluate/default/table.json").read_text())["rows"]
    best = next(row for row in rows if (row["dataset"], row["method"]) == ("planes", "sift"))
    [line] = [line for line in lines if line.startswith("| `sift`")]
    assert f"**{best['metrics']['psnr_overlap']['mean']:.2f}**" in line
    assert lines.index(line) < next(k for k, text in enumerate(lines) if text.startswith("| `identity`"))
    assert any(line.startswith("| `mean` |") for line in lines)
    # A file without markers gets everything.
    assert "**planes, pairs**" in page.read_text()
    capsys.readouterr()
    assert main([*arguments, "--markdown", str(broken)]) == 2
    assert "belong together" in capsys.readouterr().err


def test_results_on_a_part_of_fire_are_not_called_the_published_metric(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fire(workdir / "FIRE")
    assert main(["evaluate", "--data", "FIRE", "--methods", "identity", "--workers", "1", "--gallery", "0"]) == 0
    told = capsys.readouterr()
    assert "mauc is not the published metric" in told.err
    [row] = json.loads(Path("runs/evaluate/default/table.json").read_text())["rows"]
    assert {"mee", "mae", "success", "auc", "mauc"} <= set(row["metrics"])
    assert set(row["subsets"]) == {"S", "P", "A"}
