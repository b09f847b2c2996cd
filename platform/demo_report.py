"""The page at the end of the demo: data, training, sweep, table and served pair, all with measured numbers."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..methods.errors import RaylignError
from .data.preview import contact_sheet
from .data.shards import DatasetInfo
from .evaluation.tables import plain_cells, tables
from .report import figure, page, picture, plots, slider, table
from .runs import write_text
from .training.history import read_history
from .training.report import curves

if TYPE_CHECKING:
    from .demo import Step


_COLUMNS = ("psnr_overlap", "ssim_overlap", "overlap", "corner_error", "seconds")
"""Metrics in the report's table; `evaluation.html` has all of them."""


def _table(rows: list[dict[str, Any]]) -> str:
    [found] = tables(rows, _COLUMNS)
    header, cells, _ = plain_cells(found, found.metrics)
    return table(header, cells)


def write_report(folder: Path, steps: dict[str, Step], served: dict[str, Any], timings: dict[str, float]) -> float:
    """Write `report.html` into the demo's folder.

    Args:
        folder: `runs/demo`.
        steps: the commands that were run.
        served: what `serve_pair` returned.
        timings: seconds of each step.

    Returns:
        By how many dB of overlap PSNR the trained model beats identity on held-out scenes.
    """
    data = str((folder / "data").absolute())
    info = DatasetInfo.load(data)
    rows = json.loads((folder / "evaluation.json").read_text())["rows"]
    gain, verdict = _verdict(rows)
    first, end = info.splits["test"]
    ran = [
        f"<p>{html.escape(step.title)} ({timings[key]:.0f} s)</p>\n<pre>{html.escape(step.command)}</pre>"
        for key, step in steps.items()
    ]
    ran.append(
        f"<p>serve the champion, align one pair both ways ({timings['serve']:.0f} s)</p>\n<pre>raylign serve</pre>"
    )
    sections = [
        ("In one number", f'<p class="big">{gain:+.1f} dB</p><p class="soft">{html.escape(verdict)}</p>'),
        (
            f"Data: {info.scenes} rendered scenes",
            picture(
                contact_sheet(data, None, 6),
                "One scene a row: the undisturbed picture, then frames under changing light, view and occluders. "
                "The homography between any two frames is known exactly.",
            ),
        ),
        ("Training", curves(read_history(Path("runs/train/demo")))),
        ("Sweep", _sweep(Path("runs/tune/demo"))),
        (f"Held-out scenes {first} to {end - 1}", _table(rows)),
        ("One held-out pair, served", _pair(served)),
        ("What ran", "\n".join(ran)),
    ]
    write_text(
        folder / "report.html",
        page(
            "raylign demo",
            sections,
            f"Render, train, search, measure, serve: this run took {timings['all']:.0f} s.",
        ),
    )
    return gain


def _verdict(rows: list[dict[str, Any]]) -> tuple[float, str]:
    """The gain over identity, and a sentence about it from the rows of the table."""
    by_name = {row["method"]: row["metrics"] for row in rows}
    trained = next((name for name in by_name if name not in ("identity", "sift")), None)
    if trained is None or "identity" not in by_name:
        raise RaylignError("the demo's table lacks the trained model; delete runs/demo and run it again")
    ours, base = by_name[trained], by_name["identity"]
    gain = ours["psnr_overlap"]["mean"] - base["psnr_overlap"]["mean"]
    sentence = (
        f"overlap PSNR of the trained model over identity on {rows[0]['n']} held-out pairs: "
        f"{ours['psnr_overlap']['mean']:.2f} dB against {base['psnr_overlap']['mean']:.2f} dB, at an overlap of "
        f"{100 * ours['overlap']['mean']:.0f} %; mean corner error {ours['corner_error']['mean']:.1f} px against "
        f"{base['corner_error']['mean']:.1f} px."
    )
    return gain, sentence


def _sweep(folder: Path) -> str:
    """The trials of the sweep, best first, and a plot of what each hyperparameter's values came to."""
    content = json.loads((folder / "results.json").read_text())
    metric = content["settings"]["metric"]
    trials = sorted(content["trials"], key=lambda trial: -(trial[metric] or 0.0))
    names = sorted({name for trial in trials for name in trial["params"]})
    plt: Any = plots()
    drawn, axes = plt.subplots(1, len(names), figsize=(3.6 * len(names), 2.9), sharey=True, squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        points = [(trial["params"][name], trial[metric]) for trial in trials if trial[metric] is not None]
        axis.scatter(*zip(*points, strict=True), color="#0b68cb")
        axis.set_xlabel(name)
        if name.endswith("lr"):
            axis.set_xscale("log")
            axis.minorticks_off()
    axes[0][0].set_ylabel(metric)
    drawn.tight_layout()
    rows = [
        [trial["trial"], *(_short(trial["params"].get(name)) for name in names), _short(trial[metric]), trial["state"]]
        for trial in trials
    ]
    return figure(drawn) + table(["trial", *names, metric, "state"], rows)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _pair(served: dict[str, Any]) -> str:
    reference, source, aligned = (Path(served[name]).read_bytes() for name in ("reference", "source", "served"))
    note = f"The service answered in {served['seconds']:.2f} s; its bytes equal those of 'raylign align'."
    sliders = slider(reference, source, "Before: source on the left of the divider, reference on the right.")
    sliders += slider(reference, aligned, "After: aligned source on the left, reference on the right.")
    return f'<p>{html.escape(note)}</p><div class="pair">{sliders}</div>'
