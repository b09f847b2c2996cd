"""What is known of the trials of a sweep: written by the driver epoch by epoch, read for tables and MLflow.

The driver is the only writer: it appends each result it gets to `trials/<trial id>.jsonl`, which a hard kill cannot
undo, and nothing of it depends on where the trial ran.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import optuna

Row = dict[str, float]
Mode = Literal["max", "min"]
"""Whether more or less of a metric is better."""
Outcome = Literal["finished", "stopped early", "diverged", "failed"]
EPOCH = "epoch"
"""Key of a Tune result: the epoch, from 1. Tune's own `training_iteration` starts anew when a trial does."""
METRICS = "metrics"
"""Key of a Tune result: all metrics of the epoch."""
TRIAL_ID = "tune_trial"
"""User attribute of an Optuna trial: the id that Tune gave it."""
OUTCOME = "outcome"
"""User attribute of an Optuna trial that has ended: its `Outcome`."""


def outcome_of(values: Mapping[int, float], epochs: int, *, error: bool) -> Outcome:
    """How a trial ended.

    Args:
        values: epoch, from 1, to the sweep's metric.
        epochs: how many epochs a whole trial has.
        error: whether it crashed.
    """
    if error or not values:
        return "failed"
    if not all(map(math.isfinite, values.values())):
        return "diverged"
    return "finished" if max(values) >= epochs else "stopped early"


def is_better(value: float, than: float, mode: Mode) -> bool:
    """Whether a metric's value beats another one."""
    return value > than if mode == "max" else value < than


@dataclass(frozen=True)
class TrialRecord:
    """One trial."""

    number: int
    """From 0, in the order of starting."""
    trial_id: str
    outcome: str
    """`finished`, `stopped early`, `diverged`, `failed`, or `running`."""
    params: dict[str, Any]
    """Dotted name to value."""
    rows: dict[int, Row]
    """Epoch, from 1, to its metrics."""
    metric: str
    mode: Mode
    error: str = ""
    """Why it failed, in one line."""

    @property
    def values(self) -> dict[int, float]:
        """Epoch to the finite value of the sweep's metric."""
        found = {epoch: row[self.metric] for epoch, row in self.rows.items()}
        return {epoch: value for epoch, value in found.items() if math.isfinite(value)}

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the best value, from 1."""
        values = self.values
        pick = max if self.mode == "max" else min
        return pick(values, key=lambda epoch: values[epoch]) if values else None

    @property
    def best(self) -> float | None:
        """The best value of the sweep's metric."""
        return self.values[self.best_epoch] if self.best_epoch else None

    @property
    def held(self) -> bool:
        """Whether it can be the best: it gave a number, and neither failed nor diverged in the end."""
        return self.best is not None and self.outcome in ("finished", "stopped early")

    @property
    def seconds(self) -> float:
        """Time in training, over all epochs, where the loop reports it."""
        return sum(row.get("seconds", 0.0) for row in self.rows.values())

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "trial": self.number,
            "id": self.trial_id,
            "state": self.outcome,
            self.metric: self.best,
            "best_epoch": self.best_epoch,
            "epochs": max(self.rows, default=0),
            "seconds": round(self.seconds, 2),
            "params": self.params,
            "error": self.error,
        }


class TrialFiles:
    """The folder `trials/` of a sweep."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, trial_id: str, row: Mapping[str, float]) -> None:
        """Keep the metrics of one epoch."""
        with (self._folder / f"{trial_id}.jsonl").open("a") as stream:
            stream.write(json.dumps(dict(row)) + "\n")

    def rows(self, trial_id: str) -> dict[int, Row]:
        """Epoch to its metrics; one that was told again after a crash counts once, as it was last."""
        path = self._folder / f"{trial_id}.jsonl"
        epochs: dict[int, Row] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                entry = json.loads(line)
            except ValueError:  # a line cut off by a kill
                continue
            epochs[int(entry[EPOCH])] = entry
        return {epoch: epochs[epoch] for epoch in sorted(epochs)}

    def drop_checkpoints(self, trial_id: str = "*") -> None:
        """Remove the checkpoints of a trial that has ended, or of all."""
        for path in self._folder.glob(f"{trial_id}/"):
            shutil.rmtree(path, ignore_errors=True)

    def set_error(self, trial_id: str, message: str) -> None:
        """Keep why a trial failed."""
        (self._folder / f"{trial_id}.error").write_text(message)

    def error(self, trial_id: str) -> str:
        """Why a trial failed; empty if it did not."""
        path = self._folder / f"{trial_id}.error"
        return path.read_text() if path.exists() else ""


def read_results(path: Path, files: TrialFiles, metric: str, mode: Mode) -> list[TrialRecord]:
    """All trials of a finished sweep, from its `results.json`."""
    return [
        TrialRecord(
            trial["trial"],
            trial["id"],
            trial["state"],
            trial["params"],
            files.rows(trial["id"]),
            metric,
            mode,
            trial["error"],
        )
        for trial in json.loads(path.read_text())["trials"]
    ]


def read_study(study: optuna.Study, files: TrialFiles, metric: str, mode: Mode) -> list[TrialRecord]:
    """All trials of a study, with their epochs."""
    records = []
    for trial in study.trials:
        trial_id = trial.user_attrs.get(TRIAL_ID)
        if trial_id is None:  # enqueued, not started
            continue
        outcome = trial.user_attrs.get(OUTCOME, "running")
        rows, error = files.rows(trial_id), files.error(trial_id) if outcome == "failed" else ""
        records.append(TrialRecord(trial.number, trial_id, outcome, dict(trial.params), rows, metric, mode, error))
    return records


def best_record(records: list[TrialRecord]) -> TrialRecord | None:
    """The trial with the best epoch of all that held."""
    ranked = [record for record in records if record.held]
    if not ranked:
        return None
    pick = max if ranked[0].mode == "max" else min
    return pick(ranked, key=lambda record: record.best or 0.0)


def as_csv(records: list[TrialRecord]) -> str:
    """One line per trial."""
    names = list(dict.fromkeys(name for record in records for name in record.params))
    sink = io.StringIO()
    rows = [{**record.plain(), **{name: record.params.get(name) for name in names}} for record in records]
    header = [key for key in rows[0] if key not in ("params", "error", *names)] if rows else []
    writer = csv.DictWriter(sink, [*header, *names, "error"], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue()
