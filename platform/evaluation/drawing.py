"""The pictures of the gallery: chosen cases are aligned once more, which gives the same answer whoever does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from .farm import Farm
from .gallery import Chosen, GalleryItem, thumbnail
from .results import CaseResult
from .work import Job, Worker


class Drawn(NamedTuple):
    """The pictures of a case, as in `GalleryItem`."""

    reference: bytes
    source: bytes
    aligned: bytes | None


@dataclass(frozen=True)
class Drawing:
    """One case to be drawn."""

    job: Job
    index: int
    """Of the case, among those of its dataset and task."""
    failed: bool
    """A case that failed may have taken its process with it: it is not tried again."""

    def do(self, worker: Worker) -> Drawn:
        """Align the case again and make thumbnails."""
        case = worker.case(self.job, self.index)
        aligned = None if self.failed else worker.align(self.job, case)
        return Drawn(
            thumbnail(case.target if case.task != "pair" else case.reference),
            thumbnail(case.sources[0] if case.sources else case.reference),
            None if aligned is None else thumbnail(aligned.image),
        )

    def cut(self) -> list[Drawing]:
        """It is one case already."""
        return []

    def lost(self, worker: Worker, error: str) -> Drawn:
        """The case without what its model makes of it."""
        return replace(self, failed=True).do(worker)


def gallery_items(
    chosen: Sequence[Chosen],
    jobs: Sequence[Job],
    results: Sequence[CaseResult],
    farm: Farm,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> list[GalleryItem]:
    """Draw the cases of a gallery.

    Args:
        chosen: from `choose_items`.
        jobs: of the evaluation.
        results: of these jobs, in their order.
        farm: where to draw.
        advance: called with 1 after each.
    """
    cases = [(job, index) for job in jobs for index in job.indices]
    places: dict[tuple[str, str, str, str], tuple[Drawing, CaseResult]] = {
        (result.method, result.dataset, result.task, result.key): (Drawing(*case, result.failed), result)
        for case, result in zip(cases, results, strict=True)
    }
    wanted = [places[one.method, one.dataset, one.task, one.key] for one in chosen]
    drawn: dict[Drawing, Drawn] = {}

    def done(drawing: Drawing, pictures: Drawn) -> None:
        drawn[drawing] = pictures
        advance(1)

    # By model, so that each is loaded once by a worker.
    farm.run(sorted((drawing for drawing, _ in wanted), key=lambda drawing: drawing.job.model.name), done)
    return [
        GalleryItem(
            method=one.method,
            dataset=one.dataset,
            task=one.task,
            key=one.key,
            name=result.name,
            subset=result.subset,
            why=one.why,
            metrics=result.metrics,
            error=result.error,
            **drawn[drawing]._asdict(),
        )
        for one, (drawing, result) in zip(chosen, wanted, strict=True)
    ]
