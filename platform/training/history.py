"""The metrics of a training run, as its `metrics.jsonl` tells them, and which of its epochs is the best."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

BEST = "val_psnr_overlap"
"""The metric that decides which epoch of the last stage is the best: the highest."""
_STAGE, _WORST = 1000.0, -400.0
"""More than any two PSNR of float32 differ by, and less than any of them."""


def score(metrics: Mapping[str, float]) -> float:
    """How good an epoch is as the end of a training: any of a later stage before all of an earlier one.

    What an earlier stage leaves is no trained model, however well it does in a validation. Within a stage the higher
    `BEST` is better; an epoch without it, or with one that is no number, is behind all others.
    """
    psnr = metrics.get(BEST, math.nan)
    return _STAGE * metrics.get("stage", 0.0) + (psnr if math.isfinite(psnr) else _WORST)


def best_epoch(history: Iterable[Mapping[str, float]]) -> Mapping[str, float] | None:
    """The metrics of the best epoch of the last stage so far, the first of equals; None where it has no `BEST`."""
    best = max(history, key=score, default=None)
    return best if best is not None and math.isfinite(best.get(BEST, math.nan)) else None


def append_epoch(folder: Path, metrics: dict[str, float]) -> None:
    """Add the metrics of one epoch to `metrics.jsonl`."""
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(metrics) + "\n")


def read_history(folder: Path) -> list[dict[str, float]]:
    """Metrics of all epochs so far, in order; one that was repeated after a restart counts once, as it was last."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    epochs: dict[float, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            epochs[entry["epoch"]] = entry
        except (ValueError, KeyError):  # a line cut off by a kill
            continue
    return [epochs[number] for number in sorted(epochs)]
