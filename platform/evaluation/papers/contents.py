"""What is known of a paper: its tables, how they were measured, and what differs when we measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Situation = Literal[
    "measured",
    "same data",
    "other size",
    "own method",
    "baselines",
    "score subsets",
    "other subsets",
    "no subsets",
    "seconds",
]
"""When a difference is worth saying, of our results beside one table.

`measured`: there is any. `same data`: on the table's own. `other size`: pictures of another size than the paper's. `own
method`: the paper's method is among ours. `baselines`: so is one of the published methods that the paper compares
with. `score subsets`, `other subsets`, `no subsets`: ours are ranks of each method's own score, groups of another kind,
or there are none. `seconds`: there are times.
"""


@dataclass(frozen=True)
class Remark:
    """A difference between the paper's measurement and ours, in plain sentences."""

    when: Situation
    text: str


@dataclass(frozen=True)
class Column:
    """One column of a paper's table."""

    header: str
    metric: str | None
    """Our metric, a name of `results.METRICS`; None where we have none."""
    subset: str = ""
    """Our subset; empty for the mean of all cases."""
    digits: int = 2
    """After the point, as the paper prints them."""
    factor: float = 1.0
    """Our number times this is in the paper's unit: 100 for percent of a share."""
    rate: Literal["", "failed", "neither"] = ""
    """Instead of the metric's value, and only where it has one: the share of failed cases, or what is left of 1 beside
    the metric and the failed cases."""


@dataclass(frozen=True)
class PaperRow:
    """One row of a paper's table."""

    name: str
    """As the paper calls it."""
    values: tuple[float | None, ...]
    """One for each column, in the paper's unit; None where the paper prints none."""
    method: str | None = None
    """Our name of the same method, or of the closest that we have."""


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper."""

    title: str
    dataset: str
    """What the paper measured on, by the paper's name."""
    data: str
    """What that is, in a few words."""
    columns: tuple[Column, ...]
    rows: tuple[PaperRow, ...]
    source: str
    """Where the numbers were read, and what speaks against them."""
    reliable: bool = True
    """Whether they were read in the text of the paper itself; others get no differences."""
    layouts: tuple[str, ...] = ()
    """Our names of the public folder layouts of the dataset; none for a dataset that is not public."""
    pairs: tuple[int, ...] = ()
    """Numbers of cases that are the whole of the paper's data; empty where it is not known."""
    size: str = ""
    """`WIDTH x HEIGHT` that the paper measured at; empty where it is not known."""
    alone: bool = True
    """Whether our methods that the table does not have are listed under it."""
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What a paper says without numbers, and where to see the same in our results."""

    text: str
    source: str
    metrics: tuple[str, ...] = ()
    """Those of `results.METRICS` that show it."""
    tasks: tuple[str, ...] = ()
    """Those of `results.Task` that show it."""
    methods: tuple[str, ...] = ()
    """Our names of the methods that it compares."""


@dataclass(frozen=True)
class Paper:
    """A paper whose method is one of ours."""

    number: str
    """What `raylign evaluate --paper` takes: three digits."""
    title: str
    arxiv: str
    method: str
    """Our name of its method."""
    data: str
    """What it measured and trained on."""
    protocol: str
    """How it measured."""
    tables: tuple[PaperTable, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader of its numbers should know, whoever measures."""
