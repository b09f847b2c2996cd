"""`raylign evaluate`: one table for all methods."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ...methods.errors import InputError
from ..arguments import parse
from ..progress import Progress
from ..runs import absolute_url, write_text

if TYPE_CHECKING:
    from ..alignment import ModelChoice


@dataclass(frozen=True)
class EvaluateOptions:
    """Measure methods and checkpoints on the pairs (0, k) of a dataset's split, all under one protocol."""

    data: str
    """Dataset: a local path or URL."""
    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = ("identity", "sift", "champion")
    """Methods by name, checkpoint folders, or registered models ('champion', a version, a run's name)."""
    split: str = "test"
    """Split of the dataset."""
    limit: int | None = None
    """At most so many pairs, spread over the split."""
    json: Path | None = None
    """Write the table as JSON to this file."""
    html: Path | None = None
    """Write the table as a self-contained page to this file."""
    tracking_uri: str | None = field(default=None)
    """MLflow tracking URI for registered models."""


def main(arguments: list[str]) -> int:
    """Run the command."""
    options = parse(EvaluateOptions, arguments, "evaluate")
    if options.limit is not None and options.limit < 1:
        raise InputError("--limit must be at least 1")
    for path in (options.json, options.html):
        if path is not None and not path.absolute().parent.is_dir():
            raise InputError(f"the folder of {path} does not exist; make it or choose another place")
    from ..alignment import load_model
    from ..data.samples import Samples
    from .evaluate import evaluate, summarise

    url = absolute_url(options.data)
    samples = Samples(url, options.split)
    choices = [choose(name, options.tracking_uri) for name in options.methods]
    models = [(choice, load_model(choice)) for choice in choices]
    pairs = sum(len(samples.frame_names(position)) - 1 for position in range(len(samples)))
    pairs = min(pairs, options.limit or pairs)
    with Progress("evaluating", pairs * len(models), "pair") as bar:
        results = evaluate(models, url, options.split, limit=options.limit, advance=bar.advance)
    rows = summarise(results, samples.reader.info.generator)
    settings = {**asdict(options), "data": url, "seed": samples.reader.info.seed}
    document = {"rows": rows, "settings": {name: value for name, value in settings.items() if name not in _UNSHOWN}}
    print_table(rows)
    if options.json:
        write_text(options.json, json.dumps(document, indent=1, default=str) + "\n")
    if options.html:
        write_text(options.html, html_page(rows, url, options.split))
    return 0


_UNSHOWN = ("json", "html", "tracking_uri")


def choose(name: str, tracking_uri: str | None) -> ModelChoice:
    """A classical method by name, a checkpoint folder, or a registered model.

    Raises:
        InputError: it is none of the three.
    """
    from ...methods.registry import names
    from ..alignment import choose_model

    if name in names(learned=False):
        return choose_model(name)
    try:
        return choose_model(checkpoint=name, tracking_uri=tracking_uri)
    except InputError as error:
        raise InputError(f"--methods {name}: no method, checkpoint folder or trained model ({error})") from None


_UNITS = {"psnr_overlap": "dB", "psnr": "dB", "corner_error": "px", "e2": "px", "seconds": "s"}


def table_cells(rows: list[dict[str, Any]], metrics: Sequence[str] | None = None) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the table: mean ± half of the 95 % interval, a dash where a method has no such metric.

    Args:
        rows: from `summarise`.
        metrics: the columns; None means all that any method has.
    """
    from .evaluate import METRICS

    shown = [name for name in metrics or METRICS if any(name in row["metrics"] for row in rows)]
    header = ["method", "pairs", *(f"{name} ({_UNITS[name]})" if name in _UNITS else name for name in shown)]
    cells = []
    for row in rows:
        line = [row["method"], str(row["n"])]
        for name in shown:
            entry = row["metrics"].get(name)
            digits = 2 if name in _UNITS and name != "seconds" else 3
            line.append("-" if entry is None else f"{entry['mean']:.{digits}f} ± {entry['ci95']:.{digits}f}")
        cells.append(line)
    return header, cells


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the table to standard output: boxed in a terminal, tab-separated elsewhere."""
    header, cells = table_cells(rows)
    if not sys.stdout.isatty():
        for line in [header, *cells]:
            print("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(*header)
    for line in cells:
        shown.add_row(*line)
    Console().print(shown)


def html_page(rows: list[dict[str, Any]], url: str, split: str) -> str:
    """The table as a self-contained page."""
    from ..report import page, table

    lead = f"Pairs (0, k) of split '{split}' of {url}; mean ± half of the 95 % bootstrap interval over scenes."
    return page("raylign: evaluation", [("Table", table(*table_cells(rows)))], lead)
