"""`raylign tune METHOD --data URL`: searches a method's hyperparameters."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..methods.errors import InputError, RaylignError, UnknownMethodError
from ..methods.registry import method_class, names
from ..platform.arguments import parse
from ..platform.inference import Chosen, check_inference, split_name
from ..platform.runs import run_folder
from ..platform.training.options import LoopOptions, TrainingSpec
from .records import TrialRecord, best_record
from .results import use_best
from .spaces import Space, search_space, searches_inference, space_names
from .sweep import Resources, SweepSettings, is_done, run_sweep

HELP = """usage: raylign tune METHOD --data URL [OPTIONS]

Search a learned method's hyperparameters, or with --checkpoint what a trained model aligns with;
'raylign tune METHOD --help' lists every option and the spaces.

methods: """


@dataclass(frozen=True)
class SweepOptions:
    """What is searched, and where it runs."""

    space: str = "default"
    """Name of the search space."""
    trials: int = 20
    """Trials in total, those before a resume included."""
    name: str = ""
    """Name of the sweep; empty means the method, the space and six characters that stand for all settings."""
    epochs_max: int = 20
    """Epochs of a trial that is not stopped early."""
    grace: int = 2
    """Epochs that every trial gets before it may be stopped."""
    reduction: int = 3
    """At each rung (grace, grace * reduction, ...) about one trial in this many goes on."""
    checkpoint: str = ""
    """A trained model, by its folder or its name in 'raylign models', whose inference options are searched: with a
    space of 'inference.' options, nothing is trained. 'NAME[solver=ddim,steps=8]' has all trials align with these."""
    metric: str = "val_psnr_overlap"
    """The metric to search for, as the training reports it; over inference options also seconds_per_sample."""
    mode: Literal["max", "min"] = "max"
    """Whether more or less of it is better."""
    seed: int = 0
    """Seed of the sampler; that of the trainings is --loop.seed."""
    resume: bool = False
    """Only go on with a sweep that was cut short. Without it the same command goes on by itself, or starts anew."""
    cpus_per_trial: int = 1
    """CPUs of one trial; as many trials run at once as fit."""
    gpus_per_trial: float | None = None
    """GPUs of one trial, also a share of one; None means one where there are any."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    address: str | None = None
    """Address of a Ray cluster; None means RAY_ADDRESS, or one on this machine."""
    tracking_uri: str | None = None
    """MLflow store; None means MLFLOW_TRACKING_URI, or runs/mlflow.db."""


def tune_options(method: str) -> type:
    """The dataclass of all options of `raylign tune METHOD`: data, sweep, and what `raylign train` takes.

    Raises:
        UnknownMethodError: the method is unknown or has nothing to train.
    """
    from ..platform.data.augment import AugmentOptions

    learned = ", ".join(names(learned=True))
    cls = method_class(method)
    config = getattr(cls, "Config", None)
    if config is None:
        raise UnknownMethodError(f"'{method}' has nothing to tune; choose one of {learned}")
    fields: list[Any] = [
        ("data", str),
        ("sweep", Annotated[SweepOptions, tyro.conf.arg(name="")], field(default=SweepOptions())),
        ("loop", LoopOptions, field(default=LoopOptions())),
        ("augment", AugmentOptions, field(default=AugmentOptions())),
        ("model", config, field(default=config())),
    ]
    made = dataclasses.make_dataclass("TuneOptions", fields, frozen=True)
    spaces = "; ".join(f"{name} ({_told(search_space(method, name))})" for name in space_names(method))
    made.__doc__ = (
        f"Search the hyperparameters of {method}; what the space leaves out is set by --loop, --augment and --model."
        f"\n\nSpaces: {spaces}.\n\nAttributes:\n    data: Dataset to train on: a local path or URL."
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP + ", ".join(names(learned=True)))
        return 0
    method, rest = arguments[0], arguments[1:]
    if method.startswith("-"):
        raise InputError("the method comes first: raylign tune METHOD --data URL")
    options: Any = parse(tune_options(method), rest, f"tune {method}")
    return _tune(method, options.data, options.sweep, options)


def _tune(method: str, data: str, sweep: SweepOptions, options: Any) -> int:
    from ..platform.tracking import tracking_uri
    from ..platform.training.command import to_spec

    _check(sweep, options.loop)
    tracking_uri(sweep.tracking_uri)
    space = search_space(method, sweep.space)
    spec = to_spec(method, options)
    checkpoint, fixed = _model(method, sweep, space)
    if checkpoint:
        _check_measuring(sweep, options)
        sweep = dataclasses.replace(sweep, epochs_max=1, grace=1)
    spec = dataclasses.replace(spec, loop=dataclasses.replace(spec.loop, epochs=sweep.epochs_max))
    _check_space(spec, space)
    settings = SweepSettings(
        spec=spec,
        space=sweep.space,
        trials=sweep.trials,
        grace=sweep.grace,
        reduction=sweep.reduction,
        seed=sweep.seed,
        metric=sweep.metric,
        mode=sweep.mode,
        checkpoint=checkpoint,
        inference=fixed,
    )
    name = sweep.name or f"{method}-{sweep.space}-{settings.digest()}"
    if sweep.resume and not (sweep.runs / "tune" / name / "config.yaml").exists():
        raise InputError(f"--resume: no sweep '{name}' in {sweep.runs / 'tune'}; leave --resume out to start one")
    folder = run_folder("tune", name, sweep.runs)
    was_done = is_done(folder)
    resources = Resources(sweep.cpus_per_trial, sweep.gpus_per_trial, sweep.address, sweep.tracking_uri)
    try:
        found = run_sweep(settings, folder, resources)
    except KeyboardInterrupt:
        print(f"{folder}: the same command goes on from here", file=sys.stderr)
        raise
    _tell(settings, folder, found, was_done)
    return 0


def _told(space: Space) -> str:
    return ", ".join(f"{name} {allowed}" for name, allowed in space.items())


def _check(sweep: SweepOptions, loop: LoopOptions) -> None:
    for flag, value, least in (
        ("--trials", sweep.trials, 1),
        ("--epochs-max", sweep.epochs_max, 1),
        ("--grace", sweep.grace, 1),
        ("--reduction", sweep.reduction, 2),
        ("--seed", sweep.seed, 0),
        ("--cpus-per-trial", sweep.cpus_per_trial, 1),
        ("--gpus-per-trial", sweep.gpus_per_trial or 0, 0),
        ("--loop.batch-size", loop.batch_size, 1),
        ("--loop.steps-per-epoch", loop.steps_per_epoch or 1, 1),
        ("--loop.val-pairs", loop.val_pairs, 1),
    ):
        if value < least:
            raise InputError(f"{flag} must be at least {least}, not {value}")
    if sweep.grace > sweep.epochs_max:
        raise InputError(f"--grace {sweep.grace} is more than --epochs-max {sweep.epochs_max}")
    if loop.lr <= 0:
        raise InputError(f"--loop.lr must be positive, not {loop.lr}")
    if loop.epochs != LoopOptions().epochs:
        raise InputError("--loop.epochs: a trial trains for --epochs-max epochs; give that one")
    if loop.val_every != 1:
        raise InputError("--loop.val-every: trials are compared after every epoch; leave it at 1")


def _model(method: str, sweep: SweepOptions, space: Space) -> tuple[str, Chosen]:
    """The folder of the model whose inference options are searched, and those that all trials have.

    Raises:
        InputError: there is no such model, it is of another method, or the space is of the other kind.
    """
    if not searches_inference(space):
        if sweep.checkpoint:
            spaces = [name for name in space_names(method) if searches_inference(search_space(method, name))]
            raise InputError(
                f"--checkpoint: the space '{sweep.space}' is searched by training; leave --checkpoint out, or choose "
                f"--space {' or '.join(spaces)}"
            )
        return "", ()
    if not sweep.checkpoint:
        raise InputError(f"--space {sweep.space} searches what a trained model aligns with; give it with --checkpoint")
    from ..platform.alignment import choose_model

    name, fixed = split_name(sweep.checkpoint, "--checkpoint")
    choice = choose_model(method, name, sweep.tracking_uri)
    return str(Path(choice.target).absolute()), check_inference(method, fixed, "--checkpoint")


def _check_measuring(sweep: SweepOptions, options: Any) -> None:
    """Refuse what only trainings have."""
    default = SweepOptions()
    for flag, given, usual in (
        ("--epochs-max", sweep.epochs_max, default.epochs_max),
        ("--grace", sweep.grace, default.grace),
        ("--model", options.model, type(options.model)()),
    ):
        if given != usual:
            raise InputError(f"{flag}: with --checkpoint nothing is trained; leave it out")


def _check_space(spec: TrainingSpec, space: Space) -> None:
    """Tell wrong input before any trial starts."""
    from ..platform.data.layouts.opening import open_reader

    for split in ("val",) if searches_inference(space) else ("train", "val"):
        open_reader(spec.data, split)
    for name in space:
        part, _, key = name.partition(".")
        if part == "model" and key not in spec.model:
            raise InputError(f"--space: {spec.method} has no option '{key}', which the space searches")


def _tell(settings: SweepSettings, folder: Path, found: list[TrialRecord], was_done: bool) -> None:
    best = best_record(found)
    if was_done:
        came_to = f"best {settings.metric} {best.best:.4g} (trial {best.number})" if best else "no trial gave a number"
        print(f"{folder}: already done, {len(found)} trials, {came_to}; see report.html")
        return
    if best is None:
        raise RaylignError(f"no trial reached a finite {settings.metric}; see {folder / 'report.html'}")
    print(f"best        trial {best.number}: {settings.metric} {best.best:.4g} after epoch {best.best_epoch}")
    for name, value in best.params.items():
        print(f"            {name} {value:.4g}" if isinstance(value, float) else f"            {name} {value}")
    print(f"report      {folder / 'report.html'}")
    if (folder / "checkpoint").exists():  # not where the trials ran on machines that do not share this folder
        print(f"checkpoint  {folder / 'checkpoint'}")
    print(f"take it     {use_best(settings, folder, best)}")
