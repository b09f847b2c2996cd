"""One protocol for every method: models times datasets, in parallel, resumable, the same numbers whenever it is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...methods.classical.reconstruction import ALIGNER, SetAligner
from ...methods.errors import InputError
from ...methods.registry import method_class, takes_sets
from ..alignment import ModelChoice
from .datasets import EvaluationSet
from .farm import Farm
from .results import CaseResult, Task
from .store import Parts
from .work import Job

JOB_CASES: dict[Task, int] = {"pair": 4, "set": 1, "aligned": 1}
"""Cases of a job: what the death of a worker can cost, against what a message costs."""


@dataclass(frozen=True)
class Plan:
    """All jobs, and the models that have none."""

    jobs: list[Job]
    left_out: dict[str, str]
    """Model to the reason."""

    @property
    def cases(self) -> int:
        """How many alignments that is."""
        return sum(job.count for job in self.jobs)


def make_plan(models: Sequence[ModelChoice], datasets: Sequence[EvaluationSet], tasks: Sequence[Task]) -> Plan:
    """Which model is measured on what: pair methods on pairs, methods that take sets on sets, and on the pairs of
    datasets of pairs.

    A baseline that merges what a pair method has aligned would repeat that method's numbers on pairs, so it is not
    measured there beside it. The lengths of one sequence stand together, so that a worker reads it once.

    Raises:
        InputError: nothing is left to measure.
    """
    jobs: list[Job] = []
    left_out: dict[str, str] = {}
    methods = {model.method for model in models}
    for model in models:
        sets = takes_sets(model.method)
        repeats = ALIGNER in methods and issubclass(method_class(model.method), SetAligner)
        before = len(jobs)
        for group in _by_place(datasets):
            found: list[tuple[int, Job]] = []
            for dataset in group:
                own: tuple[Task, ...] = ("set", "aligned") if sets and dataset.kind == "sequence" else ("pair",)
                own = () if repeats and own == ("pair",) else own
                for task in [each for each in own if each in tasks]:
                    for first in range(0, dataset.count(task), JOB_CASES[task]):
                        count = min(JOB_CASES[task], dataset.count(task) - first)
                        position = dataset.entries[task][first].position
                        found.append((position, Job(model, dataset.choice, task, first, count)))
            if len(group) > 1:
                found.sort(key=lambda each: each[0])
            jobs += [job for _, job in found]
        if len(jobs) == before:
            needs = "sets of shots" if repeats else "sets of shots, or pairs" if sets else "pairs"
            left_out[model.name] = f"it aligns {needs}, and the datasets and tasks chosen have none"
    if not jobs:
        raise InputError(f"nothing to measure: {'; '.join(f'{name}: {why}' for name, why in left_out.items())}")
    return Plan(jobs, left_out)


def _by_place(datasets: Sequence[EvaluationSet]) -> list[list[EvaluationSet]]:
    """Datasets that are the same samples at different lengths, together."""
    groups: dict[tuple[str, str | None], list[EvaluationSet]] = {}
    for dataset in datasets:
        groups.setdefault((dataset.choice.url, dataset.choice.split), []).append(dataset)
    return list(groups.values())


def evaluate(
    plan: Plan,
    parts: Parts,
    farm: Farm,
    *,
    fresh: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> list[CaseResult]:
    """Do the jobs of a plan that are not done yet.

    Args:
        plan: from `make_plan`.
        parts: where results are kept as they come.
        farm: where the jobs are done.
        fresh: measure again what is there already.
        advance: called with the number of cases that have just been measured or found.

    Returns:
        Results in the order of the plan, whoever measured them when.

    Raises:
        RaylignError: a case cannot be read, a model not be loaded, a worker not be placed.
    """
    if fresh:
        for job in plan.jobs:
            parts.forget(job)
    results = {job: parts.read(job) for job in plan.jobs}
    advance(sum(job.count for job, found in results.items() if found is not None))

    def done(job: Job, measured: list[CaseResult]) -> None:
        parts.write(job, measured)
        if job in results:
            results[job] = measured
        advance(job.count)

    farm.run([job for job, found in results.items() if found is None], done)
    # A job that was cut into cases lies in their parts.
    found = [measured if measured is not None else parts.read(job) for job, measured in results.items()]
    return [result for each in found for result in each or []]
