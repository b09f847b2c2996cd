"""The page of a study: tables, seeds against each other, and the options of each variant."""

from __future__ import annotations

import html
from typing import Any

import yaml

from ..evaluation.compare import by_difficulty
from ..evaluation.results import BY_NAME
from ..evaluation.summary import RANKING
from ..evaluation.tables import TASKS, heading
from ..report import figure, page, plots, table
from .results import ALL
from .tables import text_tables, unfinished


def study_page(document: dict[str, Any], file: str) -> str:
    """The report of a study as one HTML file.

    Args:
        document: what `table.json` holds.
        file: the study file's text.
    """
    sections = [
        (found.title, f"<p class='soft'>{html.escape(found.note)}</p>{table(found.header, found.cells)}")
        for found in text_tables(document)
    ]
    drawn = _seeds(document)
    if drawn:
        sections.append(("Every seed", drawn))
    lines = unfinished(document)
    if lines:
        listed = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        sections.insert(0, ("Not done", f"<ul>{listed}</ul>"))
    options = yaml.safe_dump({name: facts["options"] for name, facts in document["variants"].items()}, sort_keys=False)
    sections.append(("Options of each variant", f"<pre>{html.escape(options)}</pre>"))
    sections.append(("Study file", f"<pre>{html.escape(file)}</pre>"))
    seeds = ", ".join(map(str, document["study"]["seeds"]))
    head = f"{len(document['variants'])} variants of {document['study']['method']}, seeds {seeds}"
    lead = f"{head}, trained alike. A star marks the best of a column."
    return page(f"study {document['name']}", sections, lead)


def _seeds(document: dict[str, Any]) -> str:
    """A dot per seed by the metric that ranks, a panel per test and task, a colour per subset."""
    rows = document["rows"]
    places = list(dict.fromkeys((row["test"], row["task"]) for row in rows))
    if not places:
        return ""
    variants = list(document["variants"])
    plt: Any = plots()
    drawn, axes = plt.subplots(1, len(places), figsize=(6.2 * len(places), 0.5 * len(variants) + 1.4), squeeze=False)
    for axis, (test, task) in zip(axes[0], places, strict=True):
        own = [row for row in rows if (row["test"], row["task"]) == (test, task)]
        metric = document["study"]["metric"] or RANKING[task]
        subsets = [ALL, *by_difficulty({row["subset"] for row in own} - {ALL})]
        for subset in subsets:
            points = [
                (value, variants.index(row["variant"]))
                for row in own
                if row["subset"] == subset and metric in row["metrics"]
                for value in row["metrics"][metric]["values"]
            ]
            if points:
                axis.scatter(
                    *zip(*points, strict=True), label=subset or "all", s=60 if subset == ALL else 24, alpha=0.8
                )
        axis.set_yticks(range(len(variants)), variants)
        axis.invert_yaxis()
        axis.set_xlabel(heading(BY_NAME[metric]))
        axis.set_title(f"{test}, {TASKS[task]}", fontsize=10)
        axis.legend(fontsize=8)
    drawn.tight_layout()
    return figure(drawn)
