"""`raylign train METHOD --data URL`: trains with Ray Train, or in this process with `--backend plain`."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
import yaml

from ...methods.errors import InputError, UnknownMethodError
from ...methods.registry import method_class, names
from ..arguments import parse
from ..progress import Progress
from ..runs import absolute_url, read_yaml, run_folder, write_text
from .history import append_epoch, read_history
from .options import LoopOptions, TrainingSpec

HELP = """usage: raylign train METHOD --data URL [OPTIONS]
       raylign train --config runs/train/NAME/config.yaml [--name NEW]

Train a learned method on a dataset; 'raylign train METHOD --help' lists every option.

methods: """


@dataclass(frozen=True)
class RunOptions:
    """Where and how a training runs."""

    name: str = ""
    """Name of the run; empty means the method and the time."""
    workers: int = 1
    """Workers that train together (Ray Train); one GPU each where there are any."""
    backend: Literal["ray", "plain"] = "ray"
    """'plain' trains in this process, with nothing but torch."""
    resume: bool = False
    """Go on with the run of this name; a finished one is left as it is."""
    max_failures: int = 2
    """How often dead workers are restarted from the last checkpoint."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    address: str | None = None
    """Address of a Ray cluster; empty means RAY_ADDRESS, or one on this machine."""
    tracking_uri: str | None = None
    """MLflow tracking URI; empty means MLFLOW_TRACKING_URI, or runs/mlflow.db."""


def spec_options(method: str, default: TrainingSpec | None = None) -> type:
    """The dataclass of all options of `raylign train METHOD`: data, run, loop, augmentation and the method's own.

    Args:
        method: a learned method.
        default: a specification to start from, instead of the defaults.

    Raises:
        UnknownMethodError: the method is unknown or has nothing to train.
    """
    from ..data.augment import AugmentOptions
    from .options import tuples

    cls = method_class(method)
    if method not in names(learned=True) and not hasattr(cls, "Config"):
        raise UnknownMethodError(f"'{method}' has nothing to train; choose one of {', '.join(names(learned=True))}")
    config = cls.Config  # type: ignore[attr-defined]
    loop = default.loop if default else LoopOptions()
    augment = AugmentOptions(**tuples(default.augment)) if default else AugmentOptions()
    model = config(**tuples(default.model)) if default else config()
    data: Any = field(default=default.data) if default else dataclasses.MISSING
    fields: list[Any] = [
        ("data", str, data) if default else ("data", str),
        ("run", Annotated[RunOptions, tyro.conf.arg(name="")], field(default=RunOptions())),
        ("loop", LoopOptions, field(default=loop)),
        ("augment", AugmentOptions, field(default=augment)),
        ("model", config, field(default=model)),
    ]
    made = dataclasses.make_dataclass("TrainOptions", fields, frozen=True)
    made.__doc__ = f"Train {method}.\n\nAttributes:\n    data: Dataset to train on: a local path or URL."
    return made


def to_spec(method: str, options: Any) -> TrainingSpec:
    """The specification behind parsed options."""
    return TrainingSpec(
        method=method,
        data=absolute_url(options.data),
        loop=options.loop,
        augment=dataclasses.asdict(options.augment),
        model=dataclasses.asdict(options.model),
    )


def main(arguments: list[str]) -> int:
    """Run the command."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP + ", ".join(names(learned=True)))
        return 0
    default = None
    if arguments[0] == "--config":
        if len(arguments) < 2:
            raise InputError("--config needs a file; each run has its own in runs/train/NAME/config.yaml")
        from .loop import spec_from_dict

        default = spec_from_dict(read_yaml(Path(arguments[1])))
        method, rest = default.method, arguments[2:]
    else:
        method, rest = arguments[0], arguments[1:]
    if method.startswith("-"):
        raise InputError("the method comes first: raylign train METHOD --data URL")
    options: Any = parse(spec_options(method, default), rest, f"train {method}")
    return run_training(to_spec(method, options), options.run)


def run_training(spec: TrainingSpec, options: RunOptions) -> int:
    """Train, keep the best checkpoint, track and register it."""
    _check(spec, options)
    from ..data.shards import ShardReader
    from .loop import build_model, spec_to_dict

    build_model(spec)  # a wrong model option is told before anything starts
    for split in ("train", "val"):
        ShardReader(spec.data, split)
    name = options.name or f"{spec.method}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = run_folder("train", name, options.runs)
    plain = json.loads(json.dumps(spec_to_dict(spec)))
    if (folder / "config.yaml").exists():
        if not options.resume:
            raise InputError(f"the run '{name}' exists; add --resume to go on with it, or choose another --name")
        if read_yaml(folder / "config.yaml") != plain:
            raise InputError(f"the run '{name}' has other options; take those of {folder}/config.yaml, or another name")
        if (folder / "done.json").exists():
            print(f"{folder / 'checkpoint'}: already trained")
            return 0
    write_text(folder / "config.yaml", yaml.safe_dump(plain, sort_keys=False))
    book = _Bookkeeper(spec, folder, name, options.tracking_uri)
    try:
        best = _train(spec, options, folder, name, book)
    except BaseException:
        book.close("FAILED")
        raise
    book.finish(best)
    return 0


def _check(spec: TrainingSpec, options: RunOptions) -> None:
    loop = spec.loop
    for flag, value, least in (
        ("--workers", options.workers, 1),
        ("--loop.epochs", loop.epochs, 1),
        ("--loop.batch-size", loop.batch_size, 1),
        ("--loop.steps-per-epoch", loop.steps_per_epoch or 1, 1),
        ("--loop.val-pairs", loop.val_pairs, 1),
        ("--loop.val-every", loop.val_every, 1),
    ):
        if value < least:
            raise InputError(f"{flag} must be at least {least}, not {value}")
    if loop.lr <= 0:
        raise InputError(f"--loop.lr must be positive, not {loop.lr}")
    if options.backend == "plain" and options.workers != 1:
        raise InputError("--backend plain trains in one process; leave --workers at 1")
    if loop.batch_size % options.workers:
        raise InputError(f"--loop.batch-size {loop.batch_size} does not divide by --workers {options.workers}")


def _train(spec: TrainingSpec, options: RunOptions, folder: Path, name: str, book: _Bookkeeper) -> Path:
    with Progress(f"training {name}", spec.loop.epochs, "epoch") as bar:
        done = book.epochs()
        if done:
            bar.advance(done)

        def on_epoch(metrics: dict[str, float]) -> None:
            shown = ((key, metrics.get(key)) for key in ("loss", "val_psnr_overlap", "val_corner_error"))
            bar.advance(1, " ".join(f"{key} {value:.3g}" for key, value in shown if value is not None))
            book.epoch(metrics)

        if options.backend == "ray":
            from ..cluster import ray_session
            from .ray_train import train_on_ray

            with ray_session(options.address):
                return train_on_ray(
                    spec, folder, name, workers=options.workers, max_failures=options.max_failures, on_epoch=on_epoch
                )
        return _train_plain(spec, folder, on_epoch)


def _train_plain(spec: TrainingSpec, folder: Path, on_epoch: Callable[[dict[str, float]], None]) -> Path:
    from collections.abc import Mapping

    from .loop import train
    from .reporter import PlainReporter

    class Telling(PlainReporter):
        """Also tells each epoch, and keeps the best checkpoint beside the last."""

        def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
            super().report(metrics, checkpoint)
            best = self.folder / "best.json"
            value = metrics.get("val_psnr_overlap")
            if value is not None and (not best.exists() or value > json.loads(best.read_text())["val_psnr_overlap"]):
                shutil.copytree(self.folder / "last", self.folder / "best", dirs_exist_ok=True)
                best.write_text(json.dumps({"val_psnr_overlap": value}))
            on_epoch(dict(metrics))

    train(spec, Telling(folder / "plain"))
    best = folder / "plain" / "best"
    target = folder / f"best-{time.time_ns()}"
    shutil.copytree(best if best.is_dir() else folder / "plain" / "last", target)
    return target


class _Bookkeeper:
    """Writes what a training tells: `metrics.jsonl`, MLflow, and at the end checkpoint, report and model version."""

    def __init__(self, spec: TrainingSpec, folder: Path, name: str, tracking: str | None) -> None:
        from .loop import spec_to_dict

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

    def epochs(self) -> int:
        """Epochs that are done."""
        return len(read_history(self._folder))

    def epoch(self, metrics: dict[str, float]) -> None:
        """Keep the metrics of one epoch."""
        append_epoch(self._folder, metrics)
        if self._run:
            self._run.log_metrics(metrics, int(metrics["epoch"]))

    def close(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """End the MLflow run."""
        if self._run:
            self._run.end(status)

    def finish(self, best: Path) -> None:
        """Put the best checkpoint in its place, write the report, register the model and say where things are."""
        from .report import training_report
        from .state import MODEL_FILES

        # A kill can lose the last lines of metrics.jsonl, but not what the checkpoint itself tells.
        history = read_history(self._folder) or [json.loads((best / "training.json").read_text())["metrics"]]
        target = self._folder / "checkpoint"
        staged = self._folder / ".checkpoint"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        for name in MODEL_FILES:
            shutil.copy2(best / name, staged / name)
        shutil.rmtree(target, ignore_errors=True)
        staged.rename(target)
        shutil.rmtree(best, ignore_errors=True)
        write_text(self._folder / "report.html", training_report(self._name, self._spec, history))
        chosen = max(history, key=lambda entry: entry.get("val_psnr_overlap", float("-inf")))
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
