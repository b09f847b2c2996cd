"""Tables of the report that the reader sorts and chooses columns of."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from .results import METRICS, Metric
from .tables import Cell, Table, heading, main_metrics


def result_tables(found: Sequence[Table]) -> str:
    """One table per dataset and task with all metrics, of which those that tell most are shown at first."""
    main = {metric.name for table in found for metric in main_metrics(table)}
    had = {metric.name for table in found for metric in table.metrics}
    boxes = "".join(
        f'<label title="{html.escape(m.definition)}"><input type="checkbox" value="{m.name}"'
        f"{' checked' if m.name in main else ''}{' data-main' if m.name in main else ''}> {m.name}</label>"
        for m in METRICS
        if m.name in had
    )
    chooser = (
        f"<details class='columns'><summary>Columns: <span>those that tell most</span></summary>"
        f"<div>{boxes}</div>"
        '<button type="button" data-columns="all">all</button> <button type="button" data-columns="main">main</button>'
        "</details>"
    )
    note = "<p>A click on a heading sorts. The best value of a column is bold.</p>"
    return note + chooser + "".join(_result_table(table) for table in found)


def difficulty_tables(found: Sequence[Table], methods: Sequence[str]) -> str:
    """For each metric one table with a column per dataset, task and subset; the reader chooses the metric."""
    places = [(table, subset) for table in found for subset in (None, *table.subsets)]
    if len(places) < 2:
        return ""
    known = [metric for metric in METRICS if any(metric in table.metrics for table in found)]
    options = "".join(f'<option value="{metric.name}">{html.escape(heading(metric))}</option>' for metric in known)
    bodies = "".join(
        f'<div data-metric-table="{metric.name}"{" hidden" if place else ""}>'
        f"{_difficulty(metric, found, methods)}</div>"
        for place, metric in enumerate(known)
    )
    return f'<div class="menus"><label>metric <select id="difficulty">{options}</select></label></div>{bodies}'


def _result_table(table: Table) -> str:
    main = {metric.name for metric in main_metrics(table)}
    columns = [(metric, table.cells(metric)) for metric in table.metrics]
    whose: dict[str, list[str]] = {}
    for metric, cells in columns:
        for reason in dict.fromkeys(cell.reason for cell in cells if cell.reason):
            whose.setdefault(reason, []).append(metric.name)
    reasons = list(whose)
    heads = _head("method", 0, "text") + _head("cases", 1, "higher")
    for place, (metric, _) in enumerate(columns, 2):
        heads += _head(heading(metric), place, metric.better, metric, main=metric.name in main)
    lines = []
    for index, row in enumerate(table.rows):
        failed = f' <span class="failed">{row["failed"]} failed</span>' if row.get("failed") else ""
        line = f'<th scope="row">{_breakable(row["method"])}</th><td data-value="{row["n"]}">{row["n"]}{failed}</td>'
        for metric, column in columns:
            shown = " data-main" if metric.name in main else " hidden"
            line += _cell(column[index], reasons, f' data-metric="{metric.name}"{shown}', mark=len(table.rows) > 1)
        lines.append(f"<tr>{line}</tr>")
    # Named, because a note may be that of a column that is hidden.
    notes = "".join(f"<li>{', '.join(names)}: {html.escape(reason)}</li>" for reason, names in whose.items())
    listed = f'<ol class="notes soft">{notes}</ol>' if notes else ""
    return f"<h3>{html.escape(table.title)}</h3>{_scrolled(table.title, f'<tr>{heads}</tr>', lines)}{listed}"


def _difficulty(metric: Metric, found: Sequence[Table], methods: Sequence[str]) -> str:
    shown = [table for table in found if metric in table.metrics]
    tops = "<td></td>" + "".join(
        f'<th scope="colgroup" colspan="{1 + len(table.subsets)}">{html.escape(table.title)}</th>' for table in shown
    )
    columns = [(table, subset) for table in shown for subset in (None, *table.subsets)]
    heads = _head("method", 0, "text") + "".join(
        _head(subset or "all", place, metric.better) for place, (_, subset) in enumerate(columns, 1)
    )
    cells = [
        {row["method"]: cell for row, cell in zip(table.rows, table.cells(metric, subset), strict=True)}
        for table, subset in columns
    ]
    reasons = list(dict.fromkeys(cell.reason for column in cells for cell in column.values() if cell.reason))
    missing = Cell("-", None, False, "")
    lines = [
        f'<tr><th scope="row">{_breakable(method)}</th>'
        + "".join(_cell(column.get(method, missing), reasons, "", mark=len(column) > 1) for column in cells)
        + "</tr>"
        for method in methods
        if any(method in column for column in cells)
    ]
    notes = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    listed = f'<ol class="notes soft">{notes}</ol>' if notes else ""
    return _scrolled(metric.name, f"<tr>{tops}</tr><tr>{heads}</tr>", lines) + listed


def _head(text: str, place: int, better: str, metric: Metric | None = None, *, main: bool = True) -> str:
    about = ""
    if metric:
        shown = " data-main" if main else " hidden"
        about = f' data-metric="{metric.name}" title="{html.escape(metric.definition)}"{shown}'
    return (
        f'<th scope="col" aria-sort="none" data-better="{better}"{about}>'
        f'<button type="button" data-sort="{place}">{html.escape(text)}</button></th>'
    )


def _cell(cell: Cell, reasons: Sequence[str], attributes: str, *, mark: bool) -> str:
    if cell.mean is None:
        why = f' title="{html.escape(cell.reason)}"' if cell.reason else ""
        note = f"<sup>{reasons.index(cell.reason) + 1}</sup>" if cell.reason else ""
        return f'<td{attributes}{why} class="none">&ndash;{note}</td>'
    mean, _, half = cell.text.partition(" ± ")
    spread = f" <small>± {half}</small>" if half else ""
    best = ' class="best"' if cell.best and mark else ""
    return f'<td{attributes} data-value="{cell.mean!r}"{best}>{mean}{spread}</td>'


def _scrolled(label: str, heads: str, lines: Sequence[str]) -> str:
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(label)}"><table class="sortable">'
        f"<thead>{heads}</thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _breakable(method: str) -> str:
    """A name of which long ones may go on in the next line after each option."""
    return re.sub(r"(?=\[)|(?<=,)", "<wbr>", html.escape(method))
