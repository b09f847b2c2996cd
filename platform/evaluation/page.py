"""The report of an evaluation: one HTML file with tables, charts, comparisons, failures and pictures."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..report import embedded, page
from .axes import legend
from .charts import error_curves, motion_charts, pareto_charts, reliability_charts
from .compare import Comparison, by_place, compare_all
from .gallery import GalleryItem, Pictures, gallery_html
from .lengths import length_charts, length_tables, longest_results, longest_rows
from .page_tables import difficulty_tables, result_tables
from .results import BY_NAME, METRICS, CaseResult
from .tables import TASKS, Row, Table, tables

MOST_FAILURES = 200
"""Failures that are listed; `results.parquet` has all of them."""
FIRST_FAILURES = 12
"""Failures that are seen without opening the list."""
MOST_VALUES = 200_000
"""Numbers of single cases that are kept in the page for its scatter plots."""
MOST_POINTS = 500
"""Cases of a dataset and task in a scatter plot."""

_COMPARED = ("psnr_overlap", "ssim_overlap", "psnr", "ssim", "lpips", "corner_error", "epe", "mee", "seconds")
_FOLDER = Path(__file__).parent


def report_page(
    results: Sequence[CaseResult],
    rows: Sequence[Row],
    settings: Mapping[str, Any],
    gallery: Sequence[GalleryItem] = (),
    left_out: Mapping[str, str] | None = None,
    paper: str = "",
    title: str = "raylign: evaluation",
) -> str:
    """A self-contained page; it loads nothing and runs no script but its own.

    Of sets that were measured at several lengths, all but one section show the longest.

    Args:
        results: every case of every method.
        rows: the table, see `tables`.
        settings: what was run; plain data, shown as it is.
        gallery: cases with pictures, chosen by `choose_items`.
        left_out: methods that could not run, and why.
        paper: HTML that sets a paper's numbers beside ours, see `papers`.
        title: plain text.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lengths = _charts(length_charts(rows, methods), _LENGTHS, methods) + length_tables(rows)
    results, rows = longest_results(results), longest_rows(rows)
    found = tables(rows)
    pictures = Pictures()
    comparisons = compare_all(results, [name for name in _COMPARED if any(name in case.metrics for case in results)])
    sections = [
        ("Results", result_tables(found)),
        ("Over the number of shots", lengths),
        ("Beside the paper", paper),
        ("By dataset and difficulty", difficulty_tables(found, methods)),
        ("Quality against time", _charts(pareto_charts(found, methods), _PARETO, methods)),
        ("Error curves", _charts(error_curves(results, methods), _CURVES, methods)),
        ("Quality against motion", _charts(motion_charts(results, methods), _MOTION, methods)),
        ("Reliability of the confidence", _charts(reliability_charts(results, methods), _RELIABILITY, methods)),
        ("Two methods compared", _comparison(comparisons, methods)),
        ("Failures", _failures([case for case in results if case.failed], gallery, pictures)),
        ("Gallery", gallery_html(gallery, pictures) if gallery else ""),
        ("Metrics", _definitions(found)),
        ("Left out", _left_out(left_out or {})),
        ("Settings", f"<pre>{html.escape(json.dumps(settings, indent=1, default=str))}</pre>" if settings else ""),
    ]
    sections = [(head, body) for head, body in sections if body]
    data = embedded("pictures", pictures.uris()) + embedded("comparisons", _data(results, comparisons, methods))
    sections[-1] = (sections[-1][0], sections[-1][1] + data)
    style, script = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return page(title, sections, _lead(found, methods), style=style, script=script, contents=True)


_LENGTHS = "Means over sets of so many shots, the reference counted."
_PARETO = (
    "Up and to the left is better. The line joins the methods that no other one beats in both; bars are the 95&nbsp;% "
    "interval of the mean."
)
_CURVES = "How many of the cases have at most this error. Failed cases count in the whole, so a curve need not reach 1."
_MOTION = "Means of cases with similar true motion, as many in each bin."
_RELIABILITY = (
    "Of the answers with this confidence, how many are correct: corner or end-point error below 3&nbsp;px. A "
    "calibrated confidence lies on the diagonal. Groups of fewer than three answers are not shown."
)


def _lead(found: Sequence[Table], methods: Sequence[str]) -> str:
    cases = ", ".join(f"{table.title} ({max(row['n'] for row in table.rows)})" for table in found)
    return (
        f"{len(methods)} {'method' if len(methods) == 1 else 'methods'} under one protocol on {cases}. "
        "Numbers are means ± half of their 95 % bootstrap interval over scenes."
    )


def _charts(charts: Sequence[str], lead: str, methods: Sequence[str]) -> str:
    if not charts:
        return ""
    return f'<p>{lead}</p>{legend(methods)}<div class="charts">{"".join(charts)}</div>'


def _comparison(comparisons: Sequence[Comparison], methods: Sequence[str]) -> str:
    compared = {name for comparison in comparisons for name in (comparison.a, comparison.b)}
    names = "".join(
        f'<option value="{number}">{html.escape(name)}</option>'
        for number, name in enumerate(methods)
        if name in compared
    )
    metrics = "".join(
        f"<option>{name}</option>" for name in dict.fromkeys(comparison.metric for comparison in comparisons)
    )
    if not comparisons:
        return ""
    return (
        "<p>Case by case, on the cases that both have; failures count with their values. p is that of Wilcoxon's "
        "signed-rank test, two-sided, with cases taken as independent; the interval resamples scenes.</p>"
        f'<div class="menus"><label>method A <select id="a">{names}</select></label>'
        f'<label>method B <select id="b">{names}</select></label>'
        f'<label>metric <select id="by">{metrics}</select></label></div>'
        '<div id="compared" aria-live="polite"></div>'
    )


def _data(results: Sequence[CaseResult], comparisons: Sequence[Comparison], methods: Sequence[str]) -> dict[str, Any]:
    """What the script needs to show a comparison: the numbers of every one, and single cases for its scatter plots."""
    places = by_place(results)
    names = list(dict.fromkeys(comparison.metric for comparison in comparisons))
    most = min(MOST_POINTS, MOST_VALUES // max(1, len(places) * len(methods) * len(names)))
    groups = [_group(dataset, task, group, methods, names, most) for (dataset, task), group in places.items()]
    order = list(places)
    labels = {
        (*place, key): case.name
        for place, group in places.items()
        for cases in group.values()
        for key, case in cases.items()
    }
    found = [
        {
            "a": methods.index(c.a),
            "b": methods.index(c.b),
            "group": order.index((c.dataset, c.task)),
            "metric": c.metric,
            "n": c.n,
            "alone": [c.only_a, c.only_b],
            "means": [_short(c.mean_a), _short(c.mean_b)],
            "difference": [_short(value) for value in (c.difference, c.low, c.high)],
            "score": [c.wins, c.ties, c.losses],
            "p": _short(c.p),
            "parts": [[x.label, x.n, _short(x.difference), x.wins, x.ties, x.losses] for x in (*c.subsets, *c.motions)],
            "best": [
                [[labels[c.dataset, c.task, key], _short(x)] for key, x in best[:3]]
                for best in (c.best_for_a, c.best_for_b)
            ],
        }
        for c in comparisons
    ]
    told = {name: [BY_NAME[name].unit, BY_NAME[name].better, BY_NAME[name].digits] for name in names}
    return {"methods": list(methods), "metrics": told, "groups": groups, "comparisons": found}


def _group(
    dataset: str,
    task: str,
    group: Mapping[str, Mapping[str, CaseResult]],
    methods: Sequence[str],
    names: Sequence[str],
    most: int,
) -> dict[str, Any]:
    """One dataset and task: at most `most` cases, evenly spread, with the values of every method."""
    cases = {key: case for found in group.values() for key, case in found.items()}
    step = max(1.0, len(cases) / most)
    keys = [list(cases)[int(number * step)] for number in range(min(len(cases), most))]
    values = {
        name: [
            [_short(group[method][key].metrics.get(name)) if key in group.get(method, {}) else None for key in keys]
            for method in methods
        ]
        for name in names
        if any(name in case.metrics for case in cases.values())
    }
    return {
        "title": f"{dataset}, {TASKS[task]}",
        "all": len(cases),
        "names": [cases[key].name for key in keys],
        "subsets": [cases[key].subset for key in keys],
        "values": values,
    }


def _short(value: float | None) -> float | None:
    """Five digits; None, which JSON knows, for what is no finite number."""
    return None if value is None or not abs(value) < float("inf") else float(f"{value:.5g}")


def _failures(failed: Sequence[CaseResult], gallery: Sequence[GalleryItem], pictures: Pictures) -> str:
    if not failed:
        return "<p>No method failed on any case.</p>"
    seen = {(item.method, item.dataset, item.task, item.key): item for item in gallery}
    # Those with pictures first: of very many failures only the first are listed.
    ordered = sorted(failed, key=lambda case: (case.method, case.dataset, case.task, case.key) not in seen)
    lines = []
    for case in ordered[:MOST_FAILURES]:
        item = seen.get((case.method, case.dataset, case.task, case.key))
        images = (
            pictures.image(item.reference, f"reference of {case.name}")
            + pictures.image(item.source, f"source of {case.name}")
            if item
            else ""
        )
        place = f"{case.dataset}, {TASKS[case.task]}"
        cells = [case.method, place, case.name, case.subset, case.error or "no reason told"]
        lines.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + f"<td>{images}</td></tr>")
    counts: dict[str, int] = {}
    for case in failed:
        counts[case.method] = counts.get(case.method, 0) + 1
    told = ", ".join(f"{html.escape(name)} {count}" for name, count in counts.items())
    rest = len(failed) - MOST_FAILURES
    more = f'<p class="soft">{rest} more are in results.parquet.</p>' if rest > 0 else ""
    later = _failure_table(lines[FIRST_FAILURES:])
    hidden = f"<details><summary>{len(lines) - FIRST_FAILURES} more</summary>{later}{more}</details>" if later else ""
    return (
        f"<p>{len(failed)} of the cases failed: {told}. They count in the tables as if nothing had been aligned.</p>"
        f"{_failure_table(lines[:FIRST_FAILURES])}{hidden}"
    )


def _failure_table(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    heads = "".join(f"<th>{head}</th>" for head in ("method", "dataset", "case", "subset", "why", "reference, source"))
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="failures"><table class="failures">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _definitions(found: Sequence[Table]) -> str:
    shown = {metric.name for table in found for metric in table.metrics}
    lines = "".join(
        f"<tr><td><code>{m.name}</code></td><td>{html.escape(m.unit)}</td><td>{m.better}</td>"
        f"<td>{html.escape(m.definition)}</td><td>{html.escape(m.source)}</td></tr>"
        for m in METRICS
        if m.name in shown
    )
    heads = "".join(f"<th>{head}</th>" for head in ("metric", "unit", "better", "definition", "source"))
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="metrics"><table class="words">'
        f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _left_out(left_out: Mapping[str, str]) -> str:
    items = "".join(f"<li><b>{html.escape(name)}</b>: {html.escape(why)}</li>" for name, why in left_out.items())
    return f"<ul>{items}</ul>" if items else ""
