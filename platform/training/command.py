"""`raylign train METHOD --data URL`: trains with Ray Train, or in this process with `--backend plain`."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
import yaml

from ...methods.errors import InputError, UnknownMethodError
from ...methods.registry import method_class, names
from ..arguments import parse
from ..memory import keep_freed_memory
from ..runs import absolute_url, read_yaml, run_folder, write_text
from .bookkeeping import Bookkeeper
from .options import LoopOptions, TrainingSpec, spec_from_dict, spec_to_dict, tuples
from .panel import Panel
from .reporter import Watched

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
    min_workers: int = 0
    """Workers to go on with while machines are missing; 0 means all of --workers."""
    storage: str = ""
    """Path or URL where checkpoints are kept while training (s3://, gs://, a shared folder): all machines of a cluster
    must reach it. Empty means the run's folder."""
    backend: Literal["ray", "plain"] = "ray"
    """'plain' trains in this process, with nothing but torch."""
    resume: bool = False
    """Go on with the run of this name; a finished one is left as it is."""
    max_failures: int = 20
    """How often the workers are restarted from the last checkpoint after one died."""
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
    from ..data.augment import AugmentOptions
    from ..data.training import check_data
    from .loop import build_model
    from .schedule import stage_epochs

    # What is wrong with options or data is told before anything starts.
    model = build_model(spec)
    stage_epochs(model.training_stages(), spec.loop.epochs)
    frames = AugmentOptions(**tuples(spec.augment)).frames
    check_data(model.batch_kind, spec.data, frames, model.batch_fields(model.config))
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
    book = Bookkeeper(spec, folder, name, options.tracking_uri)
    try:
        best = _train(spec, options, folder, name, book)
    except BaseException:
        book.close("FAILED")
        raise
    book.finish(best)
    return 0


def _check(spec: TrainingSpec, options: RunOptions) -> None:
    if options.workers < 1:
        raise InputError(f"--workers must be at least 1, not {options.workers}")
    if not 0 <= options.min_workers <= options.workers:
        raise InputError(f"--min-workers must lie between 0 and --workers {options.workers}, not {options.min_workers}")
    if options.backend == "plain" and (options.workers != 1 or options.storage):
        raise InputError(
            "--backend plain trains in one process and keeps everything in the run's folder; leave "
            "--workers at 1 and --storage out"
        )
    spec.loop.check(options.workers)


def _train(spec: TrainingSpec, options: RunOptions, folder: Path, name: str, book: Bookkeeper) -> Path:
    """Train with a panel in the terminal; returns a folder with the best checkpoint."""
    with Panel(f"training {name}", spec.loop.epochs, spec.loop.steps_per_epoch, history=book.history()) as panel:

        def on_epoch(metrics: dict[str, float]) -> None:
            panel.epoch(metrics)
            book.epoch(metrics)

        def on_event(text: str) -> None:
            panel.say(text)
            book.event(text)

        target = folder / ".best"
        shutil.rmtree(target, ignore_errors=True)  # of a process that was killed
        target.mkdir()
        try:
            if options.backend == "ray":
                from ..cluster import ray_session
                from .placement import machines, place
                from .ray_train import Listener, train_on_ray

                with ray_session(options.address):
                    placement = place(machines(), options.workers, options.min_workers)
                    storage = options.storage or str(folder / "ray")
                    check_storage(storage)
                    listener = Listener(on_epoch, panel.step, on_event, book.keep)
                    train_on_ray(
                        spec,
                        storage,
                        name,
                        placement=placement,
                        max_failures=options.max_failures,
                        listener=listener,
                        target=target,
                    )
            else:
                _train_plain(spec, folder, Watched(folder / "plain", on_epoch, panel.step, book.keep), target)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return target


def _train_plain(spec: TrainingSpec, folder: Path, reporter: Watched, target: Path) -> None:
    from .loop import train

    keep_freed_memory()
    train(spec, reporter)
    best = folder / "plain" / "best"
    shutil.copytree(best if best.is_dir() else folder / "plain" / "last", target, dirs_exist_ok=True)


def check_storage(url: str) -> None:
    """Write a file where checkpoints will be kept, and remove it again.

    Raises:
        InputError: that is not possible.
    """
    import pyarrow.fs

    probe = f".raylign-{os.getpid()}"
    try:
        if "://" not in url:
            write_text(Path(url) / probe, "")
            (Path(url) / probe).unlink()
            return
        filesystem, path = pyarrow.fs.FileSystem.from_uri(url)
        filesystem.create_dir(path, recursive=True)
        with filesystem.open_output_stream(f"{path}/{probe}") as stream:
            stream.write(b"raylign")
        filesystem.delete_file(f"{path}/{probe}")
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"--storage {url}: cannot be written ({' '.join(str(error).split())[:200]})") from None
