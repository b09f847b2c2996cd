"""What the training loop knows of the world around it: the `Reporter`, and the plain back end.

The loop (`loop.py`) knows neither Ray Train nor Ray Tune. Back ends: `PlainReporter` here, Ray Train's in
`ray_train.py`, Ray Tune's in `raylign.tune`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class Reporter(Protocol):
    """Where a training loop reports to, and where it finds its last checkpoint."""

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""

    @property
    def world_size(self) -> int:
        """How many workers train together."""

    def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        """Tell the metrics of one epoch. Every rank calls it equally often; rank 0 alone brings a checkpoint folder.

        The folder may be deleted by the caller as soon as this returns.
        """

    def latest_checkpoint(self) -> Path | None:
        """A local folder with the last checkpoint that was reported, or None at the start."""

    def should_stop(self) -> bool:
        """True when the loop must end after this epoch."""


class PlainReporter:
    """One process, no Ray: keeps the last checkpoint and all metrics in a folder."""

    rank = 0
    world_size = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history: list[dict[str, float]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        """Keep the metrics in memory and the checkpoint in the folder."""
        self.history.append(dict(metrics))
        if checkpoint is None:
            return
        staged = self.folder / ".incoming"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(checkpoint, staged)
        last = self.folder / "last"
        old = self.folder / ".old"
        shutil.rmtree(old, ignore_errors=True)
        if last.exists():
            last.rename(old)
        staged.rename(last)
        shutil.rmtree(old, ignore_errors=True)

    def latest_checkpoint(self) -> Path | None:
        """The folder `last`, or `.old` if a kill came between the two renames."""
        for name in ("last", ".old"):
            if (self.folder / name).is_dir():
                return self.folder / name
        return None

    def should_stop(self) -> bool:
        """Never: the loop ends by its own count."""
        return False
