"""The table of an evaluation in every form: terminal, markdown, CSV, LaTeX and HTML, all from the same cells.

A row is `{"method", "dataset", "task", "n", "failed", "metrics": {name: {"mean", "std", "ci95"}}, "missing": {name:
reason}, "subsets": {subset: {"n", "metrics"}}}`; `ci95` is half of the mean's 95 % interval; it and `std` may
be left out. Rows of one dataset and task make one table, because only they compare.
"""

from __future__ import annotations

import csv
import html
import io
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .compare import by_difficulty
from .results import METRICS, Metric

Row = Mapping[str, Any]

MAIN = (
    ("psnr_overlap", "ssim_overlap", "overlap", "psnr_occluded", "psnr_dynamic"),
    ("corner_error", "epe", "mee"),
    ("auc5", "mauc", "auc"),
    ("seconds",),
)
"""Columns of pairs that tell most; of the second and third group the first that exists."""
MAIN_OF_SETS = (
    ("psnr", "ssim", "rmse", "lpips", "ghosting"),
    ("ncc_before", "ncc", "sharpness", "glare_before", "glare_reference", "glare"),
    ("corner_error", "auc5"),
    ("seconds",),
)
"""The same of sets: the merged picture covers the whole frame. The second group is of sets without a true picture."""

DISPENSABLE = (
    "psnr_occluded",
    "psnr_dynamic",
    "glare_reference",
    "ncc_before",
    "ssim_overlap",
    "ssim",
    "auc5",
    "mauc",
    "auc",
    "rmse",
    "ghosting",
    "overlap",
)
"""What a narrow terminal leaves out, in this order."""

_ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Cell:
    """One number of the table.

    Attributes:
        text: `mean ± ci95` (where known) with the metric's digits; a dash where there is no value.
        mean: None where there is no value.
        best: no other method of the table has a better mean, to the digits shown.
        reason: why there is no value; empty where nothing is known.
    """

    text: str
    mean: float | None
    best: bool
    reason: str


@dataclass(frozen=True)
class Table:
    """The rows of one dataset and task, and the columns that any of them has."""

    dataset: str
    task: str
    rows: tuple[Row, ...]
    metrics: tuple[Metric, ...]

    @property
    def title(self) -> str:
        """For people: `raylign-parallax, pairs`."""
        return f"{self.dataset}, {TASKS[self.task]}"

    def cells(self, metric: Metric, subset: str | None = None) -> list[Cell]:
        """The column of a metric, over all cases or those of one subset; one cell per row."""
        entries = [_entry(row, metric.name, subset) for row in self.rows]
        rounded = [round(entry["mean"], metric.digits) if entry else math.nan for entry in entries]
        known = [value for value in rounded if math.isfinite(value)]
        best = (max if metric.better == "higher" else min)(known, default=math.nan)
        return [
            Cell(_number(entry, metric), entry["mean"], value == best, "")
            if entry
            else Cell("-", None, False, row.get("missing", {}).get(metric.name, ""))
            for row, entry, value in zip(self.rows, entries, rounded, strict=True)
        ]

    @property
    def subsets(self) -> list[str]:
        """Names of the subsets of any row, see `by_difficulty`."""
        return by_difficulty({name for row in self.rows for name in row.get("subsets", {})})


TASKS = {"pair": "pairs", "set": "sets", "aligned": "aligned sets"}
"""What the cases of a task are called."""


def tables(rows: Sequence[Row], metrics: Iterable[str] | None = None) -> list[Table]:
    """Rows by dataset and task.

    Args:
        rows: of the whole evaluation.
        metrics: names of the columns, those that no row has are left out; None means all.
    """
    places = dict.fromkeys((row["dataset"], row["task"]) for row in rows)
    wanted = None if metrics is None else set(metrics)
    found = []
    for dataset, task in places:
        own = tuple(row for row in rows if (row["dataset"], row["task"]) == (dataset, task))
        had = {name for row in own for name in row["metrics"]}
        columns = tuple(m for m in METRICS if m.name in had and (wanted is None or m.name in wanted))
        found.append(Table(dataset, task, own, columns))
    return found


def main_metrics(table: Table) -> tuple[Metric, ...]:
    """The columns of a table that tell most, few enough for a terminal."""
    by_name = {metric.name: metric for metric in table.metrics}
    names: list[str] = []
    for place, group in enumerate(MAIN if table.task == "pair" else MAIN_OF_SETS):
        known = [name for name in group if name in by_name]
        names += known[:1] if table.task == "pair" and place in (1, 2) else known
    return tuple(by_name[name] for name in names) or table.metrics[:6]


def heading(metric: Metric) -> str:
    """`corner_error (px) ↓`: name, unit and which way is better."""
    return f"{metric.name}{f' ({metric.unit})' if metric.unit else ''} {_ARROWS[metric.better]}"


def plain_cells(table: Table, metrics: Sequence[Metric]) -> tuple[list[str], list[list[str]], list[str]]:
    """A table as text: header, cells and footnotes; the best cell has a star, an empty one the number of its note."""
    columns = [table.cells(metric) for metric in metrics]
    reasons = list(dict.fromkeys(cell.reason for column in columns for cell in column if cell.reason))
    body = []
    for index, row in enumerate(table.rows):
        line = [str(row["method"]), _count(row)]
        for column in columns:
            cell = column[index]
            note = f" [{reasons.index(cell.reason) + 1}]" if cell.reason else ""
            line.append(cell.text + (" *" if cell.best and len(table.rows) > 1 else note))
        body.append(line)
    header = ["method", "cases", *(heading(metric) for metric in metrics)]
    return header, body, [f"[{number}] {reason}" for number, reason in enumerate(reasons, 1)]


def print_tables(
    rows: Sequence[Row], left_out: Mapping[str, str] | None = None, metrics: Sequence[str] | None = None
) -> None:
    """Print to standard output: laid out in a terminal, tab-separated lines elsewhere.

    Args:
        rows: of the whole evaluation.
        left_out: methods that could not run, and why.
        metrics: the columns; None means those of `main_metrics` that fit in a terminal, all elsewhere.
    """
    terminal = sys.stdout.isatty()
    for table in tables(rows, metrics):
        columns = main_metrics(table) if terminal and metrics is None else table.metrics
        if terminal:
            _print_boxed(table, columns, fit=metrics is None)
            continue
        header, body, notes = plain_cells(table, columns)
        for line in (["dataset", "task", *header], *([table.dataset, table.task, *line] for line in body)):
            print("\t".join(line))
        for note in notes:
            print(note)
    for name, reason in (left_out or {}).items():
        print(f"left out: {name}: {reason}")


def _print_boxed(table: Table, columns: Sequence[Metric], *, fit: bool) -> None:
    """A table in a terminal; with `fit`, columns that can be done without go where it is narrow."""
    from rich.console import Console

    console = Console(highlight=False)
    shown = list(columns)
    while True:
        box = _box(table, shown)
        wanted = console.measure(box, options=console.options.update(width=10_000)).maximum
        if not fit or wanted <= console.width or len(shown) < 2:
            break
        shown.remove(next((m for name in DISPENSABLE for m in shown if m.name == name), shown[-1]))
    console.print(box)
    if dropped := [metric.name for metric in columns if metric not in shown]:
        console.print(f"[dim]not shown here: {', '.join(dropped)}[/dim]")
    console.print()


def _box(table: Table, columns: Sequence[Metric]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table as Box

    header, body, notes = plain_cells(table, columns)
    box = Box(title=escape(table.title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    box.caption, box.caption_justify = "\n".join(map(escape, notes)) or None, "left"
    box.add_column(header[0], no_wrap=True, max_width=24)
    for name in header[1:]:
        # The unit goes below the name: a column is then hardly wider than its numbers.
        box.add_column(escape(name.replace(" ", "\n", 1)), justify="right", no_wrap=True)
    for line in body:
        box.add_row(*(f"[bold]{escape(cell)}[/bold]" if cell.endswith(" *") else escape(cell) for cell in line))
    return box


def markdown(rows: Sequence[Row], metrics: Sequence[str] | None = None) -> str:
    """Markdown tables, one per dataset and task, the best of a column bold.

    Args:
        rows: of the whole evaluation.
        metrics: the columns; None means `main_metrics`.
    """
    blocks = []
    for table in tables(rows, metrics):
        header, body, notes = plain_cells(table, table.metrics if metrics else main_metrics(table))
        lines = [f"**{markdown_text(table.title)}**", "", markdown_line(header)]
        lines.append("|" + "|".join(["---", *["--:"] * (len(header) - 1)]) + "|")
        for line in body:
            plain = [markdown_text(cell.removesuffix(" *")) for cell in line]
            marked = [f"**{text}**" if cell.endswith(" *") else text for cell, text in zip(line, plain, strict=True)]
            lines.append(markdown_line(marked))
        lines += ["", *(f"{markdown_text(note)}  " for note in notes)] if notes else []
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def csv_text(rows: Sequence[Row]) -> str:
    """CSV with all columns: one line per method, dataset and task (`subset` empty), then one per subset.

    Each metric has the columns `<name>_mean`, `<name>_std` and `<name>_ci95`, empty where there is no value.
    """
    names = list(dict.fromkeys(metric.name for table in tables(rows) for metric in table.metrics))
    names = [metric.name for metric in METRICS if metric.name in names]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    kinds = ("mean", "std", "ci95")
    writer.writerow(
        ["method", "dataset", "task", "subset", "n", "failed", *(f"{name}_{kind}" for name in names for kind in kinds)]
    )
    for row in rows:
        for subset, part in {"": row, **row.get("subsets", {})}.items():
            entries = [part["metrics"].get(name, {}) for name in names]
            numbers = [entry.get(kind, "") for entry in entries for kind in kinds]
            place = [row["method"], row["dataset"], row["task"], subset]
            writer.writerow([*place, part["n"], part.get("failed", ""), *numbers])
    return buffer.getvalue()


def latex(rows: Sequence[Row], metrics: Sequence[str] | None = None) -> str:
    r"""A `tabular` for booktabs (`\usepackage{booktabs}`), the best of a column bold, one block per dataset and task.

    Args:
        rows: of the whole evaluation.
        metrics: the columns; None means all that `main_metrics` names for any table.
    """
    found = tables(rows)
    wanted = metrics or [metric.name for table in found for metric in main_metrics(table)]
    shown = [m for m in METRICS if m.name in wanted and any(m in table.metrics for table in found)]
    arrows = {"higher": r"$\uparrow$", "lower": r"$\downarrow$"}
    heads = [f"{latex_text(m.name)}{f' ({latex_text(m.unit)})' if m.unit else ''} {arrows[m.better]}" for m in shown]
    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(shown) + 1)}}}",
        r"\toprule",
        " & ".join(["method", "cases", *heads]) + r" \\",
    ]
    for table in found:
        lines += [r"\midrule", rf"\multicolumn{{{len(shown) + 2}}}{{l}}{{\textit{{{latex_text(table.title)}}}}} \\"]
        columns = [table.cells(metric) for metric in shown]
        for index, row in enumerate(table.rows):
            cells = [column[index] for column in columns]
            texts = ["--" if cell.mean is None else cell.text.replace("±", r"$\pm$") for cell in cells]
            many = len(table.rows) > 1
            marked = [rf"\textbf{{{t}}}" if c.best and many else t for t, c in zip(texts, cells, strict=True)]
            lines.append(" & ".join([latex_text(row["method"]), latex_text(_count(row)), *marked]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def latex_text(text: str) -> str:
    """Plain text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(character, character) for character in text)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _entry(row: Row, name: str, subset: str | None) -> Mapping[str, float] | None:
    part = row if subset is None else row.get("subsets", {}).get(subset, {"metrics": {}})
    found: Mapping[str, float] | None = part["metrics"].get(name)
    return found


def _number(entry: Mapping[str, float], metric: Metric) -> str:
    half = f" ± {entry['ci95']:.{metric.digits}f}" if "ci95" in entry else ""
    return f"{entry['mean']:.{metric.digits}f}{half}"


def _count(row: Row) -> str:
    return f"{row['n']} ({row['failed']} failed)" if row.get("failed") else str(row["n"])


def markdown_text(text: str) -> str:
    """Plain text for a cell of a Markdown table."""
    text = " ".join(html.escape(text, quote=False).split())
    for character in "\\`*_|[]~":
        text = text.replace(character, f"\\{character}")
    return text


def markdown_line(cells: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"
