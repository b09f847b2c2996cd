"""What the driver does while Tune runs: it keeps every result, tells every ended trial, and brakes a hopeless sweep.

Tune pickles its callbacks when a sweep starts and revives that copy when it is resumed, so a callback can hold no
connection and no progress bar. It holds a key; what it works with waits under that key in this process.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ray import cloudpickle
from ray.tune import Callback
from ray.tune.stopper import Stopper

from ..methods.errors import RaylignError
from ..platform.progress import Progress
from .book import SweepBook
from .records import METRICS, Mode, TrialFiles, TrialRecord, best_record, outcome_of

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

_HOPELESS = 3
_watches: dict[str, SweepWatch] = {}


class SweepWatch:
    """The driver's side of a running sweep."""

    def __init__(
        self,
        files: TrialFiles,
        book: SweepBook,
        bar: Progress,
        before: list[TrialRecord],
        *,
        metric: str,
        mode: Mode,
        epochs: int,
    ) -> None:
        """Make a watch.

        Args:
            files: where results are kept.
            book: the sweep in MLflow.
            bar: counts the trials.
            before: the trials that ended before this process.
            metric: the metric of the sweep.
            mode: whether more or less of it is better.
            epochs: how many epochs a whole trial has.
        """
        self.hopeless: RaylignError | None = None
        """Why the sweep was braked: every trial failed so far."""
        self._files, self._book, self._bar = files, book, bar
        self._metric, self._mode, self._epochs = metric, mode, epochs
        best = best_record(before)
        self._kept = [best] if best else []
        self._failed = sum(record.outcome == "failed" for record in before)
        self._trained = len(before) - self._failed

    @contextlib.contextmanager
    def under(self, key: str) -> Iterator[None]:
        """Be there for the callback with this key."""
        _watches[key] = self
        try:
            yield
        finally:
            del _watches[key]

    def result(self, trial_id: str, metrics: dict[str, float]) -> None:
        """Keep the metrics of one epoch."""
        self._files.append(trial_id, metrics)

    def ended(self, number: int, trial: Trial, error: str = "", cause: BaseException | None = None) -> None:
        """Tell that a trial has ended, and how."""
        rows = self._files.rows(trial.trial_id)
        values = {epoch: row[self._metric] for epoch, row in rows.items()}
        outcome = outcome_of(values, self._epochs, error=bool(error))
        if error:
            self._files.set_error(trial.trial_id, error)
        record = TrialRecord(number, trial.trial_id, outcome, trial.config, rows, self._metric, self._mode, error)
        print(line(record), file=sys.stderr, flush=True)
        self._bar.advance(1)
        self._book.publish(record)
        self._keep_the_best(record)
        self._failed, self._trained = self._failed + bool(error), self._trained + (not error)
        if self._trained == 0 and isinstance(cause, RaylignError):
            self.hopeless = cause  # wrong input is wrong for every trial
        elif self._trained == 0 and self._failed >= _HOPELESS:
            self.hopeless = RaylignError(f"the first {self._failed} trials failed, the last with: {error}")

    def _keep_the_best(self, record: TrialRecord) -> None:
        """Checkpoints are large: of all trials that have ended, only the best keeps its own."""
        champion = best_record([*self._kept, record])
        for other in (*self._kept, record):
            if other is not champion:
                self._files.drop_checkpoints(other.trial_id)
        self._kept = [champion] if champion else []


class SweepCallback(Callback):
    """Hands what Tune tells to the `SweepWatch` with its key."""

    def __init__(self, key: str) -> None:
        self._key = key

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Keep an epoch."""
        if METRICS in result:
            _watches[self._key].result(trial.trial_id, result[METRICS])

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tell a trial that trained to its end or was stopped."""
        _watches[self._key].ended(trials.index(trial), trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tell a trial that failed, also after its retry."""
        cause: BaseException | None = None
        if trial.pickled_error_file:
            with open(trial.pickled_error_file, "rb") as stream:
                cause = cloudpickle.load(stream)
        cause = getattr(cause, "cause", None) or cause
        lines = str(cause).strip().splitlines() or ["its process died"]
        name = "" if isinstance(cause, RaylignError) or cause is None else f"{type(cause).__name__}: "
        _watches[self._key].ended(trials.index(trial), trial, name + lines[-1].strip(), cause)


class Brake(Stopper):
    """Stops the sweep when its `SweepWatch` has found it hopeless."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped here; that is the scheduler's part."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop everything."""
        return _watches[self._key].hopeless is not None


def line(record: TrialRecord) -> str:
    """One line about a trial that has ended."""
    value = "" if record.best is None else f", {record.metric} {record.best:.4g} at epoch {record.best_epoch}"
    point = ", ".join(f"{name} {_short(value)}" for name, value in record.params.items())
    count = max(record.rows, default=0)
    epochs = f"{count} epoch{'' if count == 1 else 's'}"
    why = f": {record.error}" if record.error else ""
    return f"trial {record.number} {record.outcome} after {epochs}{value} ({point}){why}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
