"""Drives the render actors: shards go to whoever is free, lost actors are replaced, hopeless scenes are put aside."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from ..methods.errors import InputError, RaylignError
from .actors import Answer, RenderWorker
from .kinds import Device, kind
from .options import Plan, RenderOptions

ATTEMPTS = 3
"""How often a scene may fail, or take its process with it, before it is put aside."""
RECYCLE_SCENES = 256
"""A Blender process is replaced, between two shards, after this many scenes."""
PATIENCE = 60.0
"""Seconds without any actor after which the user is told what is being waited for."""
ROOM_INTERVAL = 5.0
"""Seconds between two looks at how many actors the cluster has room for."""


@dataclass
class Shard:
    """A shard to be made."""

    name: str
    indices: range
    """Its scenes."""
    losses: int = 0
    """How often an actor was lost while it published this shard."""

    @staticmethod
    def key(index: int) -> str:
        """Sample key of a scene."""
        return f"{index:06d}"


@dataclass
class _Lane:
    """An actor, and what it is doing."""

    actor: Any
    stage: str = "hello"
    node: str = ""
    shard: Shard | None = None
    """None until the actor has said hello: one that waits for a CPU keeps no shard from the others."""
    index: int = -1
    """The scene that is being rendered."""
    since: float = 0.0
    done: list[int] = field(default_factory=list)
    """Scenes of the shard that are rendered."""
    scenes_made: int = 0
    reason: str = ""
    """Why the driver ended the actor."""


@dataclass
class Farm:
    """A number of render actors, and what they make."""

    kind: str
    url: str
    scene: Callable[[int], str]
    """What an actor needs to know of a scene, as JSON. Asked for when it is rendered, so that a long job takes no more
    memory than a short one."""
    pictures: str | None = None
    """Folder of the user's pictures."""
    workers: int | None = None
    """Actors; None means as many as the cluster has room for, at any time."""
    device: Device = "cpu"
    worker_cpus: int = 1
    wears: bool = True
    """Whether actors are replaced after `RECYCLE_SCENES` scenes, for what Blender does not give back."""
    memory_limit: float = 3.0
    """GiB that an actor may hold before it is replaced, between two shards."""
    blender_python: str | None = None
    """Python of another environment for the actors."""
    scene_timeout: float = 1800.0
    """Seconds after which a scene's process is given up."""
    worker_class: type[Any] = RenderWorker
    """Class of the actors."""
    on_scene: Callable[[int, str], None] = lambda change, node: None
    """Told after each scene: change of the number of scenes done (negative when a lost shard starts over), node."""
    on_measure: Callable[[Answer], None] = lambda answer: None
    """Told what an actor says of each scene it has rendered."""
    on_failure: Callable[[], None] = lambda: None
    """Told that an attempt at a scene has failed."""
    on_put_aside: Callable[[Mapping[str, str]], None] = lambda failed: None
    """Told the scenes put aside so far, before the shard that lacks the latest is published."""
    failed: dict[str, str] = field(default_factory=dict)
    """Sample key to reason, of the scenes put aside."""
    _attempts: dict[str, int] = field(default_factory=dict)
    _failed_starts: int = 0
    _room: int = 0
    _room_seen: float = -ROOM_INTERVAL

    @classmethod
    def of(cls, options: RenderOptions, plan: Plan) -> Farm:
        """The farm that the options ask for."""
        return cls(
            kind=plan.kind,
            url=options.out,
            scene=plan.scene,
            pictures=plan.folder,
            workers=options.workers,
            device=options.device,
            worker_cpus=options.worker_cpus,
            wears=kind(plan.kind).blender,
            memory_limit=options.memory_limit,
            blender_python=options.blender_python,
            scene_timeout=options.scene_timeout,
        )

    def render(self, shards: list[Shard]) -> dict[str, str]:
        """Make the shards; returns the scenes that were put aside, with the reasons.

        At most one call per actor is under way, so nothing piles up. A shard of which no scene could be rendered is
        not published; the next run tries it again.

        Raises:
            InputError: the actors cannot work at all: no Blender, no GPU, no space left, a picture not seen.
            RaylignError: the actors keep dying at the start, or while they publish.
        """
        waiting = deque(shards)
        lanes: dict[Any, _Lane] = {}
        last_seen = time.monotonic()
        try:
            while waiting or any(lane.shard for lane in lanes.values()):
                idle = sum(lane.shard is None for lane in lanes.values())
                for _ in range(min(self.wanted() - len(lanes), len(waiting) - idle)):
                    self._call(_Lane(self._new_actor()), "hello", lanes)
                if not lanes:
                    # A cluster that has lost its last machine may get another.
                    time.sleep(1.0)
                ready = ray.wait(list(lanes), num_returns=1, timeout=1.0)[0] if lanes else []
                for reference in ready:
                    self._turn(lanes.pop(reference), reference, lanes, waiting)
                self._give_up_stuck(lanes)
                if ready or any(lane.shard for lane in lanes.values()):
                    last_seen = time.monotonic()
                elif time.monotonic() - last_seen > PATIENCE:
                    what = "CPU" if self.device == "cpu" else "GPU"
                    print(f"waiting for a free {what} of the Ray cluster", file=sys.stderr, flush=True)
                    last_seen = time.monotonic()
        finally:
            for lane in lanes.values():
                ray.kill(lane.actor)
        return self.failed

    def wanted(self) -> int:
        """How many actors there should be now."""
        if time.monotonic() - self._room_seen >= ROOM_INTERVAL:
            there = ray.cluster_resources()
            if self.device != "cpu" and not there.get("GPU"):
                raise InputError(f"--device {self.device}: the Ray cluster has no GPU; use --device cpu")
            per_actor = self._resources()
            names = {"num_cpus": "CPU", "num_gpus": "GPU"}
            self._room = min(int(there.get(names[each], 0) / amount) for each, amount in per_actor.items())
            self._room_seen = time.monotonic()
        return self.workers or self._room

    def _turn(self, lane: _Lane, reference: Any, lanes: dict[Any, _Lane], waiting: deque[Shard]) -> None:
        """Take an actor's answer and give it its next call, or let it go."""
        try:
            answer: Answer = ray.get(reference)
        except RayError as error:
            self._lost(lane, error, waiting)
            return
        if answer["status"] == "stop":
            ray.kill(lane.actor)
            raise InputError(answer["reason"])
        if lane.stage == "hello":
            self._failed_starts, lane.node = 0, answer["node"]
        elif lane.stage == "render" and answer["status"] == "done":
            lane.done.append(lane.index)
            self.on_measure(answer)
            self.on_scene(1, lane.node)
        elif lane.stage == "render":
            self._count_failure(lane.index, answer["reason"])
        elif lane.stage == "publish":
            lane.scenes_made += len(lane.done)
            lane.shard = None
            worn = self.wears and lane.scenes_made >= RECYCLE_SCENES
            if worn or answer["memory"] > self.memory_limit * 1024:
                self._retire(lane)
                return
        self._next(lane, lanes, waiting)

    def _next(self, lane: _Lane, lanes: dict[Any, _Lane], waiting: deque[Shard]) -> None:
        """Give a free actor its next scene, or its shard to publish, or another shard."""
        while True:
            if lane.shard is None:
                if not waiting:
                    self._retire(lane)
                    return
                lane.shard, lane.done = waiting.popleft(), []
            indices, done = lane.shard.indices, set(lane.done)
            index = next((each for each in indices if Shard.key(each) not in self.failed and each not in done), None)
            if index is not None or lane.done:
                lane.index = -1 if index is None else index
                self._call(lane, "publish" if index is None else "render", lanes)
                return
            lane.shard = None

    def _call(self, lane: _Lane, stage: str, lanes: dict[Any, _Lane]) -> None:
        lane.stage, lane.since = stage, time.monotonic()
        if lane.shard is None:
            reference = lane.actor.hello.remote()
        elif stage == "render":
            reference = lane.actor.render.remote(lane.shard.name, self.scene(lane.index))
        else:
            reference = lane.actor.publish.remote()
        lanes[reference] = lane

    def _count_failure(self, index: int, reason: str) -> None:
        key = Shard.key(index)
        self._attempts[key] = self._attempts.get(key, 0) + 1
        if self._attempts[key] >= ATTEMPTS:
            self.failed[key] = reason
            self.on_put_aside(self.failed)
        self.on_failure()

    def _lost(self, lane: _Lane, error: RayError, waiting: deque[Shard]) -> None:
        """An actor is gone, with the scenes it had rendered and not yet published."""
        with contextlib.suppress(RayError):
            ray.kill(lane.actor)
        reason = lane.reason or _death(error)
        if lane.shard is None:
            self._failed_starts += 1
            if self._failed_starts >= ATTEMPTS * max(1, self.wanted()):
                told = " ".join(str(error).split())[:300]
                raise RaylignError(f"the render processes do not start: {told or reason}")
            return
        self.on_scene(-len(lane.done), lane.node)
        waiting.appendleft(lane.shard)
        # A machine that leaves the cluster takes its processes with it; no scene is to blame for that.
        if _node_died(error):
            return
        if lane.stage == "render":
            self._count_failure(lane.index, reason)
            return
        lane.shard.losses += 1
        if lane.shard.losses >= ATTEMPTS:
            raise RaylignError(f"shard {lane.shard.name} cannot be published: {reason}")

    def _give_up_stuck(self, lanes: dict[Any, _Lane]) -> None:
        for lane in lanes.values():
            if lane.stage == "render" and not lane.reason and time.monotonic() - lane.since > self.scene_timeout:
                lane.reason = f"took longer than {self.scene_timeout:g} s"
                ray.kill(lane.actor)

    def _retire(self, lane: _Lane) -> None:
        """Let an actor leave in good order: its shard is out, and Blender tidies up its temporary folder."""
        lane.actor.__ray_terminate__.remote()

    def _resources(self) -> dict[str, int]:
        """What Ray reserves for an actor."""
        return {"num_cpus": self.worker_cpus, **({} if self.device == "cpu" else {"num_gpus": 1})}

    def _new_actor(self) -> Any:
        environment = {"runtime_env": {"py_executable": self.blender_python}} if self.blender_python else {}
        remote = ray.remote(max_restarts=0, scheduling_strategy="SPREAD")(self.worker_class)
        # As many threads for Cycles as CPUs are reserved.
        placed = remote.options(**self._resources(), **environment)
        return placed.remote(self.kind, self.url, self.pictures, self.worker_cpus, self.device)


def _node_died(error: RayError) -> bool:
    return isinstance(error, RayActorError) and "node has died" in str(error)


def _death(error: RayError) -> str:
    """One line about the end of an actor."""
    if isinstance(error, RayActorError):
        return "its render process died"
    return f"its render process failed: {' '.join(str(error).split())[-200:]}"
