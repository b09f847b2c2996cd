"""The driver's loop with actors that misbehave on purpose, in the place of Blender."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from raylign.methods.errors import InputError, RaylignError
from raylign.platform.data.shards import DatasetInfo, ShardReader, published_shards
from raylign.rendering import farm
from raylign.rendering.farm import Farm, Shard


def fake_worker() -> type[Any]:
    """A worker that does what a scene's JSON says. Defined in here so that Ray sends it by value."""

    class FakeWorker:
        def __init__(self, kind: str, url: str, pictures: str | None, threads: int, device: str) -> None:
            assert (kind, threads, device) == ("fake", 1, "cpu")
            self.url = url
            self.writer: Any = None
            self.memory = 100.0

        def hello(self) -> dict[str, Any]:
            import os

            import webdataset  # noqa: F401  what a shard needs, now: a scene's time is its own

            if Path(self.url, "do-not-start").exists():
                os._exit(1)
            if Path(self.url, "no-blender").exists():
                return {"status": "stop", "reason": "Blender cannot be imported"}
            if Path(self.url, "grows").exists():
                self.memory = 5000.0
            return {"status": "done", "node": "here"}

        def render(self, shard: str, scene: str) -> dict[str, Any]:
            import os
            import time

            from raylign.platform.data.shards import ShardWriter

            spec = json.loads(scene)
            tried = Path(self.url, f"tried-{spec['key']}")
            with tried.open("a") as log:
                log.write(f"{os.getpid()}\n")
            if len(tried.read_text().split()) <= spec.get("times", 0):
                if spec["do"] == "die":
                    os._exit(1)
                if spec["do"] == "hang":
                    time.sleep(600)
                if spec["do"] == "raise":
                    raise ValueError("a bug")
                return {"status": spec["do"], "reason": "on purpose"}
            self.writer = self.writer or ShardWriter(self.url, shard)
            self.writer.write(spec["key"], {"meta.json": scene.encode()})
            return {"status": "done"}

        def publish(self) -> dict[str, Any]:
            writer, self.writer = self.writer, None
            writer.close()
            return {"status": "done", "memory": self.memory}

    return FakeWorker


Run = Callable[..., dict[str, str]]


@pytest.fixture
def run(tmp_path: Path, ray_local: None) -> Run:
    """Render eight scenes in shards of two; `scenes` says what single ones do, `times` how often."""

    def start(scenes: Mapping[int, tuple[str, int]] | None = None, **settings: Any) -> dict[str, str]:
        def scene(index: int) -> str:
            do, times = (scenes or {}).get(index, ("done", 0))
            return json.dumps({"key": f"{index:06d}", "do": do, "times": times})

        shards = [Shard(f"{number:06d}", range(2 * number, 2 * number + 2)) for number in range(4)]
        options = {"kind": "fake", "url": str(tmp_path), "scene": scene, "workers": 2, "worker_class": fake_worker()}
        return Farm(**{**options, **settings}).render(shards)  # type: ignore[arg-type]

    return start


def keys(folder: Path) -> list[str]:
    DatasetInfo("sequence", "fake", {}, 0, 8, 2, {"train": [0, 8]}, ["meta.json"]).save(str(folder))
    return ShardReader(str(folder)).keys


def tries(folder: Path, key: str) -> int:
    return len((folder / f"tried-{key}").read_text().split())


ALL = [f"{index:06d}" for index in range(8)]


@pytest.mark.parametrize("workers", [2, 4])
def test_every_scene_is_rendered_once(run: Run, tmp_path: Path, workers: int) -> None:
    """Also with more workers than CPUs: those that wait for a CPU hold nothing up."""
    counted: list[int] = []
    assert run(workers=workers, on_scene=lambda change, node: counted.append(change)) == {}
    assert keys(tmp_path) == ALL
    assert sum(counted) == 8
    assert {tries(tmp_path, key) for key in ALL} == {1}


def test_scenes_that_fail_are_tried_again_and_then_put_aside(run: Run, tmp_path: Path) -> None:
    told: list[dict[str, str]] = []
    attempts: list[int] = []
    counted: list[int] = []
    failed = run(
        {1: ("failed", 2), 3: ("failed", 99), 5: ("raise", 1), 7: ("die", 99)},
        on_put_aside=lambda each: told.append(dict(each)),
        on_failure=lambda: attempts.append(1),
        on_scene=lambda change, node: counted.append(change),
    )
    assert failed == {"000003": "on purpose", "000007": "its render process died"}
    assert told[-1] == failed
    assert keys(tmp_path) == [key for key in ALL if key not in failed]
    assert [tries(tmp_path, key) for key in ("000001", "000003", "000005", "000007")] == [3, 3, 2, 3]
    # Scene 6 went down with its shard three times, and was rendered a fourth time to stay.
    assert tries(tmp_path, "000006") == 4
    assert sum(counted) == 6
    assert len(attempts) == 2 + 3 + 1 + 3


def test_a_stuck_scene_is_given_up(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farm, "ATTEMPTS", 1)
    assert run({5: ("hang", 99)}, scene_timeout=6.0) == {"000005": "took longer than 6 s"}
    assert keys(tmp_path) == [key for key in ALL if key != "000005"]


def test_a_shard_without_any_scene_is_not_published(run: Run, tmp_path: Path) -> None:
    assert set(run({4: ("failed", 99), 5: ("failed", 99)})) == {"000004", "000005"}
    assert published_shards(str(tmp_path)) == {"000000", "000001", "000003"}


def test_what_nobody_can_get_past_stops_the_job(run: Run) -> None:
    with pytest.raises(InputError, match="on purpose"):
        run({2: ("stop", 99)})


def test_missing_blender_stops_the_job(run: Run, tmp_path: Path) -> None:
    (tmp_path / "no-blender").touch()
    with pytest.raises(InputError, match="cannot be imported"):
        run()


def test_actors_that_do_not_start_end_the_job(run: Run, tmp_path: Path) -> None:
    (tmp_path / "do-not-start").touch()
    with pytest.raises(RaylignError, match="do not start"):
        run(workers=1)


def test_actors_are_recycled(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farm, "RECYCLE_SCENES", 4)
    assert run(workers=1) == {}
    assert keys(tmp_path) == ALL
    assert len({(tmp_path / f"tried-{key}").read_text() for key in ALL}) == 2


def test_actors_that_hold_much_memory_are_replaced(run: Run, tmp_path: Path) -> None:
    (tmp_path / "grows").touch()
    assert run(workers=1, memory_limit=4.0) == {}
    assert keys(tmp_path) == ALL
    # One process a shard.
    assert len({(tmp_path / f"tried-{key}").read_text() for key in ALL}) == 4


def test_without_a_number_there_are_as_many_actors_as_the_cluster_holds(run: Run, tmp_path: Path) -> None:
    nodes: list[str] = []
    assert run(workers=None, on_scene=lambda change, node: nodes.append(node)) == {}
    assert nodes == ["here"] * 8
    assert [Farm("fake", "", str, worker_cpus=each).wanted() for each in (1, 2)] == [2, 1]
    assert Farm("fake", "", str, workers=5).wanted() == 5


def test_a_gpu_that_is_not_there_is_told(run: Run) -> None:
    with pytest.raises(InputError, match="no GPU; use --device cpu"):
        run(device="cuda")


def test_scenes_are_asked_for_when_they_are_rendered(tmp_path: Path, ray_local: None) -> None:
    """So a job of a million scenes needs no more memory than one of ten."""
    asked: list[int] = []
    done: list[int] = []

    def scene(index: int) -> str:
        asked.append(index)
        assert len(asked) - len(done) <= 2
        return json.dumps({"key": f"{index:06d}", "do": "done"})

    shards = [Shard(f"{number:06d}", range(2 * number, 2 * number + 2)) for number in range(4)]
    farm_of_two = Farm("fake", str(tmp_path), scene, workers=2, worker_class=fake_worker())
    farm_of_two.on_scene = lambda change, node: done.append(change)
    assert farm_of_two.render(shards) == {}
    assert sorted(asked) == list(range(8))
