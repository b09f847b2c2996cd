"""What a training leaves behind: `metrics.jsonl`, MLflow, and at the end checkpoint, report and model version."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Literal

from ..runs import write_bytes, write_text
from .history import append_epoch, best_epoch, read_history
from .options import TrainingSpec, spec_to_dict

EVENTS = "events.txt"
"""What happened in a run, a line each."""


class Bookkeeper:
    """The one writer of a run's folder and of its MLflow run, which a resumed training goes on with."""

    def __init__(self, spec: TrainingSpec, folder: Path, name: str, tracking: str | None) -> None:
        self._spec, self._folder, self._name, self._uri = spec, folder, name, tracking
        self._run: Any = None
        try:
            from ..tracking import Tracker, flatten
        except ImportError:
            print("MLflow is not installed: metrics go to metrics.jsonl only", file=sys.stderr)
            return
        tracker = Tracker(tracking)
        known = folder / "mlflow.json"
        if known.exists():
            self._run = tracker.resume_run(json.loads(known.read_text())["run_id"])
        else:
            params = flatten(spec_to_dict(spec))
            self._run = tracker.start_run("train", name, params, {"method": spec.method, "raylign.run": name})
            write_text(known, json.dumps({"run_id": self._run.run_id}))

    def history(self) -> list[dict[str, float]]:
        """Metrics of the epochs that are done."""
        return read_history(self._folder)

    def epoch(self, metrics: dict[str, float]) -> None:
        """Keep the metrics of one epoch."""
        append_epoch(self._folder, metrics)
        if self._run:
            self._run.log_metrics(metrics, int(metrics["epoch"]))

    def event(self, text: str) -> None:
        """Keep what happened."""
        with (self._folder / EVENTS).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")

    def keep(self, name: str, content: bytes) -> None:
        """Keep a file of the training, a picture also in MLflow."""
        path = self._folder / name
        write_bytes(path, content)
        if self._run and path.suffix == ".png":
            self._run.log_artifact(path, path.parent.name)

    def close(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """End the MLflow run."""
        if self._run:
            self._run.end(status)

    def finish(self, best: Path) -> None:
        """Put the best checkpoint in its place, write the report, register the model and say where things are."""
        from .report import training_report
        from .state import MODEL_FILES

        # A kill can lose the last lines of metrics.jsonl, but not what the checkpoint itself tells.
        history = self.history() or [json.loads((best / "training.json").read_text())["metrics"]]
        target = self._folder / "checkpoint"
        staged = self._folder / ".checkpoint"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        for name in MODEL_FILES:
            shutil.copy2(best / name, staged / name)
        shutil.rmtree(target, ignore_errors=True)
        staged.rename(target)
        shutil.rmtree(best, ignore_errors=True)
        pictures = sorted((self._folder / "pictures").glob("*.png"))
        events = self._folder / EVENTS
        told = events.read_text(encoding="utf-8").splitlines() if events.exists() else []
        # The first and the last show what was learned.
        shown = [pictures[0], pictures[-1]] if len(pictures) > 1 else pictures
        write_text(self._folder / "report.html", training_report(self._name, self._spec, history, shown, told))
        chosen = best_epoch(history) or history[-1]
        metrics = {key: value for key, value in chosen.items() if key.startswith("val_")}
        lines = [f"checkpoint  {target}", f"report      {self._folder / 'report.html'}"]
        if self._run:
            from ..models import register

            self._run.log_artifact(self._folder / "config.yaml")
            self._run.log_artifact(self._folder / "report.html")
            version = register(self._uri, self._run.run_id, target, self._spec.method, self._name, metrics)
            lines.append(
                f"model       version {version.version}; 'raylign promote {version.version}' makes it the champion"
            )
        self.close("FINISHED")
        write_text(self._folder / "done.json", json.dumps({"epochs": len(history), "metrics": metrics}))
        print("\n".join(lines))
