"""The page at the end of a training: its best epoch, its curves, sample pictures and its options."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..report import figure, page, picture, plots, table
from .history import BEST, best_epoch
from .options import TrainingSpec

PACE = ("lr", "samples_per_s", "data_wait", "memory_mb", "gpu_memory_mb", "workers", "stage", "damaged")
"""Metrics that tell how the training runs, not how well the model does."""
PLACE = ("epoch", "step", "steps", "seconds", "val_seconds")
"""Metrics that tell where the training is and what its time went to."""
MOST_PICTURES = 4
"""Sample pictures on the page; of more, the first, the last and some between are taken."""

STEPPED = ("workers", "stage", "damaged")
"""Counts among them, which are drawn only where they change."""

_BLUE, _ORANGE, _GREY = "#0b68cb", "#d9730d", "#60646c"
_TITLES = {
    "val_psnr_overlap": "validation PSNR in the overlap (dB)",
    "val_psnr_dynamic": "validation PSNR of what moves (dB)",
    "val_corner_error": "validation corner error (px)",
    "val_overlap": "validation overlap (share of the frame)",
    "lr": "learning rate",
    "samples_per_s": "samples/s",
    "damaged": "damaged samples",
}
_LABELS = {"memory_mb": "resident", "gpu_memory_mb": "GPU"}
_COLUMNS = 2
_MOST_EPOCHS_WITH_DOTS = 40
_WIDE_RANGE = 30.0
"""From this ratio of the largest to the smallest value on, a loss is drawn on a logarithmic axis."""


def is_loss(name: str) -> bool:
    """Whether a metric is neither of the validation nor about pace and place: a loss, a part of it, or the like."""
    return not name.startswith("val_") and name not in (*PACE, *PLACE)


def number(value: float) -> str:
    """A value for the eye: four digits, thousands in full."""
    return f"{value:,.0f}" if 9999.5 <= abs(value) < 1e9 else f"{value:.4g}"


def reading(name: str, value: float) -> str:
    """The value of a metric with its unit; `nan` and `inf` go without."""
    if not math.isfinite(value):
        return str(value)
    if name.endswith("_mb"):
        return f"{value / 1024:.1f} GB" if value >= 1000 else f"{value:.0f} MB"
    if name in ("data_wait", "val_overlap"):
        return f"{100 * value:.0f} %"
    if name.startswith("val_psnr"):
        return f"{value:.2f} dB"
    if name == "val_corner_error":
        return f"{number(value)} px"
    if name in ("seconds", "val_seconds"):
        return f"{number(value)} s"
    return number(value)


def curves(history: list[dict[str, float]]) -> str:
    """Loss, validation PSNR and corner error against epochs, as an HTML image."""
    shown = [key for key in ("loss", "val_psnr_overlap", "val_corner_error") if _points(history, key)]
    return _plot(history, [[key] for key in shown], columns=3)


def training_report(
    name: str,
    spec: TrainingSpec,
    history: list[dict[str, float]],
    pictures: Sequence[Path] = (),
    events: Sequence[str] = (),
) -> str:
    """A self-contained page about one training.

    Args:
        name: of the run.
        spec: what was trained, on what and how.
        history: metrics of all epochs, in order.
        pictures: PNG files of sample alignments, in order; those that are gone are left out, and of many some.
        events: what happened meanwhile, one line each: restarts, other numbers of workers.
    """
    names = _names(history)
    parts = [key for key in names if is_loss(key) and key != "loss"]
    groups: dict[str, list[list[str]]] = {
        "Losses": [["loss"], parts],
        "Validation": [[BEST], ["val_corner_error"], *([key] for key in names if _is_other_validation(key))],
        "Pace": [
            ["lr"],
            ["samples_per_s"],
            ["memory_mb", "gpu_memory_mb"],
            *([key] for key in STEPPED if _varies(history, key)),
        ],
    }
    sections = [("Result", _result(history))]
    for title, group in groups.items():
        shown = [known for keys in group if (known := [key for key in keys if _points(history, key)])]
        if shown:
            sections.append((title, _plot(history, shown, columns=_COLUMNS)))
    images = [picture(path.read_bytes(), path.stem) for path in _some([path for path in pictures if path.is_file()])]
    if images:
        sections.append(("Samples", "\n<br>\n".join(images)))
    if events:
        items = "\n".join(f"<li>{html.escape(text)}</li>" for text in events)
        sections.append(("Events", f"<ul>\n{items}\n</ul>"))
    options = json.dumps({"loop": vars(spec.loop), "augment": spec.augment, "model": spec.model}, indent=1)
    sections.append(("Options", f"<pre>{html.escape(options)}</pre>"))
    count = len(history)
    lead = f"{spec.method} on {spec.data}, {count} {'epoch' if count == 1 else 'epochs'}."
    return page(f"raylign: training of {name}", sections, lead)


def _some(paths: Sequence[Path]) -> list[Path]:
    """At most `MOST_PICTURES` of them, evenly spread."""
    if len(paths) <= MOST_PICTURES:
        return list(paths)
    return [paths[round(number * (len(paths) - 1) / (MOST_PICTURES - 1))] for number in range(MOST_PICTURES)]


def _names(history: Iterable[Mapping[str, float]]) -> list[str]:
    """Names of all metrics, in the order in which they first came."""
    return list(dict.fromkeys(key for entry in history for key in entry))


def _is_other_validation(name: str) -> bool:
    return name.startswith("val_") and name not in (BEST, "val_corner_error", *PLACE)


def _points(history: Iterable[Mapping[str, float]], key: str) -> list[tuple[float, float]]:
    return [(entry["epoch"], entry[key]) for entry in history if math.isfinite(entry.get(key, math.nan))]


def _varies(history: Iterable[Mapping[str, float]], key: str) -> bool:
    return len({value for _, value in _points(history, key)}) > 1


def _result(history: Sequence[Mapping[str, float]]) -> str:
    """The best epoch in a sentence, and its metrics beside those of the last."""
    if not history:
        return "<p>No epoch was finished.</p>"
    last, best = history[-1], best_epoch(history)
    sentence = "<p>No epoch was validated.</p>"
    if best is not None:
        text = f"best: {best[BEST]:.1f} dB at epoch {best['epoch']:.0f} of {last['epoch']:.0f}"
        sentence = (
            f'<p class="big">{text}</p>\n<p class="soft">The highest PSNR in the overlap on validation samples.</p>'
        )
    columns = [last] if best is None or best is last else [best, last]
    header = ["metric", *(f"epoch {entry['epoch']:.0f}" for entry in columns)]
    rows = [
        (key, *(reading(key, entry[key]) if key in entry else "" for entry in columns))
        for key in _names(columns)
        if key not in ("epoch", "step", "steps")
    ]
    return f"{sentence}\n{table(header, rows)}"


def _plot(history: Sequence[Mapping[str, float]], groups: Sequence[Sequence[str]], columns: int) -> str:
    """One small plot for each group of metrics, as an HTML image; groups hold only metrics that are known."""
    if not groups:
        return "<p>Nothing to draw.</p>"
    plt: Any = plots()
    columns = min(columns, len(groups))
    rows = -(-len(groups) // columns)
    width = {1: 6.4, 2: 9.6}.get(columns, 4.2 * columns)
    drawn, axes = plt.subplots(rows, columns, figsize=(width, 3.1 * rows), squeeze=False, layout="constrained")
    drawn.get_layout_engine().set(h_pad=0.1, w_pad=0.1)
    for axis in axes.flat[len(groups) :]:
        axis.set_visible(False)
    for axis, keys in zip(axes.flat, groups, strict=False):
        _draw(axis, history, keys)
    return figure(drawn)


def _draw(axis: Any, history: Sequence[Mapping[str, float]], keys: Sequence[str]) -> None:
    """Draw metrics that belong together into one plot."""
    scale = 1 / 1024 if keys[0].endswith("_mb") else 1.0
    alone = len(keys) == 1
    lines = {key: [(epoch, value * scale) for epoch, value in _points(history, key)] for key in keys}
    for key, points in lines.items():
        style: dict[str, Any] = {"color": _BLUE} if alone else {"label": _LABELS.get(key, key)}
        if key in STEPPED:
            style["drawstyle"] = "steps-mid"
        marker = "." if len(points) < _MOST_EPOCHS_WITH_DOTS else ""
        axis.plot(*zip(*points, strict=True), marker=marker, linewidth=1.5, **style)
    values = [value for points in lines.values() for _, value in points]
    if is_loss(keys[0]) and min(values) > 0 and max(values) > _WIDE_RANGE * min(values):
        axis.set_yscale("log")
    elif keys[0].endswith("_mb") or keys[0] == "samples_per_s":
        axis.set_ylim(0, 1.15 * max(values) or 1)
    elif keys[0] == "val_overlap":
        axis.set_ylim(0, 1)
    elif keys[0] == "lr":
        axis.yaxis.set_major_formatter(lambda value, _: number(value))
    elif keys[0] in STEPPED:
        axis.yaxis.get_major_locator().set_params(integer=True)
    axis.set_title(_title(keys), loc="left", fontsize=10, fontweight="bold")
    axis.set_xlabel("epoch", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.xaxis.get_major_locator().set_params(integer=True, nbins=8, min_n_ticks=1)
    axis.set_xlim(history[0]["epoch"] - 0.5, history[-1]["epoch"] + 0.5)
    if not alone:
        axis.legend(fontsize=8, ncols=2 if len(keys) > 3 else 1, framealpha=0.8)
    if keys[0] == BEST:
        _mark_best(axis, history)
    elif keys[0] == "samples_per_s":
        _add_wait(axis, _points(history, "data_wait"))


def _title(keys: Sequence[str]) -> str:
    if keys[0].endswith("_mb"):
        return "memory (GB)" if len(keys) > 1 or keys[0] == "memory_mb" else "GPU memory (GB)"
    if len(keys) > 1:
        return "parts of the loss, unweighted"
    return _TITLES.get(keys[0], keys[0])


def _mark_best(axis: Any, history: Sequence[Mapping[str, float]]) -> None:
    best = best_epoch(history)
    if best is None:
        return
    axis.plot(best["epoch"], best[BEST], "o", color=_ORANGE, markersize=7, zorder=3)
    late = best["epoch"] > sum(axis.get_xlim()) / 2
    axis.annotate(
        f"{best[BEST]:.1f} dB, epoch {best['epoch']:.0f}",
        (best["epoch"], best[BEST]),
        xytext=(-6 if late else 6, 7),
        textcoords="offset points",
        ha="right" if late else "left",
        color=_ORANGE,
        fontsize=9,
    )
    axis.margins(y=0.18)


def _add_wait(axis: Any, points: list[tuple[float, float]]) -> None:
    """The share of time spent waiting for data, on an axis of its own at the right."""
    if not points:
        return
    right = axis.twinx()
    right.fill_between(*zip(*((epoch, 100 * share) for epoch, share in points), strict=True), color=_GREY, alpha=0.25)
    right.set_ylim(0, 100)
    right.grid(visible=False)
    right.spines["right"].set_visible(True)
    right.tick_params(labelsize=8, colors=_GREY)
    right.set_ylabel("waiting for data (%)", fontsize=9, color=_GREY)
