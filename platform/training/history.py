"""The metrics of a training run, as its `metrics.jsonl` tells them."""

from __future__ import annotations

import json
from pathlib import Path


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
