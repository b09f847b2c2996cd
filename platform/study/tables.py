"""The study's tables as text: for Markdown and for the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...methods.errors import InputError
from ..evaluation.compare import by_difficulty
from ..evaluation.results import BY_NAME, Metric
from ..evaluation.tables import TASKS, heading, markdown_line, markdown_text
from .results import ALL

QUALITY = ("psnr_overlap", "psnr", "psnr_occluded", "psnr_dynamic", "ssim_overlap", "corner_error", "epe")
"""Metrics with a table of their own, those of the orders before them; PSNR tells the overlap beside it."""


@dataclass(frozen=True)
class TextTable:
    """A title, a sentence below it, a header and cells; the best of a column carries a star at its end."""

    title: str
    note: str
    header: list[str]
    cells: list[list[str]]


def text_tables(document: dict[str, Any]) -> list[TextTable]:
    """All tables of a study.

    Args:
        document: what `table.json` holds.
    """
    rows, orders = document["rows"], document["orders"]
    first = dict.fromkeys(order["metric"] for order in orders)
    found = []
    for test, task in dict.fromkeys((row["test"], row["task"]) for row in rows):
        own = [row for row in rows if (row["test"], row["task"]) == (test, task)]
        told = [name for name in dict.fromkeys((*first, *QUALITY)) if any(name in row["metrics"] for row in own)]
        same = _same_numbers(own, told)
        found += [_quality(f"{test}, {TASKS[task]}", own, BY_NAME[name], also) for name, also in same.items()]
    return [*found, *([_orders(orders)] if orders else []), _costs(document)]


def markdown(document: dict[str, Any]) -> str:
    """All tables of a study and what failed, as Markdown."""
    blocks = []
    for table in text_tables(document):
        lines = [f"**{markdown_text(table.title)}**", "", *([table.note, ""] if table.note else [])]
        lines += [markdown_line([markdown_text(head) for head in table.header])]
        lines.append("|" + "|".join(["---", *["--:"] * (len(table.header) - 1)]) + "|")
        for cells in table.cells:
            texts = [(markdown_text(cell.removesuffix(" *")), cell.endswith(" *")) for cell in cells]
            lines.append(markdown_line([f"**{text}**" if best else text for text, best in texts]))
        blocks.append("\n".join(lines))
    told = [f"- {markdown_text(line)}" for line in unfinished(document)]
    return "\n\n".join([*blocks, *(["\n".join(told)] if told else [])]) + "\n"


def unfinished(document: dict[str, Any]) -> list[str]:
    """One line for each training that failed or is not done."""
    return [
        f"{each['variant']}, seed {each['seed']}: {each['state']}{': ' if each['error'] else ''}{each['error']}"
        for each in document["trainings"]
        if each["state"] != "done"
    ]


def check_markers(file: Path, name: str) -> None:
    """Find out before any work whether `with_study` can write into a file.

    Raises:
        InputError: it is no file in a folder that exists, or lacks the markers.
    """
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise InputError(f"--markdown {file}: cannot be written: it is a folder, or its folder does not exist")
    with_study(file, name, "")


def with_study(file: Path, name: str, text: str) -> str:
    """The new content of a Markdown file: with `text` between `<!-- study NAME -->` and `<!-- /study NAME -->`.

    A file that is not there yet has nothing else.

    Raises:
        InputError: the file lacks these lines.
    """
    opening, closing = f"<!-- study {name} -->", f"<!-- /study {name} -->"
    before = file.read_text(encoding="utf-8") if file.exists() else f"{opening}\n{closing}\n"
    head, first, rest = before.partition(opening)
    _, last, tail = rest.partition(closing)
    if not first or not last:
        raise InputError(f"--markdown {file}: put the lines '{opening}' and '{closing}' where the tables shall stand")
    return f"{head}{opening}\n\n{text}\n{closing}{tail}"


def _same_numbers(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, list[str]]:
    """Of metrics with the same numbers in all rows (those inside the overlap, where it is everything) the first alone.

    To each the names of the others.
    """
    found: dict[str, list[str]] = {}
    by_numbers: dict[tuple[str, str], str] = {}
    for name in names:
        metric = BY_NAME[name]
        numbers = [[round(v, metric.digits) for v in row["metrics"].get(name, {}).get("values", [])] for row in rows]
        first = by_numbers.setdefault((metric.unit, str(numbers)), name)
        if first == name:
            found[name] = []
        else:
            found[first].append(name)
    return found


def _quality(title: str, rows: Sequence[dict[str, Any]], metric: Metric, also: Sequence[str]) -> TextTable:
    """A line per variant, a column for all cases and for each subset; `also` are metrics with the same numbers."""
    subsets = [ALL, *by_difficulty({row["subset"] for row in rows} - {ALL})]
    at = {(row["variant"], row["subset"]): row for row in rows}
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    columns = [
        _starred([_cell(at.get((variant, subset)), metric) for variant in variants], metric) for subset in subsets
    ]
    told = "; ".join(BY_NAME[name].definition for name in also)
    counts = {subset: next(row["n"] for row in rows if row["subset"] == subset) for subset in subsets}
    return TextTable(
        f"{title}: {heading(metric)}",
        _note(rows, metric) + (f" The same numbers: {told}." if also else ""),
        ["variant", *(f"{subset or 'all'} ({counts[subset]})" for subset in subsets)],
        [[variant, *(column[place] for column in columns)] for place, variant in enumerate(variants)],
    )


def _note(rows: Sequence[dict[str, Any]], metric: Metric) -> str:
    numbers = {len(row["seeds"]) for row in rows}
    fewest, most = min(numbers), max(numbers)
    count = str(most) if fewest == most else f"{fewest} to {most}"
    spread = f"Mean of {count} seeds ± half of the distance between the lowest and the highest."
    mean = spread if most > 1 else "One seed."
    overlap = " In brackets the share of the reference frame that the source covers." if _is_psnr(metric) else ""
    return f"{metric.definition[0].upper()}{metric.definition[1:]}. {mean}{overlap}"


def _is_psnr(metric: Metric) -> bool:
    return metric.name.startswith("psnr")


def _cell(row: dict[str, Any] | None, metric: Metric) -> tuple[float | None, str]:
    entry = row["metrics"].get(metric.name) if row else None
    if row is None or entry is None:
        return None, "-"
    text = _with_spread(entry, metric.digits)
    overlap = row["metrics"].get("overlap")
    if _is_psnr(metric) and overlap:
        text += f" ({overlap['mean']:.2f})"
    return round(entry["mean"], metric.digits), text


def _with_spread(entry: dict[str, Any], digits: int) -> str:
    half = f" ± {(entry['max'] - entry['min']) / 2:.{digits}f}" if len(entry["values"]) > 1 else ""
    return f"{entry['mean']:.{digits}f}{half}"


def _starred(column: list[tuple[float | None, str]], metric: Metric) -> list[str]:
    known = [value for value, _ in column if value is not None]
    best = (max if metric.better == "higher" else min)(known, default=None)
    return [f"{text} *" if value == best is not None and len(known) > 1 else text for value, text in column]


def _orders(orders: Sequence[dict[str, Any]]) -> TextTable:
    cells = []
    for order in orders:
        metric = BY_NAME[order["metric"]]

        def number(value: float, digits: int = metric.digits) -> str:
            return f"{value:+.{digits}f}"

        differences, interval = order["differences"], order["ci95"]
        place = ", ".join(part for part in (order["test"], order["subset"]) if part)
        cells.append(
            [
                order["order"],
                place,
                order["metric"],
                number(order["difference"]),
                f"{number(min(differences))} to {number(max(differences))}",
                "-" if interval is None else f"{number(interval[0])} to {number(interval[1])}",
                f"{order['held_for']} of {len(differences)}",
                order["verdict"],
            ]
        )
    return TextTable(
        "Orders",
        "A < B says that B is better, A <= B that it is at least as good. The difference is B - A, its mean over the "
        "seeds; the interval resamples scenes, each case averaged over the seeds. 'Held for every seed' also wants an "
        "interval without zero. With one seed nothing tells how much two trainings of one variant differ.",
        ["order", "test", "metric", "difference", "over seeds", "95 % over scenes", "seeds that agree", "verdict"],
        cells,
    )


def _costs(document: dict[str, Any]) -> TextTable:
    """What each variant costs to train and to run; the latter on the first test."""
    rows = [row for row in document["rows"] if row["subset"] == ALL]
    measured: dict[str, dict[str, Any]] = {}
    for row in rows:
        measured.setdefault(row["variant"], row["metrics"])
    cells = []
    for variant, facts in document["variants"].items():
        own = [each for each in document["trainings"] if each["variant"] == variant and each["state"] == "done"]
        metrics = measured.get(variant, {})
        cells.append(
            [
                variant,
                f"{facts['parameters'] / 1e6:.2f} M",
                _mean(metrics, "gflop"),
                _mean(metrics, "seconds"),
                _range([each["steps"] for each in own], lambda value: f"{value:.0f}"),
                _range([each["minutes"] for each in own], lambda value: f"{value:.1f}"),
                str(len(own)),
            ]
        )
    header = ["variant", "parameters", "GFLOP", "s", "steps", "minutes", "seeds"]
    return TextTable("Cost", "Of one alignment, and of one training (validation not counted).", header, cells)


def _mean(metrics: dict[str, Any], name: str) -> str:
    return f"{metrics[name]['mean']:.{BY_NAME[name].digits}f}" if name in metrics else "-"


def _range(values: Sequence[float], text: Callable[[float], str]) -> str:
    if not values:
        return "-"
    low, high = text(min(values)), text(max(values))
    return low if low == high else f"{low} to {high}"
