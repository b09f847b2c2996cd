"""One trial in one Tune actor: the platform's training loop without Ray Train around it, or a measurement alone.

A trial is one process, so a plain function is enough; nesting Ray Train in Tune would cost 15 s a trial and needs the
dashboard.

A trial keeps its checkpoints itself, in `trials/<trial id>/` of the sweep. Tune's own checkpoints do not survive a hard
kill of the driver: its saved state lags behind by seconds and names checkpoints that have been replaced since, and such
a trial fails on resume ("does not exist on storage anymore").
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..methods.errors import InputError, RaylignError
from ..platform.training.options import TrainingSpec
from ..platform.training.reporter import Checkpoint, PlainReporter, Reporter
from ..platform.training.state import MODEL_FILES
from .records import EPOCH, METRICS, Mode, is_better
from .spaces import apply

TrainFunction = Callable[[TrainingSpec, Reporter], Mapping[str, float]]
"""`raylign.platform.training.loop.train`, or what stands in for it."""
Work = Callable[[Mapping[str, Any], Reporter], object]
"""What a trial does with a point of the search space: `Training`, or `inference.Measuring`."""

_SCORE = "score.json"
BEST = "best"
"""Folder of a trial with the model of its best epoch."""


class TuneReporter:
    """A `Reporter` inside a Tune trial: each epoch is one Tune result; the last and the best checkpoint are kept.

    A metric that is no finite number ends the trial.
    """

    rank = 0
    world_size = 1

    def __init__(self, folder: Path, metric: str, mode: Mode) -> None:
        """Make a reporter.

        Args:
            folder: the trial's own; what an earlier process of this trial left there is gone on with.
            metric: the metric of the sweep.
            mode: whether more or less of it is better.
        """
        self.diverged = False
        self._folder, self._metric, self._mode = folder, metric, mode
        self._kept = PlainReporter(folder)
        self._epoch = 0

    def replay(self) -> None:
        """Report the last epoch of an earlier process of this trial again: Tune may not have kept it."""
        last = self.latest_checkpoint()
        if last is not None:
            self._tell(json.loads((last / _SCORE).read_text()))

    def report(self, metrics: Mapping[str, float], checkpoint: Checkpoint | None) -> None:
        """Keep the checkpoint, then tell Tune of the epoch.

        Raises:
            InputError: the metric of the sweep is not among those reported.
        """
        if self._metric not in metrics:
            raise InputError(f"--metric {self._metric}: a trial reports only {', '.join(sorted(metrics))}")
        self.diverged = not math.isfinite(metrics[self._metric])
        if checkpoint is not None and not self.diverged:
            self._kept.report(metrics, _Scored(checkpoint, dict(metrics)))
            self._kept.close()
            self._keep_if_best(metrics[self._metric])
        self._tell(metrics)

    def save(self, checkpoint: Checkpoint | None) -> None:
        """Nothing: a trial that dies repeats its epoch, since Tune knows of whole ones only."""

    def tell(self, metrics: Mapping[str, float]) -> None:
        """Nobody watches a trial within an epoch."""

    def keep(self, name: str, content: bytes) -> None:
        """Into the trial's folder."""
        self._kept.keep(name, content)

    def diverge(self) -> None:
        """Report that the epoch after the last one ended without a number."""
        if not self.diverged:
            self.diverged = True
            self._tell({self._metric: math.nan, EPOCH: self._epoch + 1})

    def latest_checkpoint(self) -> Path | None:
        """The last checkpoint of this trial, of this or an earlier process."""
        return self._kept.latest_checkpoint()

    def should_stop(self) -> bool:
        """True after a metric that is no number; the scheduler stops trials by ending their process."""
        return self.diverged

    def close(self) -> None:
        """Each checkpoint was written before its epoch was told."""

    def _tell(self, metrics: Mapping[str, float]) -> None:
        from ray import tune

        self._epoch = int(metrics[EPOCH])
        tune.report({self._metric: metrics[self._metric], EPOCH: self._epoch, METRICS: dict(metrics)})

    def _keep_if_best(self, value: float) -> None:
        best = self._folder / BEST
        if best.exists() and not is_better(value, json.loads((best / _SCORE).read_text())[self._metric], self._mode):
            return
        staged = self._folder / ".best"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        for name in (*MODEL_FILES, _SCORE):
            # A kept checkpoint is only ever replaced as a whole, so its files can be shared.
            os.link(self._folder / "last" / name, staged / name)
        shutil.rmtree(best, ignore_errors=True)
        staged.rename(best)


class _Scored:
    """A checkpoint with the metrics of its epoch beside it."""

    def __init__(self, checkpoint: Checkpoint, metrics: dict[str, float]) -> None:
        self._checkpoint, self._metrics = checkpoint, metrics

    def write(self, folder: Path) -> None:
        """Write the checkpoint's files and the metrics."""
        self._checkpoint.write(folder)
        (folder / _SCORE).write_text(json.dumps(self._metrics))


@dataclass(frozen=True)
class Training:
    """What a trial of a sweep over hyperparameters does."""

    spec: TrainingSpec
    """The values of all that is not searched."""
    train: TrainFunction

    def __call__(self, point: Mapping[str, Any], reporter: Reporter) -> None:
        """Train with the values of a point."""
        self.train(apply(self.spec, point), reporter)


def run_trial(
    config: dict[str, Any],
    *,
    work: Work,
    metric: str,
    mode: Mode,
    folder: Path,
    threads: int,
) -> None:
    """Try one point of the search space.

    Args:
        config: the point, with dotted names.
        work: what to do with it.
        metric: the metric of the sweep.
        mode: whether more or less of it is better.
        folder: the sweep's folder of trials.
        threads: threads of torch; more than the trial's CPUs make each step many times slower.
    """
    import torch
    from ray import tune

    torch.set_num_threads(threads)
    reporter = TuneReporter(folder / tune.get_context().get_trial_id(), metric, mode)
    reporter.replay()
    try:
        work(config, reporter)
    except RaylignError as error:
        from ..platform.training.loop import TrainingError

        if not isinstance(error, TrainingError):
            raise
        # A loss that is no longer a number is a finding about this point, no crash to retry.
        reporter.diverge()
