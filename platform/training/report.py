"""The page at the end of a training: its curves and its options."""

from __future__ import annotations

import html
import json
from typing import Any

from ..report import figure, page, plots, table
from .options import TrainingSpec


def curves(history: list[dict[str, float]]) -> str:
    """Loss, validation PSNR and corner error against epochs, as an HTML image."""
    plt: Any = plots()
    shown = [
        ("loss", "loss"),
        ("val_psnr_overlap", "validation PSNR in the overlap (dB)"),
        ("val_corner_error", "validation corner error (px)"),
    ]
    shown = [(key, title) for key, title in shown if any(key in entry for entry in history)]
    drawn, axes = plt.subplots(1, len(shown), figsize=(4.2 * len(shown), 3.1), squeeze=False)
    for axis, (key, title) in zip(axes[0], shown, strict=True):
        points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
        axis.plot(*zip(*points, strict=True), marker="." if len(points) < 40 else "", color="#0b68cb")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch")
    drawn.tight_layout()
    return figure(drawn)


def training_report(name: str, spec: TrainingSpec, history: list[dict[str, float]]) -> str:
    """A self-contained page about one training."""
    last = history[-1]
    facts = table(["metric", "last epoch"], [(key, f"{value:.4g}") for key, value in last.items()])
    options = json.dumps({"loop": vars(spec.loop), "augment": spec.augment, "model": spec.model}, indent=1)
    return page(
        f"raylign: training of {name}",
        [("Curves", curves(history)), ("Metrics", facts), ("Options", f"<pre>{html.escape(options)}</pre>")],
        f"{spec.method} on {spec.data}, {len(history)} epochs.",
    )
