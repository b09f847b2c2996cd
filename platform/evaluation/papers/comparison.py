"""Our results beside a paper's: which of ours belongs to which row, and what the numbers do not share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ....methods.registry import names
from .contents import Column, Finding, Paper, PaperRow, PaperTable, Situation

Row = dict[str, Any]
"""One of our results: `{"method", "dataset", "task", "n", "failed", "metrics", "subsets"}`."""

OF_THE_MACHINE = ("seconds", "memory_mb")
"""Metrics that say as much about the machine as about the method: they get no differences."""


@dataclass(frozen=True)
class Ours:
    """One of our results in the columns of a paper's table, in the paper's units."""

    label: str
    """What the user calls the method or model."""
    dataset: str
    """Label of our dataset."""
    values: tuple[float | None, ...]
    differences: tuple[float | None, ...] | None
    """Ours less the paper's; None where the data are not the same."""


@dataclass(frozen=True)
class Line:
    """One row of the paper with our results beside it; without `row` ours stands alone."""

    row: PaperRow | None
    ours: tuple[Ours, ...]


@dataclass(frozen=True)
class TableComparison:
    """One table of the paper with our results beside it."""

    table: PaperTable
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Seen:
    """One of our results where a finding shows."""

    label: str
    dataset: str
    task: str
    values: tuple[float | None, ...]
    """One for each metric of the finding, in our units."""


@dataclass(frozen=True)
class PaperComparison:
    """A paper beside our results.

    Attributes:
        paper: the paper.
        tables: its tables, in order.
        findings: what it says without numbers, each with our results.
        sentences: what the two measurements do not share.
        datasets: labels of our datasets beside it.
    """

    paper: Paper
    tables: tuple[TableComparison, ...]
    findings: tuple[tuple[Finding, tuple[Seen, ...]], ...]
    sentences: tuple[str, ...]
    datasets: tuple[str, ...]


def beside(paper: Paper, rows: Sequence[Row], settings: dict[str, Any]) -> PaperComparison:
    """Put our results beside a paper's.

    Tables take results of single pairs. A table takes our results on its own dataset; where there are none, those on
    datasets that no other table of the paper is about. Differences are given where the data are the same: its dataset
    in the public layout, all pairs of it, at the paper's size.

    Args:
        paper: from `paper`.
        rows: ours, `{"method", "dataset", "task", "n", "failed", "metrics": {name: {"mean", ...}}, "subsets": {subset:
            {"n", "metrics"}}}`; may be empty.
        settings: of the evaluation. `datasets`, of each dataset of the rows `{"label", "layout", "split", "size"}`:
            `shards` or the name of a public layout; None for all samples; width and height. Further `"subsets":
            "score"` where its subsets are ranks of each method's own score. `models`, `{"name", "method"}` of each
            model whose name is not that of its method.
    """
    pairs = [row for row in rows if row["task"] == "pair"]
    measured = {row["dataset"] for row in pairs}
    entries = {entry["label"]: entry for entry in settings.get("datasets", []) if entry["label"] in measured}
    models = {model["name"]: model["method"] for model in settings.get("models", [])}
    tables, sentences = [], []
    for table in paper.tables:
        labels = _labels(paper, table, entries)
        chosen = [row for row in pairs if row["dataset"] in labels]
        compared = TableComparison(table, tuple(_lines(table, chosen, entries, models)))
        tables.append(compared)
        sentences += _sentences(paper, compared, chosen, entries)
    findings = tuple((finding, tuple(_seen(finding, rows, models))) for finding in paper.findings)
    shown = [ours.dataset for compared in tables for line in compared.lines for ours in line.ours]
    shown += [seen.dataset for _, found in findings for seen in found]
    if not shown:
        wanted = {row.method for table in paper.tables for row in table.rows if row.method}
        wanted.update(method for finding in paper.findings for method in finding.methods)
        sentences.append(
            "Nothing of ours is here yet: raylign evaluate --data URL --methods "
            f"{' '.join(sorted(wanted & set(names())))} --paper {paper.number}"
        )
    unique = tuple(dict.fromkeys(sentences))
    return PaperComparison(paper, tuple(tables), findings, unique, tuple(dict.fromkeys(shown)))


def _labels(paper: Paper, table: PaperTable, entries: dict[str, Row]) -> list[str]:
    """Our datasets that may stand beside a table: its own, else those that are no other table's."""
    own = [label for label, entry in entries.items() if entry["layout"] in table.layouts]
    taken = {layout for other in paper.tables for layout in other.layouts}
    return own or [label for label, entry in entries.items() if entry["layout"] not in taken]


def _lines(table: PaperTable, rows: list[Row], entries: dict[str, Row], models: dict[str, str]) -> Iterator[Line]:
    """The paper's rows in order, then our results that belong to none of them."""
    own = {row.method: row for row in table.rows if row.method}
    beside_row: dict[str, list[Ours]] = {}
    alone = []
    for result in rows:
        method = models.get(result["method"], result["method"])
        values = tuple(_value(column, result) for column in table.columns)
        if all(value is None for value in values):
            continue
        if method in own:
            differences = _differences(table, own[method], values, result, entries[result["dataset"]])
            beside_row.setdefault(method, []).append(Ours(result["method"], result["dataset"], values, differences))
        elif table.alone:
            alone.append(Line(None, (Ours(result["method"], result["dataset"], values, None),)))
    for row in table.rows:
        yield Line(row, tuple(beside_row.get(row.method or "", ())))
    yield from alone


def _value(column: Column, row: Row) -> float | None:
    """Our number for a column, in the paper's unit."""
    part = row["subsets"].get(column.subset, {"metrics": {}}) if column.subset else row
    if column.metric not in part["metrics"]:
        return None
    failed = row["failed"] / row["n"]
    mean = part["metrics"][column.metric]["mean"]
    return column.factor * {"": mean, "failed": failed, "neither": 1 - mean - failed}[column.rate]


def _differences(
    table: PaperTable, row: PaperRow, values: tuple[float | None, ...], result: Row, entry: Row
) -> tuple[float | None, ...] | None:
    if not same_data(table, result["n"], entry):
        return None
    return tuple(
        None
        if ours is None
        or theirs is None
        or column.metric in OF_THE_MACHINE
        or (column.subset and entry.get("subsets") != "score")
        else ours - theirs
        for column, ours, theirs in zip(table.columns, values, row.values, strict=True)
    )


def same_data(table: PaperTable, n: int, entry: Row) -> bool:
    """Whether a result on `n` cases of one of our datasets was measured on the data of a table that can be relied on.

    Args:
        table: of the paper.
        n: cases of the result.
        entry: the dataset, as in `beside`.
    """
    return table.reliable and entry["layout"] in table.layouts and n in table.pairs and _same_size(table, entry)


def _same_size(table: PaperTable, entry: Row) -> bool:
    return not table.size or _size(entry) == table.size


def _size(entry: Row) -> str:
    return " x ".join(str(side) for side in entry["size"])


def _seen(finding: Finding, rows: Sequence[Row], models: dict[str, str]) -> Iterator[Seen]:
    for row in rows:
        if row["task"] not in finding.tasks or models.get(row["method"], row["method"]) not in finding.methods:
            continue
        values = tuple(row["metrics"].get(metric, {}).get("mean") for metric in finding.metrics)
        if any(value is not None for value in values):
            yield Seen(row["method"], row["dataset"], row["task"], values)


def _sentences(paper: Paper, compared: TableComparison, rows: list[Row], entries: dict[str, Row]) -> list[str]:
    """What our results beside one table do not share with it."""
    shown = [(line.row, ours) for line in compared.lines for ours in line.ours]
    if not shown:
        return []
    table = compared.table
    labels = list(dict.fromkeys(ours.dataset for _, ours in shown))
    counts = {label: sorted({row["n"] for row in rows if row["dataset"] == label}) for label in labels}
    said = [_data_sentence(table, entries[label], counts[label]) for label in labels]
    situations = _situations(paper, table, shown, [entries[label] for label in labels], counts)
    said += [remark.text for remark in table.remarks if remark.when in situations]
    for row in rows:
        if row["failed"] and (row["method"], row["dataset"]) in {(ours.label, ours.dataset) for _, ours in shown}:
            said.append(
                f"{row['method']} failed on {row['failed']:,} of {row['n']:,} cases of {row['dataset']}: their "
                "pictures are those of no alignment, their errors below no threshold."
            )
    return said


def _data_sentence(table: PaperTable, entry: Row, counts: list[int]) -> str:
    """Whether one of our datasets is the paper's."""
    cases = " or ".join(f"{count:,}" for count in counts)
    split = "" if entry["split"] is None else f"split {entry['split']}, "
    ours = f"{entry['label']} ({split}{cases} cases, {_size(entry)})"
    if entry["layout"] not in table.layouts:
        return (
            f"{table.dataset} in the paper: {table.data}. Ours is {ours}: other pictures. The order of the methods can "
            "be compared, the numbers cannot, and no differences are given."
        )
    if not table.reliable:
        return f"{ours} is {table.dataset}, but the paper's numbers are not certain ({table.source}): no differences."
    if all(same_data(table, count, entry) for count in counts):
        return f"{ours} is the paper's data, {table.dataset}; differences are ours less the paper's."
    return (
        f"{ours} is {table.dataset}, but not all of it or not at its size ({table.data}): differences are given only "
        "where all pairs were measured at that size."
    )


def _situations(
    paper: Paper,
    table: PaperTable,
    shown: list[tuple[PaperRow | None, Ours]],
    entries: list[Row],
    counts: dict[str, list[int]],
) -> set[Situation]:
    found: set[Situation] = {"measured"}
    for entry in entries:
        if any(same_data(table, count, entry) for count in counts[entry["label"]]):
            found.add("same data")
        if not _same_size(table, entry):
            found.add("other size")
    methods = {row.method for row, _ in shown if row}
    if paper.method in methods:
        found.add("own method")
    if methods - {paper.method, "identity"}:
        found.add("baselines")
    for position, column in enumerate(table.columns):
        there = {ours.dataset for _, ours in shown if ours.values[position] is not None}
        if column.metric == "seconds" and there:
            found.add("seconds")
        if column.subset:
            for entry in entries:
                if entry["label"] not in there:
                    found.add("no subsets")
                else:
                    found.add("score subsets" if entry.get("subsets") == "score" else "other subsets")
    return found
