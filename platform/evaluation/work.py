"""One process of an evaluation: it holds one model at a time and measures case after case, the same way everywhere."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

import torch

from ...methods.errors import InputError, RaylignError
from ..alignment import AlignedPicture, ModelChoice, align_images, load_model, same_everywhere
from ..frames import bring
from ..memory import keep_freed_memory
from .cases import Case
from .cost import count_gflop, peak_memory
from .datasets import DatasetChoice, EvaluationSet, Scenes
from .measure import frame_errors, measure, motion_percent
from .results import CaseResult, Task

if TYPE_CHECKING:
    from ...methods.aligner import Aligner
    from .lpips import Lpips


@dataclass(frozen=True)
class WorkOptions:
    """What every process of an evaluation must do alike."""

    threads: int
    """CPU threads of one alignment; part of what makes two runs equal to the last bit."""
    lpips_weights: str | None
    """See `Lpips`."""
    pretrained: bool

    @property
    def measures_lpips(self) -> bool:
        """Whether there are weights for it."""
        return self.lpips_weights is not None or self.pretrained

    def load_lpips(self) -> Lpips:
        """LPIPS with these weights.

        Raises:
            InputError: they are missing or wrong.
        """
        from .lpips import Lpips

        return Lpips(self.lpips_weights, pretrained=self.pretrained)


class Piece(Protocol):
    """Something that a worker can do; it can be sent, and is told from others by `==`."""

    def do(self, worker: Worker) -> Any:
        """Do it; called where the worker is."""

    def cut(self) -> list[Self]:
        """The same in smaller pieces; none where it is too small for that."""

    def lost(self, worker: Worker, error: str) -> Any:
        """What to take instead of the answer where every worker that tried has died; called in the driver."""


@dataclass(frozen=True)
class Job:
    """A few cases of one task of one dataset, for one model."""

    model: ModelChoice
    dataset: DatasetChoice
    task: Task
    first: int
    count: int

    @property
    def indices(self) -> range:
        """Indices of the cases."""
        return range(self.first, self.first + self.count)

    def do(self, worker: Worker) -> list[CaseResult]:
        """Measure the cases."""
        return worker.run(self)

    def cut(self) -> list[Job]:
        """A job for each case."""
        return [replace(self, first=index, count=1) for index in self.indices] if self.count > 1 else []

    def lost(self, worker: Worker, error: str) -> list[CaseResult]:
        """The job's only case has failed."""
        return [worker.lost(self, error)]


_TOLD = ("homography", "flow", "confidence")
"""What a method may tell beside the picture."""


class Worker:
    """Does pieces of work. The last model and all datasets stay open from job to job."""

    def __init__(self, options: WorkOptions) -> None:
        keep_freed_memory()
        self._options = options
        self._sets: dict[DatasetChoice, EvaluationSet] = {}
        self._scenes: dict[tuple[str, str | None], Scenes] = {}
        self._model: tuple[ModelChoice, Aligner] | None = None
        self._lpips: Lpips | None = None

    def do(self, piece: Piece) -> Any:
        """Do a piece of work; its answer."""
        return piece.do(self)

    def run(self, job: Job) -> list[CaseResult]:
        """Measure the cases of a job.

        Raises:
            DatasetError: a case cannot be read.
            InputError: the model cannot be loaded.
        """
        fresh = self._model is None or self._model[0] != job.model
        aligner = self._aligner(job.model)
        dataset = self._set(job.dataset)
        results: list[CaseResult] = []
        for index in job.indices:
            case = dataset.case(job.task, index)
            if fresh:  # what a first call loads and compiles is not the time of an alignment
                fresh = False
                with contextlib.suppress(Exception):
                    self._align(job.model, aligner, case)
            # Memory and operations are those of the job's first case that succeeds.
            results.append(self._measure(job, aligner, case, costs=all(result.failed for result in results)))
        return results

    def lost(self, job: Job, error: str) -> CaseResult:
        """The result of a job's first case, which cannot be tried again: measured as no alignment."""
        case = self.case(job, job.first)
        return case_result(job, case, None, error, self._metrics(case, None))

    def case(self, job: Job, index: int) -> Case:
        """One case of a job."""
        return self._set(job.dataset).case(job.task, index)

    def align(self, job: Job, case: Case) -> AlignedPicture:
        """What the model of a job makes of a case."""
        return self._align(job.model, self._aligner(job.model), case)

    def _measure(self, job: Job, aligner: Aligner, case: Case, *, costs: bool) -> CaseResult:
        aligned, error, memory = None, "", None
        try:
            if costs:
                with peak_memory() as peak:
                    aligned = self._align(job.model, aligner, case)
                memory = peak.megabytes
            else:
                aligned = self._align(job.model, aligner, case)
        except Exception as raised:
            error = _one_line(raised)
        if aligned is not None and aligned.confidence == 0:
            error = "found nothing: its confidence is 0"
        failed = bool(error)
        metrics = self._metrics(case, None if failed else aligned)
        if aligned is not None:
            metrics["seconds"] = aligned.facts["seconds"]
        if memory is not None and not failed:
            metrics["memory_mb"] = memory
        if costs and not failed and isinstance(aligner, torch.nn.Module):
            metrics["gflop"] = count_gflop(lambda: self._align(job.model, aligner, case))
        return case_result(job, case, aligned, error, metrics)

    def _metrics(self, case: Case, aligned: AlignedPicture | None) -> dict[str, float]:
        with same_everywhere(self._options.threads):
            return measure(case, aligned, self._lpips_model())

    def _align(self, model: ModelChoice, aligner: Aligner, case: Case) -> AlignedPicture:
        threads = self._options.threads
        if case.task == "aligned" or not case.sources:
            aligned = _reconstruct(model, aligner, case, threads)
        else:
            aligned = align_images(aligner, case.reference, case.sources, model, threads=threads)
            if case.task == "pair" and aligner.max_sources is None:
                aligned = _source_alone(aligned, case)
        if aligned.image.shape != case.reference.shape or aligned.mask.shape != case.reference.shape[1:]:
            raise RaylignError(
                f"'{model.name}' gave a picture {tuple(aligned.image.shape)} and a mask {tuple(aligned.mask.shape)} "
                f"for a reference {tuple(case.reference.shape)}"
            )
        return aligned

    def _aligner(self, model: ModelChoice) -> Aligner:
        if self._model is None or self._model[0] != model:
            self._model = None  # two models in memory are one too many
            self._model = model, load_model(model)
        return self._model[1]

    def _set(self, choice: DatasetChoice) -> EvaluationSet:
        if choice not in self._sets:
            place = choice.url, choice.split
            if place not in self._scenes:
                self._scenes[place] = Scenes(*place)
            self._sets[choice] = EvaluationSet(choice, self._scenes[place])
        return self._sets[choice]

    def _lpips_model(self) -> Lpips | None:
        if self._options.measures_lpips and self._lpips is None:
            self._lpips = self._options.load_lpips()
        return self._lpips


def case_result(
    job: Job, case: Case, aligned: AlignedPicture | None, error: str, metrics: dict[str, float]
) -> CaseResult:
    """The row of one case.

    Args:
        job: what it belongs to.
        case: what was measured.
        aligned: what the model made of it, if anything.
        error: why it failed; empty where it did not.
        metrics: by name.
    """
    return CaseResult(
        method=job.model.name,
        dataset=job.dataset.label,
        task=case.task,
        key=case.key,
        name=case.name,
        scene=case.scene,
        subset=case.subset,
        failed=bool(error),
        error=error,
        motion=motion_percent(case),
        confidence=None if aligned is None else aligned.confidence,
        known=tuple(name for name, value in vars(case.truth).items() if value is not None),
        told=tuple(name for name in _TOLD if aligned is not None and getattr(aligned, name) is not None),
        metrics=metrics,
        length=job.dataset.length,
        frame_errors=frame_errors(case, None if error else aligned),
    )


def _source_alone(aligned: AlignedPicture, case: Case) -> AlignedPicture:
    """Of a pair that a method for sets has aligned, the source as its homography brings it.

    Its own picture shows the reference as well, and would be like it whatever was found.

    Raises:
        InputError: it tells no homography.
    """
    if aligned.homography is None:
        raise InputError(
            f"'{aligned.facts['method']}' tells no homography, and its merged picture is no alignment of a pair"
        )
    frames, masks = bring(case.sources, aligned.homography, (case.reference.shape[1], case.reference.shape[2]))
    return replace(aligned, image=frames[0], mask=masks[0])


def _reconstruct(model: ModelChoice, aligner: Aligner, case: Case, threads: int) -> AlignedPicture:
    """Merge frames that lie on each other already; a single shot does.

    Raises:
        InputError: the method cannot do that alone.
    """
    import time

    merge = getattr(aligner, "reconstruct", None)
    if merge is None:
        raise InputError(f"'{model.method}' cannot merge frames that are aligned already")
    device = next(aligner.parameters()).device if isinstance(aligner, torch.nn.Module) else torch.device("cpu")
    frames = torch.stack([case.reference, *case.sources])[None].to(device)
    known = torch.ones_like(frames[0, :, 0]) if case.truth.masks is None else case.truth.masks
    masks = known[None, :, None].float().to(device)
    start = time.perf_counter()
    with same_everywhere(threads):
        image = merge(frames, masks)[0].float().cpu()
    seconds = time.perf_counter() - start
    if not bool(image.isfinite().all()):
        raise RaylignError(f"'{model.name}' gave numbers that are not finite for these pictures")
    return AlignedPicture(
        image=image,
        mask=torch.ones(image.shape[-2:], dtype=torch.bool),
        homography=None,
        flow=None,
        confidence=None,
        reliable=True,
        facts={"method": model.method, "model": model.name, "seconds": round(seconds, 4)},
    )


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, RaylignError) else f"{type(error).__name__}: {text}"
