"""What an evaluation leaves behind: tables as files, the report, and a run in MLflow."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...methods.errors import InputError
from ..progress import Progress
from ..runs import write_bytes, write_text
from .drawing import gallery_items
from .farm import Farm
from .gallery import GalleryItem, choose_items
from .lengths import length_figure, longest_results
from .overview import with_overview
from .page import report_page
from .results import CaseResult
from .store import encode
from .tables import csv_text, latex
from .work import Job

_NOT_ALLOWED = re.compile(r"[^\w\-. ]")
"""In the parts of names of MLflow's metrics."""


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation."""

    folder: Path
    """Its run folder."""
    rows: list[dict[str, Any]]
    """See `summary.summarise`."""
    settings: dict[str, Any]
    """What decides the numbers, ready for JSON."""
    results: Sequence[CaseResult]
    """Of `jobs`, in their order."""
    jobs: Sequence[Job]


def write_tables(
    evaluation: Evaluation,
    json_file: Path | None,
    csv_file: Path | None,
    latex_file: Path | None,
    markdown_files: Sequence[Path],
    chart_file: Path | None,
) -> None:
    """Write the table into the run folder (`table.json`, `results.parquet`), and to the files that are given.

    Raises:
        InputError: a file cannot be written, or a Markdown file has one of its two markers.
    """
    document = {"rows": evaluation.rows, "settings": evaluation.settings}
    content = json.dumps(document, indent=1, default=str) + "\n"
    write_text(evaluation.folder / "table.json", content)
    write_bytes(evaluation.folder / "results.parquet", encode(evaluation.results))
    if json_file is not None:
        write_text(json_file, content)
    for path, form in ((csv_file, csv_text), (latex_file, latex)):
        if path is not None:
            write_text(path, form(evaluation.rows))
    for path in markdown_files:
        write_text(path, with_overview(path, evaluation.rows))
    if chart_file is not None:
        write_bytes(chart_file, length_figure(evaluation.rows, chart_file.suffix[1:].lower()))


def draw(evaluation: Evaluation, per_method: int, farm: Farm) -> list[GalleryItem]:
    """The report's gallery.

    Args:
        evaluation: what to show.
        per_method: cases of each method, dataset and task; 0 for no gallery.
        farm: where to draw.
    """
    chosen = choose_items(longest_results(evaluation.results), per_method=per_method) if per_method else []
    with Progress("drawing", len(chosen), "case") as bar:
        return gallery_items(chosen, evaluation.jobs, evaluation.results, farm, advance=bar.advance)


def write_report(evaluation: Evaluation, items: Sequence[GalleryItem], file: Path | None, paper: str) -> None:
    """Write `report.html` into the run folder, and to `file`.

    Args:
        evaluation: what to tell.
        items: from `draw`.
        file: None for the run folder alone.
        paper: see `report_page`.
    """
    page = report_page(
        evaluation.results, evaluation.rows, evaluation.settings, items, evaluation.settings["left_out"], paper
    )
    write_text(evaluation.folder / "report.html", page)
    if file is not None:
        write_text(file, page)


def load_mlflow(tracking_uri: str | None) -> None:
    """Load MLflow and open its store, which takes seconds, beside the start of Ray, which takes as many.

    What is wrong with the store is told by `track`.
    """

    def load() -> None:
        with contextlib.suppress(Exception):
            from ..tracking import Tracker

            Tracker(tracking_uri)

    threading.Thread(target=load, daemon=True, name="mlflow").start()


def metric_name(*parts: str) -> str:
    """A name that MLflow takes: of parts, each without slashes, which a checkpoint's path may have."""
    return "/".join(_NOT_ALLOWED.sub("_", part) for part in parts)


def track(evaluation: Evaluation, name: str, options: Mapping[str, Any], tracking_uri: str | None) -> None:
    """Keep the evaluation in MLflow, where it is installed.

    Args:
        evaluation: what to keep.
        name: of the run.
        options: become its parameters.
        tracking_uri: of the store.

    Raises:
        InputError: MLflow does not answer or refuses; what the run folder holds is not lost.
    """
    from ..tracking import Tracker, flatten

    metrics = {
        metric_name(row["dataset"], row["task"], row["method"], metric): entry["mean"]
        for row in evaluation.rows
        for metric, entry in row["metrics"].items()
    }
    try:
        with Tracker(tracking_uri).start_run("evaluate", name, flatten(options), {"raylign.run": name}) as run:
            run.log_metrics(metrics, 0)
            for file in ("table.json", "results.parquet", "report.html"):
                run.log_artifact(evaluation.folder / file)
    except ModuleNotFoundError:
        print("MLflow is not installed: the results are in the run folder only", file=sys.stderr)
    except InputError as error:
        raise InputError(f"{error}; table and report are in {evaluation.folder}, but not in MLflow") from None
