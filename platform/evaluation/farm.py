"""Many jobs at a time: in this process, or in Ray actors that may die."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...methods.errors import RaylignError
from .results import CaseResult
from .work import Job, Worker, WorkOptions

DEATHS = 2
"""A job that took so many workers with it is done case by case; a single case that did so has failed."""

STARTS = 3
"""So many workers in a row that do not come up are no accident."""

Done = Callable[[Job, list[CaseResult]], None]


@dataclass(frozen=True)
class FarmOptions:
    """Where jobs are done."""

    workers: int | None
    """Processes; None means as many as the cluster has room for."""
    gpus_per_worker: float


def run_here(jobs: Sequence[Job], options: WorkOptions, done: Done) -> None:
    """Do the jobs in this process, one after the other; `done` gets each with its results.

    Raises:
        RaylignError: a case cannot be read or a model not be loaded.
    """
    worker = Worker(options)
    for job in jobs:
        done(job, worker.run(job))


def run_on_ray(jobs: Sequence[Job], options: WorkOptions, farm: FarmOptions, done: Done) -> None:
    """Do the jobs in Ray actors; Ray must be up. A worker that dies is replaced, and its job done again.

    Raises:
        RaylignError: a case cannot be read or a model not be loaded; or a worker cannot be placed or does not start.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    room = _room(options.threads, farm.gpus_per_worker)
    actor: Any = ray.remote(Worker).options(
        num_cpus=options.threads, num_gpus=farm.gpus_per_worker, max_restarts=0, scheduling_strategy="SPREAD"
    )
    waiting = deque(jobs)
    deaths: dict[Job, int] = {}
    failed_starts = 0
    # A worker has no job until it has come up: one that waits for a CPU keeps none from the others.
    calls: dict[Any, tuple[Any, Job | None]] = {}

    def start() -> None:
        worker = actor.remote(options)
        calls[worker.__ray_ready__.remote()] = worker, None

    try:
        for _ in range(min(len(jobs), farm.workers or room)):
            start()
        while waiting or any(job for _, job in calls.values()):
            ready, _ = ray.wait(list(calls))
            worker, job = calls[ready[0]]
            try:
                answer = ray.get(ready[0])
            except RayTaskError as error:
                if isinstance(error.cause, RaylignError):
                    raise error.cause from None
                raise
            except RayError as error:  # the worker is gone: killed, out of memory, its machine lost
                ray.kill(worker)
                del calls[ready[0]]
                if job is None:
                    failed_starts += 1
                    if failed_starts >= STARTS:
                        told = str(error).strip().splitlines()[-1].strip()
                        raise RaylignError(f"the workers of the cluster do not start: {told}") from None
                else:
                    # No job is to blame for the end of a machine.
                    deaths[job] = deaths.get(job, 0) + ("node has died" not in str(error))
                    again = [job] if deaths[job] < DEATHS else _cut(job)
                    if not again:
                        done(job, [Worker(options).lost(job, _LOST)])
                    waiting.extendleft(reversed(again))
                start()
                continue
            del calls[ready[0]]
            failed_starts = 0
            if waiting:  # the worker goes on while its results are written
                following = waiting.popleft()
                calls[worker.run.remote(following)] = worker, following
            else:
                ray.kill(worker)  # its CPUs are for those that still wait
            if job is not None:
                done(job, answer)
    finally:
        for worker, _ in calls.values():
            ray.kill(worker)


_LOST = f"its worker process died {DEATHS} times, most likely out of memory"


def _cut(job: Job) -> list[Job]:
    """A job for each of its cases; none where that is the job itself."""
    return [replace(job, first=index, count=1) for index in job.indices] if job.count > 1 else []


def _room(threads: int, gpus: float) -> int:
    """How many workers the cluster takes at once."""
    import ray

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
