"""Many jobs at a time: in this process, or in Ray actors that may die."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...methods.errors import RaylignError
from .datasets import EvaluationSet
from .measure import measure
from .results import CaseResult
from .work import Job, Worker, WorkOptions, case_result

DEATHS = 2
"""A job that took so many workers with it is done case by case; a single case that did so has failed."""

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
        RaylignError: a case cannot be read or a model not be loaded; or a worker cannot be placed.
    """
    import ray
    from ray.exceptions import RayActorError, RayTaskError

    actor: Any = ray.remote(Worker).options(
        num_cpus=options.threads, num_gpus=farm.gpus_per_worker, max_restarts=0, scheduling_strategy="SPREAD"
    )
    waiting = deque(jobs)
    deaths: dict[Job, int] = {}
    count = min(len(jobs), farm.workers or _room(options.threads, farm.gpus_per_worker))
    idle = [actor.remote(options) for _ in range(count)]
    under_way: dict[Any, tuple[Any, Job]] = {}
    try:
        while waiting or under_way:
            while idle and waiting:
                worker, job = idle.pop(), waiting.popleft()
                under_way[worker.run.remote(job)] = worker, job
            ready, _ = ray.wait(list(under_way))
            worker, job = under_way.pop(ready[0])
            try:
                done(job, ray.get(ready[0]))
            except RayTaskError as error:
                if isinstance(error.cause, RaylignError):
                    raise error.cause from None
                raise
            except RayActorError:
                deaths[job] = deaths.get(job, 0) + 1
                worker = actor.remote(options)
                if deaths[job] < DEATHS:
                    waiting.appendleft(job)
                elif job.count > 1:
                    waiting.extendleft(reversed([replace(job, first=index, count=1) for index in job.indices]))
                else:
                    done(job, [_lost(job)])
            idle.append(worker)
    finally:
        for worker in [*idle, *(worker for worker, _ in under_way.values())]:
            ray.kill(worker)


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


def _lost(job: Job) -> CaseResult:
    """The result of a case that took its workers with it: measured as no alignment."""
    case = EvaluationSet(job.dataset).case(job.task, job.first)
    error = f"its worker process died {DEATHS} times, most likely out of memory"
    return case_result(job, case, None, error, measure(case, None))
