"""What the training loop knows of the world around it: the `Reporter`, and the plain back end.

The loop (`loop.py`) knows neither Ray Train nor Ray Tune. Back ends: `PlainReporter` here, Ray Train's in
`ray_train.py`, Ray Tune's in `raylign.tune`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError

from ..data.shards import write_error
from ..runs import write_bytes, write_text
from .history import BEST, score


class Checkpoint(Protocol):
    """A training as it stood at one moment, in memory of its own (`state.Snapshot`)."""

    def write(self, folder: Path) -> None:
        """Write its files into a folder that exists."""


class Reporter(Protocol):
    """Where a training loop reports to, and where it finds its last checkpoint."""

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""

    @property
    def world_size(self) -> int:
        """How many workers train together."""

    def report(self, metrics: Mapping[str, float], checkpoint: Checkpoint | None) -> None:
        """Tell the metrics of one epoch. Every rank calls it equally often; rank 0 alone brings a checkpoint.

        It may be written after this returns, but before the next one.
        """

    def save(self, checkpoint: Checkpoint | None) -> None:
        """Keep a checkpoint from within an epoch. Every rank calls it equally often; rank 0 alone brings one."""

    def tell(self, metrics: Mapping[str, float]) -> None:
        """How the running epoch goes, about once a second; for whoever watches. Only rank 0 calls it."""

    def keep(self, name: str, content: bytes) -> None:
        """Keep a file with the run; any rank, at any time."""

    def latest_checkpoint(self) -> Path | None:
        """A local folder with the last checkpoint that was reported or saved, or None at the start."""

    def should_stop(self) -> bool:
        """True when the loop must end after this epoch."""

    def close(self) -> None:
        """Wait until all checkpoints are written; the loop calls it at its end."""


class PlainReporter:
    """One process, no Ray: keeps the last checkpoint in a folder, and the metrics in memory.

    Checkpoints are written by a thread; `close` waits for it.
    """

    rank = 0
    world_size = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history: list[dict[str, float]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = ThreadPoolExecutor(1, "raylign-checkpoint")
        self._written: Future[None] | None = None

    def report(self, metrics: Mapping[str, float], checkpoint: Checkpoint | None) -> None:
        """Keep the metrics in memory and the checkpoint in the folder."""
        self.history.append(dict(metrics))
        self.save(checkpoint)

    def save(self, checkpoint: Checkpoint | None) -> None:
        """Keep the checkpoint in the folder."""
        if checkpoint is not None:
            self.close()
            self._written = self._writer.submit(self._write, checkpoint)

    def tell(self, metrics: Mapping[str, float]) -> None:
        """Nobody watches."""

    def keep(self, name: str, content: bytes) -> None:
        """Write the file into the folder."""
        write_bytes(self.folder / name, content)

    def latest_checkpoint(self) -> Path | None:
        """The folder `last`, or `.old` if a kill came between the two renames."""
        self.close()
        for name in ("last", ".old"):
            if (self.folder / name).is_dir():
                return self.folder / name
        return None

    def should_stop(self) -> bool:
        """Never: the loop ends by its own count."""
        return False

    def close(self) -> None:
        """Wait until the last checkpoint is written; its error comes out here."""
        if self._written is not None:
            self._written.result()
            self._written = None

    def _write(self, checkpoint: Checkpoint) -> None:
        staged = self.folder / ".incoming"
        shutil.rmtree(staged, ignore_errors=True)
        try:
            staged.mkdir()
            checkpoint.write(staged)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(staged, ignore_errors=True)
            raise write_error(staged, error if isinstance(error, OSError) else OSError(str(error))) from None
        last = self.folder / "last"
        old = self.folder / ".old"
        shutil.rmtree(old, ignore_errors=True)
        if last.exists():
            last.rename(old)
        staged.rename(last)
        shutil.rmtree(old, ignore_errors=True)


class Watched(PlainReporter):
    """A `PlainReporter` that someone listens to, and that also keeps the best checkpoint (`history.score`)."""

    def __init__(
        self,
        folder: Path,
        epoch: Callable[[dict[str, float]], None],
        running: Callable[[Mapping[str, float]], None],
        keep: Callable[[str, bytes], None],
    ) -> None:
        """Make a reporter that calls `epoch`, `running` and `keep` with what the loop tells."""
        super().__init__(folder)
        self._epoch, self._running, self._keep = epoch, running, keep

    def report(self, metrics: Mapping[str, float], checkpoint: Checkpoint | None) -> None:
        """Also keep the checkpoint as the best, if it is."""
        # Told first: an epoch that a kill undoes is told again, but one that is never told would be missing for ever.
        self._epoch(dict(metrics))
        super().report(metrics, checkpoint)
        if checkpoint is not None and BEST in metrics:
            self.close()
            self._written = self._writer.submit(self._keep_if_best, dict(metrics))

    def tell(self, metrics: Mapping[str, float]) -> None:
        """To the listener."""
        self._running(metrics)

    def keep(self, name: str, content: bytes) -> None:
        """To the listener."""
        self._keep(name, content)

    def _keep_if_best(self, metrics: dict[str, float]) -> None:
        known = self.folder / "best.json"
        if known.exists() and score(metrics) <= score(json.loads(known.read_text())):
            return
        shutil.rmtree(self.folder / "best", ignore_errors=True)
        shutil.copytree(self.folder / "last", self.folder / "best")
        write_text(known, json.dumps(metrics))
