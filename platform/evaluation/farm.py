"""Many pieces of work at a time: in this process, or in Ray actors that may die."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ...methods.errors import RaylignError
from ..cluster import RayAhead
from .work import Piece, Worker, WorkOptions

P = TypeVar("P", bound=Piece)

DEATHS = 2
"""A piece of work that took so many workers with it is cut; one that cannot be cut is lost."""

STARTS = 3
"""So many workers in a row that do not come up are no accident."""

_LOST = f"its worker process died {DEATHS} times, most likely out of memory"


@dataclass(frozen=True)
class FarmOptions:
    """How many workers there are on Ray."""

    workers: int | None
    """Processes; None means as many as the cluster has room for."""
    gpus_per_worker: float


class Farm(Protocol):
    """A place where work is done."""

    def run(self, pieces: Sequence[P], done: Callable[[P, Any], None]) -> None:
        """Do all pieces; `done` gets each, or what it was cut into, with its answer, in this process.

        Raises:
            RaylignError: a case cannot be read or a model not be loaded; or a worker cannot be placed or does not
                start.
        """


@contextlib.contextmanager
def open_farm(work: WorkOptions, options: FarmOptions, ray: RayAhead | None) -> Iterator[Farm]:
    """A farm, whose workers end with the block.

    Args:
        work: what every worker does alike.
        options: how many workers; they come up when there is something to do.
        ray: where they are; None for this process alone.
    """
    if ray is None:
        yield _Here(work)
        return
    farm = _OnRay(work, options, ray)
    try:
        yield farm
    finally:
        farm.close()


class _Here:
    """This process: one piece after the other."""

    def __init__(self, work: WorkOptions) -> None:
        self._worker = Worker(work)

    def run(self, pieces: Sequence[P], done: Callable[[P, Any], None]) -> None:
        """See `Farm.run`."""
        for piece in pieces:
            done(piece, piece.do(self._worker))


class _OnRay:
    """Ray actors. One that dies is replaced, and its piece done again; they stay for the next run."""

    def __init__(self, work: WorkOptions, options: FarmOptions, ray: RayAhead) -> None:
        self._work, self._options, self._ray = work, options, ray
        self._idle: list[Any] = []
        # A worker has no work until it has come up: one that waits for a CPU keeps none from the others.
        self._calls: dict[Any, tuple[Any, Any]] = {}
        self._failed_starts = 0

    def run(self, pieces: Sequence[P], done: Callable[[P, Any], None]) -> None:
        """See `Farm.run`."""
        if not pieces:
            return
        self._ray.wait()
        import ray
        from ray.exceptions import RayError, RayTaskError

        waiting = deque(pieces)
        deaths: dict[P, int] = {}
        room = self._room()
        most = min(len(pieces), self._options.workers or room)
        for _ in range(most - len(self._idle) - len(self._calls)):
            self._start()
        self._give(waiting)
        while waiting or any(piece for _, piece in self._calls.values()):
            ready, _ = ray.wait(list(self._calls))
            worker, piece = self._calls.pop(ready[0])
            try:
                answer = ray.get(ready[0])
            except RayTaskError as error:
                ray.kill(worker)
                if isinstance(error.cause, RaylignError):
                    raise error.cause from None
                raise
            except RayError as error:  # the worker is gone: killed, out of memory, its machine lost
                ray.kill(worker)
                if piece is None:
                    self._not_started(error)
                else:
                    # No piece is to blame for the end of a machine.
                    deaths[piece] = deaths.get(piece, 0) + ("node has died" not in str(error))
                    again = [piece] if deaths[piece] < DEATHS else piece.cut()
                    if not again:
                        done(piece, piece.lost(Worker(self._work), _LOST))
                    waiting.extendleft(reversed(again))
                    self._give(waiting)
                if waiting:
                    self._start()
                continue
            self._failed_starts = 0
            self._idle.append(worker)
            self._give(waiting)  # the worker goes on while its answer is taken in
            if piece is not None:
                done(piece, answer)

    def close(self) -> None:
        """End all workers."""
        if self._idle or self._calls:
            import ray

            for worker in [*self._idle, *(worker for worker, _ in self._calls.values())]:
                ray.kill(worker)

    def _start(self) -> None:
        import ray

        actor: Any = ray.remote(Worker).options(
            num_cpus=self._work.threads,
            num_gpus=self._options.gpus_per_worker,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        worker = actor.remote(self._work)
        self._calls[worker.__ray_ready__.remote()] = worker, None

    def _give(self, waiting: deque[P]) -> None:
        """Work for those that have none."""
        while self._idle and waiting:
            worker, piece = self._idle.pop(), waiting.popleft()
            self._calls[worker.do.remote(piece)] = worker, piece

    def _not_started(self, error: Exception) -> None:
        self._failed_starts += 1
        if self._failed_starts >= STARTS:
            told = str(error).strip().splitlines()[-1].strip()
            raise RaylignError(f"the workers of the cluster do not start: {told}") from None

    def _room(self) -> int:
        """How many workers the cluster takes at once."""
        import ray

        threads, gpus = self._work.threads, self._options.gpus_per_worker
        resources = ray.cluster_resources()
        room = int(resources.get("CPU", 1) // threads)
        if gpus:
            room = min(room, int(resources.get("GPU", 0) // gpus))
        if room < 1:
            raise RaylignError(
                f"the cluster has no room for a worker with {threads} CPUs and {gpus:g} GPUs; "
                "lower --threads or --gpus-per-worker"
            )
        return room
