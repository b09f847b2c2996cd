"""The pictures of the gallery: chosen cases are aligned once more, which gives the same answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .gallery import Chosen, GalleryItem, thumbnail
from .results import CaseResult
from .work import Job, Worker, WorkOptions

Place = tuple[str, str, str, str]
"""Method, dataset, task and key."""


def gallery_items(
    chosen: Sequence[Chosen],
    jobs: Sequence[Job],
    results: Sequence[CaseResult],
    options: WorkOptions,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> list[GalleryItem]:
    """Draw the cases of a gallery.

    Args:
        chosen: from `choose_items`.
        jobs: of the evaluation.
        results: of these jobs, in their order.
        options: what the evaluation was made with.
        advance: called with 1 after each.
    """
    cases = [(job, index) for job in jobs for index in job.indices]
    places: dict[Place, tuple[tuple[Job, int], CaseResult]] = {
        (result.method, result.dataset, result.task, result.key): (case, result)
        for case, result in zip(cases, results, strict=True)
    }
    worker = Worker(options)
    items: dict[Place, GalleryItem] = {}
    # By model, so that each is loaded once.
    for one in sorted(chosen, key=lambda each: each.method):
        place = (one.method, one.dataset, one.task, one.key)
        (job, index), result = places[place]
        case = worker.case(job, index)
        # A case that failed may have taken its process with it: it is not tried again.
        aligned = None if result.failed else worker.align(job, case)
        items[place] = GalleryItem(
            method=one.method,
            dataset=one.dataset,
            task=one.task,
            key=one.key,
            name=result.name,
            subset=result.subset,
            why=one.why,
            metrics=result.metrics,
            error=result.error,
            reference=thumbnail(case.target if case.task != "pair" else case.reference),
            source=thumbnail(case.sources[0]),
            aligned=None if aligned is None else thumbnail(aligned.image),
        )
        advance(1)
    return [items[one.method, one.dataset, one.task, one.key] for one in chosen]
