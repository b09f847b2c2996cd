"""`raylign render --dry-run`: what it predicts, and that a real run is as it said."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import pytest

from raylign.platform import cli
from raylign.platform.data.shards import published_shards
from raylign.rendering import command, estimate
from raylign.rendering.estimate import Sample, Spread, duration, makespan, money, predict, size

needs_blender = pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="Blender is raylign[render]")


def test_each_job_goes_to_the_first_free_worker() -> None:
    assert makespan([3, 1, 1, 1], 2) == 3
    assert makespan([1, 1, 1, 3], 2) == 4
    assert makespan([2.5], 4) == 2.5


def test_equal_scenes_are_predicted_exactly() -> None:
    sample = Sample(seconds=[2.0] * 5, sizes=[1000] * 5, start=4.0, workers=2)
    found = predict(sample, scenes=40, shard_size=4, workers=2, worker_cpus=3, seed=0)
    assert found.seconds == Spread(44.0, 44.0, 44.0)
    assert found.core_hours.middle == pytest.approx(40 * 2.0 * 3 / 3600)
    assert found.bytes.middle == 40_000
    # More machines than shards do not help any further.
    assert predict(sample, scenes=40, shard_size=4, workers=50, worker_cpus=1, seed=0).seconds.middle == 4 + 4 * 2


def test_unequal_scenes_spread_the_prediction() -> None:
    sample = Sample(seconds=[1.0, 3.0] * 6, sizes=[500, 1500] * 6, start=0.0, workers=1)
    found = predict(sample, scenes=1000, shard_size=8, workers=1, worker_cpus=1, seed=0)
    # Twelve scenes of a standard deviation of 1 s: their mean is known to 0.29 s, nine times of ten to 0.47 s.
    assert found.seconds.middle == pytest.approx(2000, rel=0.06)
    assert found.seconds.low == pytest.approx(1525, rel=0.1)
    assert found.seconds.high == pytest.approx(2475, rel=0.1)
    again = predict(sample, scenes=1000, shard_size=8, workers=1, worker_cpus=1, seed=0)
    assert again == found


def test_numbers_are_told_in_words() -> None:
    assert [duration(each) for each in (3.21, 45, 600, 9000, 200_000)] == [
        "3.2 s",
        "45 s",
        "10 min",
        "2.5 h",
        "2.3 days",
    ]
    assert [size(each) for each in (12, 9.4e6, 3.2e12)] == ["12 B", "9.4 MB", "3.2 TB"]
    assert [money(each) for each in (0.0016, 12.345)] == ["0.0016", "12.35"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--dry-run-scenes", "0"], "--dry-run-scenes"),
        (["--price", "-1"], "--price"),
        (["--price", "nan"], "--price"),
        (["--nodes", "0"], "--nodes"),
    ],
)
def test_mistakes_are_named(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["render", "sidar", "--scenes", "4", "--out", "/tmp/nothing", "--dry-run", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert named in said


@needs_blender
@pytest.mark.slow
def test_a_dry_run_predicts_the_real_run(tmp_path: Path, ray_local: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Time, work and size of the real run lie near the prediction; the dry run leaves nothing behind."""
    out = tmp_path / "data"
    arguments = [
        *("sidar", "--scenes", "48", "--size", "48", "--seed", "5", "--shard-size", "4", "--workers", "2"),
        *("--scene.frames", "3", "--scene.samples", "24", "--out", str(out)),
    ]
    chosen = command.kind("sidar")
    options = command.part(chosen.options)(arguments[1:])
    plan = command.part(chosen.plan)(options)
    sample = estimate.measure(options, plan)
    assert not out.exists()
    assert not list(Path("/tmp").glob("raylign-dry-run-*"))
    predicted = predict(sample, scenes=48, shard_size=4, workers=2, worker_cpus=1, seed=0)
    assert cli.main(["render", *arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "time here" in said
    assert "core-hours" in said
    assert not out.exists()

    start = time.monotonic()
    assert cli.main(["render", *arguments]) == 0
    real = time.monotonic() - start
    size_on_disk = sum((out / "shards" / f"{name}.tar").stat().st_size for name in published_shards(str(out)))
    # The machine may be busier in one of the two; a prediction that forgets a factor of two is caught.
    assert 0.6 * predicted.seconds.low < real < 1.6 * predicted.seconds.high
    assert 0.95 * predicted.bytes.low < size_on_disk < 1.1 * predicted.bytes.high
