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

ATTEMPTS = 3
"""How often a scene may fail, or take its process with it, before it is put aside."""
RECYCLE_SCENES = 256
"""A Blender process is replaced, between two shards, after this many scenes."""
RECYCLE_MEMORY = 3072.0
"""And when it has taken this much memory, in MiB."""
PATIENCE = 60.0
"""Seconds without any actor after which the user is told what is being waited for."""


@dataclass
class Shard:
    """A shard to be made."""

    name: str
    scenes: dict[str, str]
    """Sample key to the scene's specification in JSON."""
    losses: int = 0
    """How often an actor was lost while it published this shard."""


@dataclass
class _Lane:
    """An actor, and what it is doing."""

    actor: Any
    stage: str = "hello"
    shard: Shard | None = None
    """None until the actor has said hello: one that waits for a CPU keeps no shard from the others."""
    key: str = ""
    """The scene that is being rendered."""
    since: float = 0.0
    done: list[str] = field(default_factory=list)
    """Scenes of the shard that are rendered."""
    scenes_made: int = 0
    reason: str = ""
    """Why the driver ended the actor."""


@dataclass
class Farm:
    """A number of render actors, and what they make."""

    url: str
    pictures: str | None
    workers: int
    blender_python: str | None = None
    """Python of another environment for the actors."""
    scene_timeout: float = 1800.0
    """Seconds after which a scene's process is given up."""
    worker_class: type[Any] = RenderWorker
    """Class of the actors."""
    on_scene: Callable[[int, int], None] = lambda change, failed: None
    """Told after each scene: change of the number of scenes done (negative when a lost shard starts over), failures."""
    on_failure: Callable[[Mapping[str, str]], None] = lambda failed: None
    """Told the failures so far, before the shard that lacks the scene is published."""
    failed: dict[str, str] = field(default_factory=dict)
    """Sample key to reason, of the scenes put aside."""
    _attempts: dict[str, int] = field(default_factory=dict)
    _failed_starts: int = 0

    def render(self, shards: list[Shard]) -> dict[str, str]:
        """Make the shards; returns the scenes that were put aside, with the reasons.

        At most one call per actor is under way, so nothing piles up. A shard of which no scene could be rendered is
        not published; the next run tries it again.

        Raises:
            InputError: the actors cannot work at all: no Blender, no space left, a picture that they do not see.
            RaylignError: the actors keep dying at the start, or while they publish.
        """
        waiting = deque(shards)
        lanes: dict[Any, _Lane] = {}
        last_seen = time.monotonic()
        try:
            while waiting or any(lane.shard for lane in lanes.values()):
                idle = sum(lane.shard is None for lane in lanes.values())
                for _ in range(min(self.workers - len(lanes), len(waiting) - idle)):
                    self._call(_Lane(self._new_actor()), "hello", lanes)
                ready, _ = ray.wait(list(lanes), num_returns=1, timeout=1.0)
                for reference in ready:
                    self._turn(lanes.pop(reference), reference, lanes, waiting)
                self._give_up_stuck(lanes)
                if ready or any(lane.shard for lane in lanes.values()):
                    last_seen = time.monotonic()
                elif time.monotonic() - last_seen > PATIENCE:
                    print("waiting for a free CPU of the Ray cluster", file=sys.stderr, flush=True)
                    last_seen = time.monotonic()
        finally:
            for lane in lanes.values():
                ray.kill(lane.actor)
        return self.failed

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
            self._failed_starts = 0
        elif lane.stage == "render" and answer["status"] == "done":
            lane.done.append(lane.key)
            self.on_scene(1, len(self.failed))
        elif lane.stage == "render":
            self._count_failure(lane.key, answer["reason"])
        elif lane.stage == "publish":
            lane.scenes_made += len(lane.done)
            lane.shard = None
            if lane.scenes_made >= RECYCLE_SCENES or answer["memory"] > RECYCLE_MEMORY:
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
            open_keys = (key for key in lane.shard.scenes if key not in self.failed and key not in lane.done)
            key = next(open_keys, None)
            if key is not None or lane.done:
                lane.key = key or ""
                self._call(lane, "render" if key else "publish", lanes)
                return
            lane.shard = None

    def _call(self, lane: _Lane, stage: str, lanes: dict[Any, _Lane]) -> None:
        lane.stage, lane.since = stage, time.monotonic()
        if lane.shard is None:
            reference = lane.actor.hello.remote()
        elif stage == "render":
            reference = lane.actor.render.remote(lane.shard.name, lane.shard.scenes[lane.key])
        else:
            reference = lane.actor.publish.remote()
        lanes[reference] = lane

    def _count_failure(self, key: str, reason: str) -> None:
        self._attempts[key] = self._attempts.get(key, 0) + 1
        if self._attempts[key] >= ATTEMPTS:
            self.failed[key] = reason
            self.on_failure(self.failed)
            self.on_scene(0, len(self.failed))

    def _lost(self, lane: _Lane, error: RayError, waiting: deque[Shard]) -> None:
        """An actor is gone, with the scenes it had rendered and not yet published."""
        with contextlib.suppress(RayError):
            ray.kill(lane.actor)
        reason = lane.reason or _death(error)
        if lane.shard is None:
            self._failed_starts += 1
            if self._failed_starts >= ATTEMPTS * self.workers:
                raise RaylignError(f"the render processes do not start: {reason}")
            return
        self.on_scene(-len(lane.done), len(self.failed))
        waiting.appendleft(lane.shard)
        if lane.stage == "render":
            self._count_failure(lane.key, reason)
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

    def _new_actor(self) -> Any:
        environment = {"runtime_env": {"py_executable": self.blender_python}} if self.blender_python else {}
        remote = ray.remote(num_cpus=1, max_restarts=0)(self.worker_class)
        # One CPU reserved, so one thread for Cycles.
        return remote.options(**environment).remote(self.url, self.pictures, 1)


def _death(error: RayError) -> str:
    """One line about the end of an actor."""
    if isinstance(error, RayActorError):
        return "its render process died"
    return f"its render process failed: {' '.join(str(error).split())[-200:]}"
