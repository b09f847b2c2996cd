"""How fast the farm is, how much memory it takes, and what it survives. `make bench` prints the figures."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from raylign.platform import cli
from raylign.platform.data.shards import DatasetInfo, ShardReader
from raylign.rendering.command import kind, part
from raylign.rendering.farm import Farm, Shard
from raylign.rendering.job import shards_of
from raylign.rendering.options import Plan, RenderOptions
from raylign.rendering.watch import Watch

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="Blender is raylign[render]"),
]

BARE = Path(__file__).with_name("bare_blender.py")


def planned(*arguments: str) -> tuple[RenderOptions, Plan]:
    chosen = kind("sidar")
    options = part(chosen.options)(list(arguments))
    return options, part(chosen.plan)(options)


def bare_rate(plan: Plan) -> float:
    """Scenes per second of two bare Blender processes, each with every other scene."""
    command = [sys.executable, str(BARE), plan.kind]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    said: list[str] = []

    def feed(number: int) -> None:
        scenes = "\n".join(plan.scene(index) for index in range(number, plan.info.scenes, 2))
        said.append(processes[number].communicate(scenes)[0])

    feeders = [threading.Thread(target=feed, args=(number,)) for number in range(2)]
    for feeder in feeders:
        feeder.start()
    for feeder in feeders:
        feeder.join()
    lines = [line.split() for output in said for line in output.splitlines()]
    starts = [float(when) for what, when in lines if what == "start"]
    ends = [float(when) for what, when in lines if what == "done"]
    assert len(ends) == plan.info.scenes
    # What one process still does after the other has run out of scenes is not what two processes do.
    last = min(max(float(line.split()[1]) for line in output.splitlines()) for output in said)
    return sum(end <= last for end in ends) / (last - min(starts))


def farm_rate(options: RenderOptions, plan: Plan) -> float:
    """Scenes per second of two actors, from the first scene's start on; writing the shards is included."""
    farm = Farm.of(options, plan)
    begun: list[float] = []
    ended: list[tuple[float, int]] = []

    def scene(index: int) -> str:
        begun.append(time.monotonic())
        return plan.scene(index)

    farm.scene = scene
    farm.on_scene = lambda change, node: ended.append((time.monotonic(), change))
    assert farm.render([Shard(name, indices) for name, indices in shards_of(plan.info).items()]) == {}
    # Count from when both actors are at work to when the first has nothing left to do.
    first, last = begun[1], ended[-2][0]
    return sum(change for when, change in ended if first < when <= last) / (last - first)


def test_two_actors_render_as_much_as_two_bare_blenders(tmp_path: Path, ray_local: None) -> None:
    ratios = []
    for turn in range(3):
        out = tmp_path / str(turn)
        options, plan = planned(
            *("--scenes", "64", "--size", "96", "--seed", "1", "--shard-size", "4", "--workers", "2"),
            *("--preset", "handheld", "--scene.frames", "5", "--out", str(out)),
        )
        bare, ours = bare_rate(plan), farm_rate(options, plan)
        ratios.append(ours / bare)
        print(f"\nbare {bare:.3f} scenes/s, farm {ours:.3f} scenes/s: {ours / bare:.3f}", end="")
    print(f"\nmedian {statistics.median(ratios):.3f}")
    assert statistics.median(ratios) >= 0.97


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted((folder / "shards").iterdir())}


def render(out: Path) -> int:
    return cli.main(
        [
            *(
                "render",
                "sidar",
                "--scenes",
                "2000",
                "--size",
                "64",
                "--seed",
                "9",
                "--out",
                str(out),
                "--workers",
                "2",
            ),
            *("--preset", "handheld", "--scene.frames", "2", "--scene.samples", "4"),
        ]
    )


def render_processes() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "RenderWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_two_thousand_scenes_survive_a_kill_every_ten_seconds(
    tmp_path: Path, ray_local: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every scene once, the same bytes as without kills, and a driver whose memory stays flat."""
    memory: list[float] = []
    counted = Watch.scene

    def count(watch: Watch, change: int, node: str) -> None:
        counted(watch, change, node)
        memory.append(psutil.Process().memory_info().rss / 2**20)

    monkeypatch.setattr(Watch, "scene", count)
    calm, disturbed = tmp_path / "calm", tmp_path / "disturbed"
    start = time.monotonic()
    assert render(calm) == 0
    calm_seconds = time.monotonic() - start
    at_ten, at_end = memory[9], memory[-1]
    print(f"\nwithout kills {calm_seconds:.0f} s; driver {at_ten:.1f} MiB at scene 10, {at_end:.1f} at scene 2000")

    over = threading.Event()
    kills = 0

    def killer() -> None:
        nonlocal kills
        draw = random.Random(0)
        while not over.wait(10.0):
            processes = render_processes()
            if processes:
                draw.choice(processes).kill()
                kills += 1

    thread = threading.Thread(target=killer)
    thread.start()
    start = time.monotonic()
    try:
        assert render(disturbed) == 0
    finally:
        over.set()
        thread.join()
    print(f"with {kills} kills {time.monotonic() - start:.0f} s")
    info = DatasetInfo.load(str(disturbed))
    assert info.complete
    assert not info.failed
    assert ShardReader(str(disturbed)).keys == [f"{index:06d}" for index in range(2000)]
    assert digests(disturbed) == digests(calm)
    assert kills >= 10
    assert at_end < at_ten + 8
    # The killed left their temporary folders to the next; those of the last two may still be there.
    assert len(list(Path("/tmp").glob("raylign-render-*"))) <= 3
