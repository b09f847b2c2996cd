"""A sweep in MLflow: one parent run, and below it one run per trial. Only the driver writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..platform.tracking import RunStatus, Tracker, TrackingError
from .records import TrialRecord

EXPERIMENT = "tune"
_SWEEP, _TRIAL = "raylign.sweep", "raylign.trial"
_log = logging.getLogger(__name__)


class SweepBook:
    """Keeps a sweep in MLflow. Everything may be told again: a run that is there is not made a second time."""

    def __init__(self, tracker: Tracker, name: str, sweep_id: str, params: Mapping[str, Any], method: str) -> None:
        """Open the parent run, or go on with the one of this sweep.

        Args:
            tracker: the connection.
            name: the sweep's name.
            sweep_id: the same for all processes that ever work on this sweep.
            params: its settings.
            method: the method that is tuned.

        Raises:
            TrackingError: MLflow refused or does not answer.
        """
        self._tracker = tracker
        self._name, self._sweep_id = name, sweep_id
        found = tracker.find_runs(EXPERIMENT, {_SWEEP: sweep_id})
        if found:
            self._parent = tracker.resume_run(found[0].info.run_id)
        else:
            self._parent = tracker.start_run(EXPERIMENT, name, params, {_SWEEP: sweep_id, "method": method})

    def publish(self, record: TrialRecord) -> None:
        """Write the run of a trial that has ended, if it is not there; trouble is told and left for `finish`."""
        try:
            self._publish(record)
        except TrackingError as error:
            _log.warning("raylign: warning: trial %d is not in MLflow yet: %s", record.number, error)

    def finish(
        self, records: list[TrialRecord], metrics: Mapping[str, float], files: list[Path], status: RunStatus
    ) -> None:
        """Bring all trials up to date and close the parent run.

        Args:
            records: all trials; runs of others (their state was lost in a kill) are removed.
            metrics: what the sweep came to.
            files: to keep with the parent run.
            status: how it ended.

        Raises:
            TrackingError: MLflow refused or does not answer.
        """
        known = {record.trial_id for record in records}
        for run in self._children({}):
            if run.data.tags.get(_TRIAL) not in known:
                self._tracker.call(self._tracker.client.delete_run, run.info.run_id)
        for record in records:
            if record.outcome != "running":
                self._publish(record)
        if metrics:
            self._parent.log_metrics(metrics, step=0)
        for file in files:
            self._parent.log_artifact(file)
        self._parent.end(status)

    def close(self, status: RunStatus) -> None:
        """Close the parent run of a sweep that was cut short."""
        self._parent.end(status)

    def _children(self, tags: Mapping[str, str]) -> list[Any]:
        return self._tracker.find_runs(EXPERIMENT, {"mlflow.parentRunId": self._parent.run_id, **tags})

    def _publish(self, record: TrialRecord) -> None:
        there = False
        for run in self._children({_TRIAL: record.trial_id}):
            if run.info.status == "RUNNING" or there:
                # Half written when the driver was killed.
                self._tracker.call(self._tracker.client.delete_run, run.info.run_id)
            else:
                there = True
        if there:
            return
        run = self._tracker.start_run(
            EXPERIMENT,
            f"{self._name}-{record.number:03d}",
            record.params,
            {_TRIAL: record.trial_id, "raylign.outcome": record.outcome},
            parent_run_id=self._parent.run_id,
        )
        for epoch, row in record.rows.items():
            run.log_metrics(row, step=epoch)
        if record.best is not None:
            run.log_metrics({f"best_{record.metric}": record.best}, step=record.best_epoch or 0)
        run.end("FINISHED" if record.outcome in ("finished", "stopped early") else "FAILED")
