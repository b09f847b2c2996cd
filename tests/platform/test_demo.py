"""`raylign demo`, small: it ends, its page tells what was measured, and a rerun makes good a kill at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raylign.platform.data.shards import ShardReader
from raylign.platform.data.verify import verify
from raylign.platform.demo import DemoOptions, plan
from raylign.platform.models import champion

SMALL = [
    *("--scenes", "12", "--frames", "2", "--size", "96", "--epochs", "2", "--steps-per-epoch", "2"),
    *("--trials", "2", "--trial-epochs", "1", "--trial-steps", "1"),
]


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-m", "raylign.platform.cli", "demo", *SMALL]
    log = (folder / "demo.log").open("ab")
    return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)


def check_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = str(folder / "runs" / "demo" / "data")
    assert verify(data) == []
    assert ShardReader(data).keys == [f"{index:06d}" for index in range(12)]
    report = (folder / "runs" / "demo" / "report.html").read_text()
    assert report.count("<section>") == 7
    assert 'src="http' not in report
    assert "href=" not in report
    rows = json.loads((folder / "runs" / "demo" / "evaluation.json").read_text())["rows"]
    gain = {row["method"]: row["metrics"]["psnr_overlap"]["mean"] for row in rows}
    assert {"identity", "sift"} < set(gain)
    ours = next(value for name, value in gain.items() if name not in ("identity", "sift"))
    assert f"{ours - gain['identity']:+.1f} dB" in report
    pair = folder / "runs" / "demo" / "pair"
    assert (pair / "served.png").read_bytes() == (pair / "aligned.png").read_bytes()
    monkeypatch.chdir(folder)
    assert champion().name == "demo"


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def finish(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start(folder)
    assert process.wait(timeout=900) == 0, (folder / "demo.log").read_text()[-2000:]
    check_finished(folder, monkeypatch)


def made(folder: Path) -> dict[str, int]:
    """When the shards and the trained weights were written."""
    runs = folder / "runs"
    files = [
        *(runs / "demo" / "data" / "shards").iterdir(),
        runs / "train" / "demo" / "checkpoint" / "model.safetensors",
    ]
    return {file.name: file.stat().st_mtime_ns for file in files}


@pytest.mark.timeout(1000)
def test_the_demo_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_demo_ends_after_a_kill_and_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start(tmp_path)
    # Rendered and trained; the sweep has begun.
    deadline = time.monotonic() + 400
    while not (tmp_path / "runs" / "tune" / "demo").exists() and time.monotonic() < deadline:
        assert process.poll() is None, (tmp_path / "demo.log").read_text()[-2000:]
        time.sleep(0.2)
    kill(process)
    before = made(tmp_path)
    finish(tmp_path, monkeypatch)
    assert made(tmp_path) == before


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_ends_after_kills_at_random_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.SystemRandom().randrange(10**6)
    moments = [random.Random(seed + turn).uniform(1, 100) for turn in range(6)]
    print(f"seed {seed}: kills after {[round(moment) for moment in moments]} s")
    for seconds in moments:
        process = start(tmp_path)
        time.sleep(seconds)
        kill(process)
    finish(tmp_path, monkeypatch)
    # And again: everything is done.
    before = made(tmp_path)
    finish(tmp_path, monkeypatch)
    assert made(tmp_path) == before


def test_every_step_is_a_command_of_the_cli() -> None:
    from raylign.platform.cli import COMMANDS

    steps = plan(DemoOptions())
    assert list(steps) == ["render", "train", "tune", "evaluate", "promote"]
    assert all(step.arguments[0] in COMMANDS for step in steps.values())
