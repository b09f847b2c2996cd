"""Tracking against a real SQLite MLflow."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raylign.methods.errors import InputError
from raylign.platform.tracking import Tracker, TrackingError, flatten, redact, tracking_uri


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    return Tracker(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


def test_default_address_is_a_database_in_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert (tmp_path / "runs").is_dir()


def test_explicit_address_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    assert tracking_uri() == "http://elsewhere:5000"
    assert tracking_uri("sqlite:///here/a.db") == f"sqlite:///{tmp_path}/here/a.db"


@pytest.mark.parametrize(
    "uri", ["./mlruns", "file:///tmp/mlruns", "mlflow.db", "ftp://x", "sqlite://", "sqlite:///:memory:"]
)
def test_addresses_that_mlflow_does_not_take(uri: str) -> None:
    with pytest.raises(InputError, match=r"sqlite:///PATH/mlflow\.db"):
        tracking_uri(uri)


def test_wrong_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI"):
        tracking_uri()


def test_passwords_are_starred_out() -> None:
    assert redact("postgresql://me:hush@db:5432/x?sslmode=on") == "postgresql://me:***@db:5432/x?sslmode=on"
    assert redact("at http://me:hush@a/b and s3://k:hush@c") == "at http://me:***@a/b and s3://k:***@c"
    assert redact("mysql://db/x?password=hush&a=1") == "mysql://db/x?password=***&a=1"
    assert redact("http://host:5000/a@b") == "http://host:5000/a@b"


def test_a_run_keeps_params_metrics_tags_and_artifacts(tracker: Tracker, tmp_path: Path) -> None:
    params = {"method": "crossscale", "loop": {"lr": 1e-3}, "long": "x" * 9000, "data": "s3://key:hush@bucket"}
    (tmp_path / "report.html").write_text("hello")
    with tracker.start_run("e", "first", params | {f"p{i}": i for i in range(150)}, {"method": "crossscale"}) as run:
        run.log_metrics({"loss": 2.0, "val_psnr_overlap": math.nan}, step=0)
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_artifact(tmp_path / "report.html")
    kept = tracker.client.get_run(run.run_id)
    assert kept.info.status == "FINISHED"
    assert kept.info.run_name == "first"
    assert kept.data.params["loop.lr"] == "0.001"
    assert len(kept.data.params) == 154
    assert len(kept.data.params["long"]) == 500
    assert "hush" not in kept.data.params["data"]
    assert kept.data.tags["method"] == "crossscale"
    assert [(each.step, each.value) for each in tracker.client.get_metric_history(run.run_id, "loss")] == [
        (0, 2),
        (1, 1),
    ]
    root = Path(tracker.uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    assert [path.read_text() for path in root.rglob("report.html")] == ["hello"]


def test_children_hang_under_their_parent_and_are_found_by_tag(tracker: Tracker) -> None:
    parent = tracker.start_run("sweeps", "parent", {}, {"sweep": "s"})
    children = [tracker.start_run("sweeps", f"t{i}", {"i": i}, {"sweep": "s"}, parent.run_id) for i in range(3)]
    found = tracker.find_runs("sweeps", {"mlflow.parentRunId": parent.run_id})
    assert {run.info.run_id for run in found} == {child.run_id for child in children}
    assert len(tracker.find_runs("sweeps", {"sweep": "s"})) == 4
    assert tracker.find_runs("sweeps", {"sweep": "other"}) == []


def test_resume_goes_on_with_the_same_run(tracker: Tracker) -> None:
    run = tracker.start_run("e", "fails", {})
    run.log_metrics({"loss": 1.0}, step=0)
    with pytest.raises(RuntimeError), run:
        raise RuntimeError
    assert tracker.client.get_run(run.run_id).info.status == "FAILED"
    again = Tracker(tracker.uri).resume_run(run.run_id)
    assert tracker.client.get_run(run.run_id).info.status == "RUNNING"
    again.log_metrics({"loss": 0.5}, step=1)
    again.end()
    kept = tracker.client.get_run(run.run_id)
    assert kept.info.status == "FINISHED"
    assert kept.info.end_time is not None
    assert len(tracker.client.get_metric_history(run.run_id, "loss")) == 2


def test_an_interrupted_run_is_marked_killed(tracker: Tracker) -> None:
    with pytest.raises(KeyboardInterrupt), tracker.start_run("e", "stopped", {}) as run:
        raise KeyboardInterrupt
    assert tracker.client.get_run(run.run_id).info.status == "KILLED"


def test_an_experiment_in_the_bin_is_taken_out(tracker: Tracker) -> None:
    number = tracker.experiment_id("binned")
    tracker.client.delete_experiment(number)
    tracker.start_run("binned", "x", {}).end()
    assert tracker.client.get_experiment(number).lifecycle_stage == "active"


def test_unknown_run_is_one_line(tracker: Tracker) -> None:
    with pytest.raises(TrackingError, match="not found") as caught:
        tracker.resume_run("0" * 32)
    assert caught.value.code == "RESOURCE_DOES_NOT_EXIST"
    assert "\n" not in str(caught.value)


def test_metrics_wait_while_mlflow_does_not_answer(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = tracker.start_run("e", "patient", {})
    log_batch = tracker.client.log_batch

    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("connection refused")

    monkeypatch.setattr(tracker.client, "log_batch", broken)
    run.log_metrics({"loss": 2.0}, step=0)
    run.log_metrics({"loss": 1.0}, step=1)
    assert sum("metrics wait" in message for message in caplog.messages) == 1
    monkeypatch.setattr(tracker.client, "log_batch", log_batch)
    run.end()
    assert len(tracker.client.get_metric_history(run.run_id, "loss")) == 2


@pytest.mark.parametrize("uri", ["http://me:hush@127.0.0.1:1", "http://me:hush@192.0.2.1:5000"])
def test_a_server_that_does_not_answer_is_told_within_seconds(uri: str) -> None:
    start = time.monotonic()
    with pytest.raises(TrackingError, match="no MLflow server answers") as caught:
        Tracker(uri)
    assert time.monotonic() - start < 12
    assert "hush" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("this is no database, " * 100)
    with pytest.raises(TrackingError, match="not a database"):
        Tracker(f"sqlite:///{tmp_path}/a.db")


def test_two_processes_may_create_the_database_at_once_and_are_quiet(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from raylign.platform.tracking import Tracker\n"
        "tracker = Tracker(sys.argv[1])\n"
        "for i in range(20):\n"
        "    with tracker.start_run('same', 'r', {'i': i}) as run:\n"
        "        run.log_metrics({'loss': 1.0}, step=i)\n"
    )
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    processes = [
        subprocess.Popen([sys.executable, "-c", program, uri], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs == ["", ""]
    assert len(Tracker(uri).find_runs("same", {"mlflow.source.name": "raylign"})) == 40


def test_nested_params_get_dotted_names() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": {}, "e": [1]}) == {"a.b.c": 1, "d": {}, "e": [1]}
