"""Trainings on Ray that lose workers and machines, or must not be tried again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from raylign.methods.errors import InputError
from raylign.platform.cli import main
from raylign.platform.tracking import Tracker
from raylign.platform.training.command import check_storage
from raylign.platform.training.history import read_history
from raylign.platform.training.options import spec_to_dict
from raylign.platform.training.placement import place
from tests.datasets import write_sequences
from tests.training import LEARNED, small_spec

SCRIPT = Path(__file__).with_name("cluster_training.py")
ROOT = Path(__file__).parents[2]


def run(
    folder: Path, method: str, url: str, *numbers: int, lr: float = 3e-4
) -> tuple[list[dict[str, float]], list[str]]:
    """A training of 300 steps on a cluster of its own; the metrics of its epochs, and what troubled it."""
    folder.mkdir()
    spec = small_spec(method, url, epochs=3, steps_per_epoch=100, batch_size=4, checkpoint_steps=10, val_every=3, lr=lr)
    (folder / "spec.json").write_text(json.dumps(spec_to_dict(spec)))
    # Whatever Ray runs in this process, the cluster has its own.
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    arguments = [str(folder), str(folder / "spec.json"), *map(str, numbers)]
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)
    history = json.loads((folder / "history.json").read_text())
    return history, json.loads((folder / "events.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("method", LEARNED)
def test_300_steps_with_five_kills_and_a_machine_that_leaves(
    method: str, data_for: Callable[[str], str], tmp_path: Path
) -> None:
    url = data_for(method)
    quiet, none = run(tmp_path / "quiet", method, url, 0, 0, 0)
    troubled, troubles = run(tmp_path / "troubled", method, url, 20261121, 5, 1)
    assert none == []
    assert sorted(each.split()[0] for each in troubles) == ["kill"] * 5 + ["leave"]
    assert [entry["epoch"] for entry in troubled] == [1, 2, 3]
    assert troubled[-1]["step"] == 100
    for name in ("loss", "val_psnr_overlap"):
        assert troubled[-1][name] == pytest.approx(quiet[-1][name], rel=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("method", LEARNED)
def test_a_training_goes_on_with_the_workers_that_are_left(
    method: str, data_for: Callable[[str], str], tmp_path: Path
) -> None:
    url = data_for(method)
    # The usual learning rate, as in the comparison of 1, 2 and 4 workers: rounding grows faster at higher ones.
    quiet, _ = run(tmp_path / "quiet", method, url, 0, 0, 0, lr=1e-4)
    smaller, troubles = run(tmp_path / "smaller", method, url, 1, 0, 1, 1, lr=1e-4)
    assert len(troubles) == 1
    assert (quiet[-1]["workers"], smaller[-1]["workers"]) == (2, 1)
    assert smaller[-1]["loss"] == pytest.approx(quiet[-1]["loss"], rel=1e-3)


def test_what_would_only_be_repeated_is_not_tried_again(
    tmp_path: Path, workdir: Path, ray_local: None, capsys: pytest.CaptureFixture[str]
) -> None:
    url = write_sequences(tmp_path / "d", scenes=12, size=96)
    shard = sorted((tmp_path / "d" / "shards").glob("*.tar"))[0]
    content = bytearray(shard.read_bytes())
    start = content.index(b"\x89PNG")
    content[start + 60 : start + 2000] = bytes(1940)
    shard.write_bytes(content)
    spec = small_spec("crossscale", url)
    flags = [f"--model.{name.replace('_', '-')}" for name in spec.model]
    model = [
        part
        for flag, value in zip(flags, spec.model.values(), strict=True)
        for part in (flag, *map(str, value if isinstance(value, tuple) else (value,)))
    ]
    arguments = ["train", "crossscale", "--data", url, "--name", "t", "--loop.steps-per-epoch", "8", *model]
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert "raylign data verify" in told.strip().splitlines()[-1]
    assert "going on from the last checkpoint" not in told


def test_a_cluster_is_shared_evenly() -> None:
    assert place([(8, 0)], 2, 0).cpus == 4
    # Two workers of three CPUs would fit no machine.
    assert place([(2, 0), (2, 0), (2, 0)], 2, 0).cpus == 2
    assert place([(2, 0), (2, 0), (2, 0)], 4, 0).cpus == 1
    assert place([(0, 0), (16, 2), (16, 2)], 4, 0).gpu
    assert place([(0, 0), (16, 2), (16, 2)], 4, 0).cpus == 8
    few = place([(2, 0)], 8, 2)
    assert (few.least, few.most, few.cpus) == (2, 8, 1)


def test_a_cluster_that_is_too_small_is_told() -> None:
    with pytest.raises(InputError, match=r"--workers 4 needs 4 CPUs.*the cluster has 3 on 2 machines"):
        place([(2, 0), (1, 0)], 4, 0)
    with pytest.raises(InputError, match=r"needs 2 GPUs.*has 1 on 1 machine;"):
        place([(64, 1)], 2, 0)


@pytest.mark.parametrize("url", ["/proc/nothing", "file:///proc/nothing", "nonsense://bucket"])
def test_storage_that_cannot_be_written(url: str) -> None:
    with pytest.raises(InputError):
        check_storage(url)


def test_storage_is_probed_without_a_trace(tmp_path: Path) -> None:
    check_storage(str(tmp_path / "a"))
    check_storage((tmp_path / "b").as_uri())
    assert list((tmp_path / "a").iterdir()) == list((tmp_path / "b").iterdir()) == []


def test_a_killed_command_goes_on_in_the_same_mlflow_run(tmp_path: Path, workdir: Path) -> None:
    url = write_sequences(tmp_path / "d", scenes=12, size=96)
    spec = small_spec("crossscale", url, epochs=3, steps_per_epoch=4, checkpoint_steps=1)
    (tmp_path / "config.yaml").write_text(json.dumps(spec_to_dict(spec)))
    arguments = ["--config", str(tmp_path / "config.yaml"), "--name", "t", "--backend", "plain"]
    command = [sys.executable, "-m", "raylign.platform.cli", "train", *arguments]
    folder = workdir / "runs" / "train" / "t"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while not (folder / "metrics.jsonl").exists() and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    before = json.loads((folder / "mlflow.json").read_text())
    assert main(["train", *arguments]) == 2
    assert main(["train", *arguments, "--resume"]) == 0
    assert json.loads((folder / "mlflow.json").read_text()) == before
    assert [entry["epoch"] for entry in read_history(folder)] == [1, 2, 3]
    runs = Tracker(None).find_runs("train", {"raylign.run": "t"})
    assert [run.info.run_id for run in runs] == [before["run_id"]]
    assert len(list((folder / "pictures").glob("*.png"))) == 3
