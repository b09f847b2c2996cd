"""One small table of everything: a line per method, a column per dataset or difficulty, for a README."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...methods.errors import InputError
from .compare import by_difficulty
from .lengths import length_markdown, longest_rows
from .results import BY_NAME
from .summary import RANKING
from .tables import TASKS, Row, markdown, markdown_line, markdown_text

OPENING, CLOSING = "<!-- overview -->", "<!-- /overview -->"
"""Between these lines of a Markdown file stands the overview; the rest of the file is its owner's."""


def overview(rows: Sequence[Row]) -> str:
    """Markdown tables of the metric that ranks methods (`RANKING`), one of pairs and one of sets.

    Methods stand in the order of their mean rank over the columns, best first; the best of each column is bold. A
    dataset with subsets has a column for each of them.

    Args:
        rows: from `summarise`.
    """
    rows = longest_rows(rows)
    groups = [[row for row in rows if row["task"] == "pair"], [row for row in rows if row["task"] != "pair"]]
    return "\n\n".join(table for group in groups if (table := _table(group))) + "\n"


def with_overview(file: Path, rows: Sequence[Row]) -> str:
    """The new content of a Markdown file: with the overview between its markers, or overview and all tables.

    Of sets that were measured at several lengths, the other tables show the longest.

    Raises:
        InputError: the file has one marker without the other.
    """
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    if OPENING not in before and CLOSING not in before:
        by_length = length_markdown(rows)
        return f"{overview(rows)}\n{by_length}{chr(10) if by_length else ''}{markdown(longest_rows(rows))}"
    head, opening, rest = before.partition(OPENING)
    _, closing, tail = rest.partition(CLOSING)
    if not opening or not closing:
        raise InputError(f"{file}: '{OPENING}' and '{CLOSING}' belong together, in this order; mend the file")
    return f"{head}{OPENING}\n\n{overview(rows)}\n{CLOSING}{tail}"


def _table(rows: Sequence[Row]) -> str:
    """Empty where no row has the metric."""
    columns: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        for subset in by_difficulty(row["subsets"]) or [""]:
            entry = _entry(row, subset)
            if entry is not None:
                columns.setdefault((row["dataset"], row["task"], subset), {})[row["method"]] = entry
    if not columns:
        return ""
    methods = _by_rank(columns.values())
    several = {task for _, task, _ in columns} != {"pair"}
    heads = [
        " ".join(part for part in (dataset, TASKS[task] if several else "", subset) if part)
        for dataset, task, subset in columns
    ]
    lines = [markdown_line(["method", *map(markdown_text, heads), "s"])]
    lines.append("|" + "|".join(["---", *["--:"] * (len(heads) + 1)]) + "|")
    for method in methods:
        cells = [_cell(values, method, BY_NAME[RANKING[task]].digits) for (_, task, _), values in columns.items()]
        lines.append(markdown_line([f"`{markdown_text(method)}`", *cells, _seconds(rows, method)]))
    return "\n".join(lines)


def _entry(row: Row, subset: str) -> float | None:
    metrics: Mapping[str, Any] = row["subsets"][subset]["metrics"] if subset else row["metrics"]
    entry = metrics.get(RANKING[row["task"]])
    return None if entry is None else float(entry["mean"])


def _by_rank(columns: Any) -> list[str]:
    ranks: dict[str, list[int]] = {}
    for values in columns:
        for method, value in values.items():
            better = sum(round(other, 3) > round(value, 3) for other in values.values())
            ranks.setdefault(method, []).append(better)
    return sorted(ranks, key=lambda method: float(np.mean(ranks[method])))


def _cell(values: dict[str, float], method: str, digits: int) -> str:
    if method not in values:
        return "-"
    text = f"{values[method]:.{digits}f}"
    best = max(round(value, digits) for value in values.values())
    return f"**{text}**" if round(values[method], digits) == best and len(values) > 1 else text


def _seconds(rows: Sequence[Row], method: str) -> str:
    """Mean over all cases."""
    timed = [
        (row["n"], row["metrics"]["seconds"]["mean"])
        for row in rows
        if "seconds" in row["metrics"] and row["method"] == method
    ]
    mean = sum(n * value for n, value in timed) / sum(n for n, _ in timed) if timed else math.nan
    return f"{mean:.2g}" if mean < 10 else f"{mean:.0f}"
