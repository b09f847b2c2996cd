"""Whole sweeps with Ray Tune, ASHA, Optuna and a SQLite MLflow, on cheap stand-ins for the training loop."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow.entities import Run
from ray import cloudpickle

from raylign.methods.errors import InputError
from raylign.platform.runs import read_yaml
from raylign.platform.tracking import Tracker
from raylign.platform.training.options import LoopOptions, TrainingSpec, spec_from_dict
from raylign.tune.sweep import Resources, SweepSettings, records, run_sweep
from tests.tune import loops

# Tune's processes cannot import the tests.
cloudpickle.register_pickle_by_value(loops)


def settings(**changes: Any) -> SweepSettings:
    spec = TrainingSpec("crossscale", "/data", LoopOptions(epochs=4), {}, {"levels": 1, "jnd_weight": 1.5})
    plain = SweepSettings(
        spec, "default", trials=6, grace=1, reduction=2, seed=0, metric="val_psnr_overlap", mode="max"
    )
    return dataclasses.replace(plain, **changes)


def new_folder(place: Path) -> tuple[Path, Resources]:
    folder = place / "runs" / "tune" / "s"
    folder.mkdir(parents=True)
    return folder, Resources(tracking_uri=f"sqlite:///{place}/runs/mlflow.db")


def mlflow_runs(resources: Resources) -> tuple[list[Run], list[Run]]:
    """The parents and the children."""
    runs = Tracker(resources.tracking_uri).find_runs("tune", {"mlflow.source.name": "raylign"})
    return (
        [run for run in runs if "mlflow.parentRunId" not in run.data.tags],
        [run for run in runs if "mlflow.parentRunId" in run.data.tags],
    )


@pytest.fixture(scope="module")
def faulty(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Resources]:
    """A sweep with a trial that diverges, one whose loss does, one that crashes and one whose process dies once."""
    place = tmp_path_factory.mktemp("faulty")
    folder, resources = new_folder(place)
    (place / "faults").mkdir()
    run_sweep(settings(trials=7, grace=2), folder, resources, train=loops.Faulty(place / "faults"))
    return folder, resources


def test_faults_do_not_end_a_sweep(faulty: tuple[Path, Resources]) -> None:
    folder, _ = faulty
    results = json.loads((folder / "results.json").read_text())
    trials = results["trials"]
    assert [trial["trial"] for trial in trials] == list(range(7))
    states = Counter(trial["state"] for trial in trials)
    assert states["failed"] == 1
    assert states["diverged"] == 2
    assert states["finished"] >= 1
    (failed,) = [trial for trial in trials if trial["state"] == "failed"]
    assert failed["error"] == "RuntimeError: out of memory"
    died = max(trials, key=lambda trial: trial["val_psnr_overlap"] if trial["state"] == "finished" else 0)
    assert (died["val_psnr_overlap"], died["epochs"]) == (54.0, 4), "a process that dies goes on at its checkpoint"


def test_optuna_is_told_the_truth(faulty: tuple[Path, Resources]) -> None:
    folder, _ = faulty
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{folder}/study.db")
    outcomes = {trial.user_attrs["outcome"]: trial for trial in study.trials}
    assert "RUNNING" not in {trial.state.name for trial in study.trials}
    assert outcomes["finished"].state.name == "COMPLETE"
    assert outcomes["failed"].state.name == "FAIL"
    assert outcomes["diverged"].state.name == "PRUNED"
    for trial in study.trials:
        if trial.user_attrs["outcome"] == "stopped early":
            assert trial.state.name == "PRUNED"
            assert 1 <= len(trial.intermediate_values) < 4


def test_the_first_trial_is_what_the_user_gave(faulty: tuple[Path, Resources]) -> None:
    first = json.loads((faulty[0] / "results.json").read_text())["trials"][0]["params"]
    assert first == {"model.levels": 1, "model.jnd_weight": 1.5, "loop.lr": 1e-4}


def test_the_folder_holds_tables_best_configuration_checkpoint_and_page(faulty: tuple[Path, Resources]) -> None:
    folder, _ = faulty
    results = json.loads((folder / "results.json").read_text())
    # The trial that reached 90 diverged after that.
    assert results["best"]["val_psnr_overlap"] == 54.0
    rows = list(csv.DictReader((folder / "results.csv").open()))
    assert [row["state"] for row in rows] == [trial["state"] for trial in results["trials"]]
    assert rows[0]["loop.lr"] == "0.0001"
    best = spec_from_dict(read_yaml(folder / "best.yaml"))
    assert best.model["jnd_weight"] == results["best"]["params"]["model.jnd_weight"]
    assert best.loop.epochs == 4
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64") >= 4
    assert "RuntimeError: out of memory" in page
    weights = [path.relative_to(folder) for path in folder.rglob("model.safetensors")]
    assert weights == [Path("checkpoint/model.safetensors")], "checkpoints are large; only the best one is kept"


def test_mlflow_has_one_parent_and_one_child_per_trial(faulty: tuple[Path, Resources]) -> None:
    folder, resources = faulty
    (parent,), children = mlflow_runs(resources)
    trials = json.loads((folder / "results.json").read_text())["trials"]
    assert parent.info.status == "FINISHED"
    assert parent.data.params["spec.method"] == "crossscale"
    assert parent.data.metrics["best_val_psnr_overlap"] == 54.0
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert Counter(run.data.tags["raylign.trial"] for run in children) == Counter(trial["id"] for trial in trials)
    by_id = {run.data.tags["raylign.trial"]: run for run in children}
    client = Tracker(resources.tracking_uri).client
    for trial in trials:
        run = by_id[trial["id"]]
        assert {name: str(value) for name, value in trial["params"].items()} == run.data.params
        assert run.info.status == ("FINISHED" if trial["state"] in ("finished", "stopped early") else "FAILED")
        if trial["state"] == "finished":
            history = client.get_metric_history(run.info.run_id, "val_psnr_overlap")
            assert [point.step for point in history] == [1, 2, 3, 4]
    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "best.yaml", "study.db", "results.csv"} <= artifacts


def test_a_finished_sweep_is_only_read(faulty: tuple[Path, Resources], capsys: pytest.CaptureFixture[str]) -> None:
    folder, resources = faulty
    start = time.monotonic()
    assert len(run_sweep(settings(trials=7, grace=2), folder, resources)) == 7
    assert time.monotonic() - start < 5
    assert len(mlflow_runs(resources)[1]) == 7


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"trials": 8}, "trials"), ({"seed": 1}, "seed"), ({"metric": "loss", "mode": "min"}, "metric, mode")],
)
def test_other_settings_under_the_same_name_are_refused(
    faulty: tuple[Path, Resources], changes: dict[str, Any], named: str
) -> None:
    folder, resources = faulty
    with pytest.raises(InputError, match=rf"holds a sweep with another .*{named}"):
        run_sweep(settings(**{"trials": 7, "grace": 2} | changes), folder, resources)


def test_wrong_input_that_only_a_trial_sees_ends_the_sweep_at_once(ray_local: None, tmp_path: Path) -> None:
    folder, resources = new_folder(tmp_path)
    with pytest.raises(InputError, match=r"--metric val_psnr_overlap: a trial reports only epoch, other"):
        run_sweep(settings(), folder, dataclasses.replace(resources, cpus_per_trial=2), train=loops.wrong_metric)
    (parent,), children = mlflow_runs(resources)
    assert parent.info.status == "FAILED"
    assert len(children) < 6


def test_too_few_cpus_are_told(ray_local: None, tmp_path: Path) -> None:
    folder, resources = new_folder(tmp_path)
    with pytest.raises(InputError, match=r"--cpus-per-trial 64 .* the largest has 2 CPUs"):
        run_sweep(settings(), folder, dataclasses.replace(resources, cpus_per_trial=64), train=loops.train)


DRIVER = """
import os
import sys
from pathlib import Path
from ray import cloudpickle
sys.path.insert(0, sys.argv[1])
from tests.tune import loops
from tests.tune.test_sweep import Resources, run_sweep, settings
place = Path(sys.argv[2])
folder = place / "runs" / "tune" / "s"
folder.mkdir(parents=True, exist_ok=True)
os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "1"
resources = Resources(tracking_uri=f"sqlite:///{place}/runs/mlflow.db")
run_sweep(settings(trials=4), folder, resources, train=loops.slow_train)
"""


def _ended(folder: Path) -> dict[str, float | None]:
    """Best values of the trials that have ended, as Tune has saved it; while it is saving there is nothing to read."""
    try:
        found = records(settings(trials=4), folder)
    except InputError:
        return {}
    return {record.trial_id: record.best for record in found if record.outcome != "running"}


def test_a_hard_kill_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRIVER, str(Path(__file__).parents[2]), str(tmp_path)]
    folder = tmp_path / "runs" / "tune" / "s"
    resources = Resources(tracking_uri=f"sqlite:///{tmp_path}/runs/mlflow.db")
    with (tmp_path / "first.log").open("w") as log:
        driver = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
        deadline = time.monotonic() + 120
        # One trial has ended and Tune has saved that, others run, more are to come.
        while not (ended := _ended(folder)) and time.monotonic() < deadline:
            assert driver.poll() is None, (tmp_path / "first.log").read_text()
            time.sleep(0.1)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    assert not (folder / "done.json").exists()

    subprocess.run(command, cwd=tmp_path, check=True, timeout=180, capture_output=True)

    results = json.loads((folder / "results.json").read_text())
    assert ended
    assert len(results["trials"]) == 4
    assert {trial["state"] for trial in results["trials"]} <= {"finished", "stopped early"}
    assert results["best"]["val_psnr_overlap"] == max(trial["val_psnr_overlap"] for trial in results["trials"])
    after = {trial["id"]: trial for trial in results["trials"]}
    assert all(after[trial_id]["val_psnr_overlap"] == value for trial_id, value in ended.items())
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{folder}/study.db")
    assert len(study.trials) == 4
    assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "PRUNED"}
    weights = (folder / "checkpoint" / "model.safetensors").read_text()
    assert float(weights) == results["best"]["val_psnr_overlap"]
    (parent,), children = mlflow_runs(resources)
    assert parent.info.status == "FINISHED"
    assert sorted(run.data.tags["raylign.trial"] for run in children) == sorted(t["id"] for t in results["trials"])
