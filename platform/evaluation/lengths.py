"""Quality over the number of shots of a set: the tables and charts of `--lengths`.

Sets of each length are a dataset of their own, `LABEL@LENGTH`, and a row of one tells its `length`.
"""

from __future__ import annotations

import html
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ..report import plots
from .axes import Axes, fitted
from .results import BY_NAME, CaseResult, Metric
from .tables import TASKS, Cell, Row, Table, heading, markdown_line, markdown_text, tables

METRICS = ("rmse", "psnr", "ssim", "corner_error", "auc5", "ncc", "sharpness", "glare")
"""What is shown over the length: DIAR's figures 10 to 12, how well sets are aligned, sets without a true picture."""

DRAWN = ("rmse", "psnr", "ssim")
"""What a chart file shows."""


@dataclass(frozen=True)
class Lengths:
    """One dataset and task, measured at several lengths."""

    dataset: str
    """Its label without any length."""
    task: str
    tables: dict[int, Table]
    """By length, ascending."""

    @property
    def title(self) -> str:
        """For people: `prints, aligned sets`."""
        return f"{self.dataset}, {TASKS[self.task]}"

    @property
    def metrics(self) -> list[Metric]:
        """Those of `METRICS` that any length has."""
        had = {metric.name for table in self.tables.values() for metric in table.metrics}
        return [BY_NAME[name] for name in METRICS if name in had]

    @property
    def methods(self) -> list[str]:
        """Names, in the order of the longest sets, best first."""
        rows = [row for length in sorted(self.tables, reverse=True) for row in self.tables[length].rows]
        return list(dict.fromkeys(str(row["method"]) for row in rows))

    def cells(self, metric: Metric) -> dict[str, dict[int, Cell]]:
        """Cell by method and length."""
        found: dict[str, dict[int, Cell]] = {name: {} for name in self.methods}
        for length, table in self.tables.items():
            for row, cell in zip(table.rows, table.cells(metric), strict=True):
                found[row["method"]][length] = cell
        return found

    def lines(self, metric: Metric) -> dict[str, list[tuple[float, float]]]:
        """(length, mean) by method, of the methods that have any."""
        cells = self.cells(metric)
        lines = {
            name: [(float(length), cell.mean) for length, cell in own.items() if cell.mean is not None]
            for name, own in cells.items()
        }
        return {name: line for name, line in lines.items() if line}


def by_length(rows: Sequence[Row]) -> list[Lengths]:
    """What was measured by its length."""
    places: dict[tuple[str, str], dict[int, Table]] = {}
    for table in tables([row for row in rows if "length" in row]):
        length = int(table.rows[0]["length"])
        places.setdefault((_base(table.dataset, length), table.task), {})[length] = table
    return [Lengths(dataset, task, dict(sorted(own.items()))) for (dataset, task), own in places.items()]


def longest_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows without those of sets of which longer ones were measured too."""
    kept = _kept((row["dataset"], row.get("length")) for row in rows)
    return [row for row in rows if row["dataset"] in kept]


def longest_results(results: Sequence[CaseResult]) -> list[CaseResult]:
    """As `longest_rows`."""
    kept = _kept((result.dataset, result.length) for result in results)
    return [result for result in results if result.dataset in kept]


def length_charts(rows: Sequence[Row], methods: Sequence[str]) -> list[str]:
    """Each metric over the length, one chart per dataset and task; SVG figures.

    Args:
        rows: of the evaluation.
        methods: all methods; the place of one gives its colour.
    """
    charts = []
    for place in by_length(rows):
        if len(place.tables) < 2:
            continue
        for metric in place.metrics:
            lines = place.lines(metric)
            points = [point for line in lines.values() for point in line]
            x = fitted([float(length) for length in place.tables], log=True)
            y = fitted([value for _, value in points])
            axes = Axes(f"{place.title}: {metric.name}", x, y, "shots", metric.unit)
            for name, line in lines.items():
                axes.line(line, methods.index(name), name, dots=True)
            charts.append(axes.svg())
    return charts


def length_tables(rows: Sequence[Row]) -> str:
    """HTML tables, a line for each method and a column for each length; the best of a column is bold."""
    parts = []
    for place in by_length(rows):
        for metric in place.metrics:
            heads = "".join(f"<th>{head}</th>" for head in ("method", *place.tables))
            lines = "".join(
                f'<tr><th scope="row">{html.escape(name)}</th>'
                + "".join(_html_cell(own.get(length)) for length in place.tables)
                + "</tr>"
                for name, own in place.cells(metric).items()
            )
            title = html.escape(f"{place.title}: {heading(metric)}")
            parts.append(
                f'<h3>{title}</h3><div class="scroll" tabindex="0" role="region" aria-label="{title}"><table>'
                f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
            )
    return "".join(parts)


def length_markdown(rows: Sequence[Row]) -> str:
    """The same as Markdown; empty where nothing was measured by its length."""
    blocks = []
    for place in by_length(rows):
        for metric in place.metrics:
            head = [f"**{markdown_text(place.title)}: {heading(metric)}**", ""]
            head += [markdown_line(["method", *map(str, place.tables)])]
            head += ["|" + "|".join(["---", *["--:"] * len(place.tables)]) + "|"]
            lines = [
                markdown_line([f"`{markdown_text(name)}`", *(_markdown_cell(own.get(each)) for each in place.tables)])
                for name, own in place.cells(metric).items()
            ]
            blocks.append("\n".join([*head, *lines]))
    return "\n\n".join(blocks) + "\n" if blocks else ""


def length_figure(rows: Sequence[Row], form: str) -> bytes:
    """`DRAWN` over the length as a picture file, a row of charts for each dataset and task.

    Args:
        rows: of the evaluation; some tell a length.
        form: `png` or `svg`.
    """
    places = [place for place in by_length(rows) if any(metric.name in DRAWN for metric in place.metrics)]
    plt = plots()
    figure, grid = plt.subplots(len(places), len(DRAWN), figsize=(12, 3.4 * len(places)), squeeze=False)  # type: ignore[attr-defined]
    names = list(dict.fromkeys(name for place in places for name in place.methods))
    for place, charts in zip(places, grid, strict=True):
        for metric, chart in zip((BY_NAME[name] for name in DRAWN), charts, strict=True):
            for name, line in place.lines(metric).items():
                number = names.index(name)
                style = ("-", "--", ":")[number // 10 % 3]
                chart.plot(*zip(*line, strict=True), style, marker=".", color=f"C{number % 10}", label=name)
            chart.set_xscale("log")
            chart.set_xticks(list(place.tables), [str(length) for length in place.tables], minor=False)
            chart.set_xticks([], minor=True)
            chart.set(title=f"{place.title}: {metric.name}", xlabel="shots", ylabel=metric.unit)
    shown = {text: line for chart in grid.flat for line, text in zip(*chart.get_legend_handles_labels(), strict=True)}
    figure.tight_layout()
    figure.legend(shown.values(), shown.keys(), loc="upper center", bbox_to_anchor=(0.5, 0), ncols=min(6, len(shown)))
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, dpi=110, bbox_inches="tight")
    plt.close(figure)  # type: ignore[attr-defined]
    return buffer.getvalue()


def _base(dataset: str, length: int) -> str:
    return dataset.removesuffix(f"@{length}")


def _kept(found: Iterable[tuple[str, int | None]]) -> Collection[str]:
    """Datasets without a length, and of each other one the longest."""
    whole: set[str] = set()
    longest: dict[str, tuple[int, str]] = {}
    for dataset, length in found:
        if length is None:
            whole.add(dataset)
        else:
            base = _base(dataset, length)
            longest[base] = max(longest.get(base, (0, "")), (length, dataset))
    return whole | {dataset for _, dataset in longest.values()}


def _html_cell(cell: Cell | None) -> str:
    if cell is None or cell.mean is None:
        reason = html.escape(cell.reason) if cell else "there are no sets of this length"
        return f'<td class="none" title="{reason}">-</td>'
    return f'<td class="best">{cell.text}</td>' if cell.best else f"<td>{cell.text}</td>"


def _markdown_cell(cell: Cell | None) -> str:
    if cell is None or cell.mean is None:
        return "-"
    return f"**{cell.text}**" if cell.best else cell.text
