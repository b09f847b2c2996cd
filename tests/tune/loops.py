"""Stand-ins for the training loop: cheap, and with the faults that a sweep must survive."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from raylign.platform.training.options import TrainingSpec
from raylign.platform.training.reporter import Checkpoint, Reporter


def quality(spec: TrainingSpec, epoch: int) -> float:
    """A number that grows with the epochs, most for jnd_weight near 1 and few levels."""
    return 20.0 - 5 * abs(spec.model["jnd_weight"] - 1) - spec.model["levels"] + 0.1 * epoch


def train(spec: TrainingSpec, reporter: Reporter, *, seconds: float = 0.0) -> dict[str, float]:
    """Reports `quality` and leaves a checkpoint with the epoch."""
    checkpoint = reporter.latest_checkpoint()
    start = json.loads((checkpoint / "config.json").read_text())["epoch"] if checkpoint else 0
    metrics: dict[str, float] = {}
    for epoch in range(start + 1, spec.loop.epochs + 1):
        time.sleep(seconds)
        metrics = {
            "epoch": epoch,
            "loss": 1 / epoch,
            "val_psnr_overlap": quality(spec, epoch),
            "seconds": 0.5 + seconds,
        }
        reporter.report(metrics, _Checkpoint(epoch, quality(spec, epoch)))
        if reporter.should_stop():
            break
    return metrics


class _Checkpoint:
    """The epoch and its quality in place of a model."""

    def __init__(self, epoch: int, quality: float) -> None:
        self.epoch, self.quality = epoch, quality

    def write(self, folder: Path) -> None:
        (folder / "config.json").write_text(json.dumps({"epoch": self.epoch}))
        (folder / "model.safetensors").write_text(str(self.quality))


def slow_train(spec: TrainingSpec, reporter: Reporter) -> dict[str, float]:
    """Half a second an epoch."""
    return train(spec, reporter, seconds=0.5)


class Faulty:
    """NaN in some trials, a crash in one, and a process that dies once in another; by the learning rate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, spec: TrainingSpec, reporter: Reporter) -> dict[str, float]:
        """Trial k of the sweep, counted by files."""
        number = self._number(spec)
        if number == 1:
            reporter.report({"epoch": 1, "val_psnr_overlap": 90.0}, None)
            reporter.report({"epoch": 2, "val_psnr_overlap": float("nan")}, None)
            assert reporter.should_stop()
            return {}
        if number == 2:
            raise RuntimeError("out of memory")
        if number == 3:
            from raylign.platform.training.loop import TrainingError

            raise TrainingError("the loss became nan")
        if number == 4:
            return train(spec, _Dying(reporter, self.folder / "died"))
        return train(spec, reporter)

    def _number(self, spec: TrainingSpec) -> int:
        """The same number for the same point, also after a restart."""
        mine = f"point-{spec.loop.lr!r}"
        for path in self.folder.glob("point-*"):
            if path.name == mine:
                return int(path.read_text())
        number = len(list(self.folder.glob("point-*")))
        (self.folder / mine).write_text(str(number))
        return number


class _Dying:
    """Ends the process after the second report, once."""

    rank, world_size = 0, 1

    def __init__(self, reporter: Reporter, marker: Path) -> None:
        self._reporter, self._marker = reporter, marker
        self.latest_checkpoint, self.should_stop = reporter.latest_checkpoint, reporter.should_stop
        self.save, self.tell, self.keep = reporter.save, reporter.tell, reporter.keep
        self.close = reporter.close

    def report(self, metrics: dict[str, float], checkpoint: Checkpoint | None) -> None:
        # Too good to be stopped early.
        self._reporter.report({**metrics, "val_psnr_overlap": 50.0 + metrics["epoch"]}, checkpoint)
        if metrics["epoch"] == 2 and not self._marker.exists():
            self._marker.touch()
            os._exit(7)


def wrong_metric(spec: TrainingSpec, reporter: Reporter) -> dict[str, float]:
    """Reports another metric than asked for."""
    reporter.report({"epoch": 1, "other": 1.0}, None)
    return {}
