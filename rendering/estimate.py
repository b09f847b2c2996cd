"""`raylign render --dry-run`: what a dataset would take, from a measured sample of its scenes."""

from __future__ import annotations

import dataclasses
import heapq
import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..methods.errors import RaylignError
from .actors import Answer
from .options import Plan, RenderOptions

RESAMPLES = 200
"""Repetitions of the bootstrap."""
LARGEST_SIMULATION = 200_000
"""Scenes times repetitions that are drawn one by one; of larger jobs there are fewer repetitions."""


@dataclass(frozen=True)
class Spread:
    """A number that is known from a sample: its median and the range that holds nine times of ten."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of repeated values."""
        ordered = sorted(values)
        low, middle, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.05, 0.5, 0.95))
        return cls(low, middle, high)


@dataclass(frozen=True)
class Sample:
    """What it took to render a few scenes."""

    seconds: list[float]
    """Of each scene, on one render process while the others were busy too."""
    sizes: list[int]
    """Bytes of each scene in its shard."""
    start: float
    """Seconds that were not rendering: until the processes were ready, and for publishing."""
    workers: int
    """Render processes at a time."""


def measure(options: RenderOptions, plan: Plan) -> Sample:
    """Render `dry_run_scenes` scenes of the plan, evenly spread, into a folder that is removed afterwards.

    Raises:
        RaylignError: a scene of the sample could not be rendered.
    """
    from ..platform.cluster import ray_session
    from .farm import Farm, Shard
    from .watch import Watch

    cpus = (options.workers or 0) * options.worker_cpus or None
    answers: list[Answer] = []
    with tempfile.TemporaryDirectory(prefix="raylign-dry-run-") as folder, ray_session(options.address, num_cpus=cpus):
        farm = Farm.of(dataclasses.replace(options, out=folder), plan)
        workers = farm.wanted()
        count = min(max(options.dry_run_scenes, workers), plan.info.scenes)
        chosen = [number * plan.info.scenes // count for number in range(count)]
        # A shard each: every process stays busy until the sample is done.
        shards = [Shard(Shard.key(number), range(index, index + 1)) for number, index in enumerate(chosen)]
        with Watch(count, plan.pictures) as watch:
            farm.on_measure, farm.on_scene, farm.on_failure = answers.append, watch.scene, watch.failure
            start = time.monotonic()
            failed = farm.render(shards)
            wall = time.monotonic() - start
    if failed:
        raise RaylignError(f"--dry-run: a scene could not be rendered: {next(iter(failed.values()))}")
    seconds = [answer["seconds"] for answer in answers]
    rest = max(0.0, wall - makespan(seconds, workers))
    return Sample(seconds, [answer["bytes"] for answer in answers], rest, workers)


def makespan(jobs: Sequence[float], workers: int) -> float:
    """Time until all jobs are done when each goes to the first free worker."""
    free = [0.0] * workers
    for job in jobs:
        heapq.heappush(free, heapq.heappop(free) + job)
    return max(free)


@dataclass(frozen=True)
class Estimate:
    """What a dataset takes."""

    seconds: Spread
    """Wall-clock time."""
    core_hours: Spread
    bytes: Spread


def predict(sample: Sample, *, scenes: int, shard_size: int, workers: int, worker_cpus: int, seed: int) -> Estimate:
    """Predict a job by resampling the measured scenes (bootstrap) and dealing its shards out to the workers.

    Two things spread a prediction: a sample of a few scenes knows their mean time only roughly, and the scenes drawn
    differ from it. Each repetition draws a sample anew and the scenes from that.

    Args:
        sample: the measured scenes.
        scenes: scenes of the job.
        shard_size: scenes per shard: what a worker takes at a time.
        workers: render processes.
        worker_cpus: CPUs of each.
        seed: of the resampling.
    """
    rng = random.Random(seed)
    repetitions = max(20, min(RESAMPLES, LARGEST_SIMULATION // scenes))
    seconds, hours, sizes = [], [], []
    places = range(len(sample.seconds))
    for _ in range(repetitions):
        drawn = rng.choices(places, k=len(places))
        picked = rng.choices(drawn, k=scenes)
        times = [sample.seconds[place] for place in picked]
        shards = [math.fsum(times[first : first + shard_size]) for first in range(0, scenes, shard_size)]
        seconds.append(sample.start + makespan(shards, workers))
        hours.append(math.fsum(times) * worker_cpus / 3600)
        sizes.append(float(sum(sample.sizes[place] for place in picked)))
    return Estimate(Spread.of(seconds), Spread.of(hours), Spread.of(sizes))


def dry_run(options: RenderOptions, plan: Plan) -> int:
    """Measure, predict and tell; returns the exit status."""
    sample = measure(options, plan)
    print("\n".join(report(options, plan, sample)))
    return 0


def report(options: RenderOptions, plan: Plan, sample: Sample) -> list[str]:
    """The lines of a dry run."""
    info = plan.info

    def estimate(machines: int) -> Estimate:
        return predict(
            sample,
            scenes=info.scenes,
            shard_size=info.shard_size,
            workers=machines * sample.workers,
            worker_cpus=options.worker_cpus,
            seed=info.seed,
        )

    here = estimate(1)
    mean, spread = statistics.fmean(sample.seconds), statistics.pstdev(sample.seconds)
    lines = [
        f"{info.scenes} scenes of {plan.pictures} pictures into {options.out}",
        f"  measured        {len(sample.seconds)} scenes on {sample.workers} processes:"
        f" {mean:.2f} s each (standard deviation {spread:.2f} s), {duration(sample.start)} to start and end",
        "                  estimate   nine times of ten between",
        f"  time here       {_row(here.seconds, duration)}",
    ]
    for machines in options.nodes:
        name = f"on {machines} machines"
        lines.append(f"  {name:<15} {_row(estimate(machines).seconds, duration)}")
    cost = Spread(*(options.price * each for each in dataclasses.astuple(here.core_hours)))
    lines += [
        f"  core-hours      {_row(here.core_hours, lambda hours: f'{hours:.3g}')}",
        f"  cost            {_row(cost, money)}   at {options.price:g} per core-hour",
        f"  size            {_row(here.bytes, size)}",
    ]
    return lines


def _row(spread: Spread, show: Callable[[float], str]) -> str:
    return f"{show(spread.middle):<10} {show(spread.low)} and {show(spread.high)}"


def duration(seconds: float) -> str:
    """Seconds in words: `45 s`, `12 min`, `3.4 h`, `2.1 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def size(count: float) -> str:
    """Bytes in words, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def money(price: float) -> str:
    """A price, of small ones two digits that count."""
    return f"{price:.2f}" if price >= 1 else f"{price:.2g}"
