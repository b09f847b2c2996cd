"""A comparison with a paper as text for a terminal and as a section of a page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from html import escape

from ....methods.registry import names
from ...report import table as html_table
from ..results import BY_NAME
from .comparison import PaperComparison, Seen, TableComparison
from .contents import Column, Finding, Paper, PaperTable

WIDTH = 120
"""Columns of a terminal that sentences are wrapped to."""


def text(comparison: PaperComparison) -> str:
    """The comparison for a terminal: aligned plain columns, our numbers under the paper's, then sentences."""
    paper = comparison.paper
    parts = [
        _wrap(f"Paper {paper.number}: {paper.title} (arXiv {paper.arxiv}); ours: {_ours(paper)}"),
        _wrap(f"Data: {paper.data}"),
        _wrap(f"Protocol: {paper.protocol}"),
    ]
    several = len(comparison.datasets) > 1
    for compared in comparison.tables:
        labels, cells = _cells(compared, several)
        heads = [column.header.split() for column in compared.table.columns]
        parts.append("\n".join([_wrap(_title(compared.table)), *_aligned(heads, labels, cells)]))
    for finding, found in comparison.findings:
        lines = [_wrap(f"{finding.text} ({finding.source})")]
        if found:
            heads = [[_heading(name)] for name in finding.metrics]
            labels = [f"  {_seen_name(seen, several)}" for seen in found]
            lines += _aligned(heads, labels, [_seen_cells(finding, seen) for seen in found])
        else:
            lines.append(f"  see {', '.join(finding.metrics)} of the task {' or '.join(finding.tasks)}")
        parts.append("\n".join(lines))
    for title, sentences in _closing(comparison):
        parts.append("\n".join([title, *(_wrap(sentence, "- ") for sentence in sentences)]))
    return "\n\n".join(parts) + "\n"


def html(comparison: PaperComparison) -> str:
    """The comparison as the body of a section of `report.page`."""
    paper = comparison.paper
    parts = [
        f"<p>Paper {paper.number}: {escape(paper.title)} "
        f'(<a href="https://arxiv.org/abs/{paper.arxiv}">arXiv {paper.arxiv}</a>); ours: {escape(_ours(paper))}</p>',
        f"<p>Data: {escape(paper.data)}</p>",
        f"<p>Protocol: {escape(paper.protocol)}</p>",
    ]
    several = len(comparison.datasets) > 1
    for compared in comparison.tables:
        labels, cells = _cells(compared, several)
        header = ["", *(column.header for column in compared.table.columns)]
        parts.append(f"<h3>{escape(_title(compared.table))}</h3>")
        parts.append(html_table(header, [[name, *line] for name, line in zip(labels, cells, strict=True)]))
    for finding, found in comparison.findings:
        parts.append(f'<p>{escape(finding.text)} <span class="soft">({escape(finding.source)})</span></p>')
        if found:
            header = ["", *(_heading(name) for name in finding.metrics)]
            rows = [[_seen_name(seen, several), *_seen_cells(finding, seen)] for seen in found]
            parts.append(html_table(header, rows))
    for title, sentences in _closing(comparison):
        items = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        parts.append(f"<h3>{escape(title)}</h3>\n<ul>\n{items}\n</ul>")
    return "\n".join(parts)


def _ours(paper: Paper) -> str:
    return paper.method if paper.method in names() else f"none yet ({paper.method})"


def _title(table: PaperTable) -> str:
    doubt = "" if table.reliable else "NOT CERTAIN, "
    return f"{table.title} [{doubt}from {table.source}]"


def _cells(compared: TableComparison, several: bool) -> tuple[list[str], list[list[str]]]:
    """Names and cells of a table: each row of the paper, under it ours and, where given, the differences.

    Args:
        compared: the table.
        several: whether our lines must name their dataset.
    """
    columns = compared.table.columns
    labels, cells = [], []
    for line in compared.lines:
        if line.row:
            labels.append(line.row.name)
            cells.append(_numbers(columns, line.row.values))
        for ours in line.ours:
            whose = "  ours: " if line.row else "only ours: "
            labels.append(whose + ours.label + (f", {ours.dataset}" if several else ""))
            cells.append(_numbers(columns, ours.values))
            if ours.differences:
                labels.append("  difference")
                cells.append(_numbers(columns, ours.differences, sign="+"))
    return labels, cells


def _numbers(columns: Sequence[Column], values: Sequence[float | None], sign: str = "") -> list[str]:
    return [
        "-" if value is None else f"{value:{sign}.{column.digits}f}"
        for column, value in zip(columns, values, strict=True)
    ]


def _heading(name: str) -> str:
    unit = BY_NAME[name].unit
    return f"{name} ({unit})" if unit else name


def _seen_name(seen: Seen, several: bool) -> str:
    return f"ours: {seen.label}, {seen.task}" + (f", {seen.dataset}" if several else "")


def _seen_cells(finding: Finding, seen: Seen) -> list[str]:
    return [
        "-" if value is None else f"{value:.{BY_NAME[name].digits}f}"
        for name, value in zip(finding.metrics, seen.values, strict=True)
    ]


def _closing(comparison: PaperComparison) -> Iterator[tuple[str, tuple[str, ...]]]:
    if comparison.sentences:
        yield "What the two do not share", comparison.sentences
    if comparison.paper.notes:
        yield "About the paper's numbers", comparison.paper.notes


def _wrap(sentence: str, mark: str = "") -> str:
    return textwrap.fill(sentence, WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark))


def _aligned(heads: Sequence[Sequence[str]], labels: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: names to the left, numbers to the right, headers of several words on several lines."""
    tall = max(len(words) for words in heads)
    padded = [[""] * (tall - len(words)) + list(words) for words in heads]
    first = max(len(label) for label in labels)
    widths = [max(map(len, [*head, *column])) for head, column in zip(padded, zip(*cells, strict=True), strict=True)]
    body = [("", [head[line] for head in padded]) for line in range(tall)] + list(
        zip(labels, map(list, cells), strict=True)
    )
    return [
        (name.ljust(first) + "".join(cell.rjust(width + 2) for cell, width in zip(line, widths, strict=True))).rstrip()
        for name, line in body
    ]
