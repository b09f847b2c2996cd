"""One sweep from start, or from where a kill left it, to its end: Ray Tune with ASHA, Optuna and MLflow."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..methods.errors import InputError, RaylignError
from ..platform.inference import Chosen
from ..platform.progress import Progress
from ..platform.runs import read_yaml, write_text
from ..platform.training.options import TrainingSpec
from .records import EPOCH, Mode, TrialFiles, TrialRecord, best_record, read_results, read_study
from .spaces import search_space, start_point

if TYPE_CHECKING:
    from ray import tune

    from .trainable import TrainFunction, Work

_EXPERIMENT = "ray"


@dataclass(frozen=True)
class SweepSettings:
    """What decides a sweep; equal settings under one name are the same sweep."""

    spec: TrainingSpec
    """What is trained, with the values of all that is not searched; `loop.epochs` is the most that a trial trains."""
    space: str
    """Name of the search space."""
    trials: int
    """How many trials in total, those before a resume included."""
    grace: int
    """Epochs that every trial gets before it may be stopped."""
    reduction: int
    """At each rung one trial in this many goes on."""
    seed: int
    """Of the sampler."""
    metric: str
    mode: Mode
    checkpoint: str = ""
    """Folder of the trained model whose inference options are searched; empty where trials train."""
    inference: Chosen = ()
    """Inference options that all trials have in common."""

    def plain(self) -> dict[str, Any]:
        """As YAML and JSON values."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return content

    def digest(self) -> str:
        """Six characters that differ where the settings differ."""
        return hashlib.sha256(json.dumps(self.plain(), sort_keys=True).encode()).hexdigest()[:6]


@dataclass(frozen=True)
class Resources:
    """Where a sweep runs; may change between a start and its resume."""

    cpus_per_trial: int = 1
    gpus_per_trial: float | None = None
    """None means one where the cluster has any."""
    address: str | None = None
    tracking_uri: str | None = None


def run_sweep(
    settings: SweepSettings, folder: Path, resources: Resources, *, train: TrainFunction | None = None
) -> list[TrialRecord]:
    """Run a sweep to its end; one that was cut short in this folder goes on, a finished one is only read.

    Args:
        settings: what to search.
        folder: the sweep's folder, `runs/tune/<name>`.
        resources: where to run.
        train: the training loop of trials that train; None means the platform's.

    Returns:
        All trials, in the order of their start.

    Raises:
        InputError: the folder holds a sweep with other settings, another process works on it, the cluster is too
            small, or the trials find the input wrong.
        RaylignError: every trial failed.
        KeyboardInterrupt: Ctrl-C; the same call goes on later.
    """
    with _alone(folder):
        claim(settings, folder)
        if not is_done(folder):
            _run(settings, folder, resources, train)
        return records(settings, folder)


def claim(settings: SweepSettings, folder: Path) -> None:
    """Write the settings into a new sweep's folder, or see that they are those of the sweep that is there.

    Raises:
        InputError: they are not.
    """
    path = folder / "config.yaml"
    if path.exists():
        there, ours = read_yaml(path), settings.plain()
        if there != ours:
            differing = sorted(_differences(there, ours))
            raise InputError(
                f"--name {folder.name}: {folder} holds a sweep with another {', '.join(differing)}; choose another name"
            )
    else:
        write_text(path, yaml.safe_dump(settings.plain(), sort_keys=False))
    identity = folder / "id"
    if not identity.exists():
        write_text(identity, uuid.uuid4().hex)


def is_done(folder: Path) -> bool:
    """Whether the sweep in a folder is finished."""
    return (folder / "done.json").exists()


def records(settings: SweepSettings, folder: Path) -> list[TrialRecord]:
    """All trials of the sweep in a folder so far."""
    files = TrialFiles(folder / "trials")
    if is_done(folder):  # without Ray and Optuna, which take seconds to load
        return read_results(folder / "results.json", files, settings.metric, settings.mode)
    from .search import saved_study

    study = saved_study(folder / _EXPERIMENT)
    return read_study(study, files, settings.metric, settings.mode) if study else []


def _run(settings: SweepSettings, folder: Path, resources: Resources, train: TrainFunction | None) -> None:
    from ..platform.cluster import ray_session
    from ..platform.tracking import Tracker, flatten
    from .book import SweepBook
    from .watch import SweepWatch

    # A plain trainable needs no State API, so no dashboard.
    with ray_session(resources.address, dashboard=False):
        cpus, gpus, at_once = _share(resources)
        sweep_id = (folder / "id").read_text()
        book = SweepBook(
            Tracker(resources.tracking_uri),
            folder.name,
            sweep_id,
            flatten(settings.plain()),
            settings.spec.method,
        )
        before = [record for record in records(settings, folder) if record.outcome != "running"]
        with Progress(f"tuning {folder.name}", settings.trials, "trial") as bar:
            bar.advance(len(before)) if before else None
            watch = SweepWatch(
                TrialFiles(folder / "trials"),
                book,
                bar,
                before,
                metric=settings.metric,
                mode=settings.mode,
                epochs=settings.spec.loop.epochs,
            )
            try:
                with watch.under(sweep_id), _quiet():
                    _tuner(settings, folder, sweep_id, train, cpus, gpus, at_once).fit()
            except BaseException:
                book.close("KILLED")
                raise
        _settle(settings, folder, book, watch.hopeless)


def _settle(settings: SweepSettings, folder: Path, book: Any, hopeless: RaylignError | None) -> None:
    """Write the results of a sweep whose trials have all ended, or say why they have not."""
    from .results import write_results
    from .search import keep_study, saved_study

    if hopeless is not None:
        book.close("FAILED")
        # Nothing in it is worth going on from.
        shutil.rmtree(folder / _EXPERIMENT, ignore_errors=True)
        raise hopeless
    found = records(settings, folder)
    ended = [record for record in found if record.outcome != "running"]
    if len(ended) < settings.trials:
        # Tune stops in good order at the first Ctrl-C.
        book.close("KILLED")
        raise KeyboardInterrupt
    study = saved_study(folder / _EXPERIMENT)
    assert study is not None
    keep_study(study, folder / "study.db")
    files = write_results(settings, folder, found)
    best = best_record(found)
    if best is not None:
        _keep_best_checkpoint(folder, best)
    metrics = {f"best_{settings.metric}": best.best} if best and best.best is not None else {}
    book.finish(found, {**metrics, "trials": float(len(found))}, [*files, folder / "study.db"], "FINISHED")
    TrialFiles(folder / "trials").drop_checkpoints()
    write_text(folder / "done.json", json.dumps({"trials": len(found), "best": best.number if best else None}))


def _keep_best_checkpoint(folder: Path, best: TrialRecord) -> None:
    """Copy what `from_pretrained` reads of the best epoch to `checkpoint/`."""
    from ..platform.training.state import MODEL_FILES
    from .trainable import BEST

    model = folder / "trials" / best.trial_id / BEST
    if not model.is_dir():  # the trial ran on a machine that does not share this folder
        return
    target = folder / "checkpoint"
    target.mkdir(exist_ok=True)
    for name in MODEL_FILES:
        shutil.copy2(model / name, target / name)


def _tuner(
    settings: SweepSettings,
    folder: Path,
    sweep_id: str,
    train: TrainFunction | None,
    cpus: int,
    gpus: float,
    at_once: int,
) -> tune.Tuner:
    """The sweep as a Tuner: a new one, or the saved one if there is any."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    from .search import StudySearch, make_study
    from .trainable import run_trial
    from .watch import Brake, SweepCallback

    trainable = tune.with_resources(
        tune.with_parameters(
            run_trial,
            work=_work(settings, train),
            metric=settings.metric,
            mode=settings.mode,
            folder=folder / "trials",
            threads=cpus,
        ),
        {"cpu": cpus, "gpu": gpus},
    )
    experiment = folder / _EXPERIMENT
    if list(experiment.glob("experiment_state-*.json")) and list(experiment.glob("searcher-state-*.pkl")):
        return tune.Tuner.restore(str(experiment), trainable, resume_unfinished=True)
    # A kill before Tune's first save leaves nothing to go on from.
    shutil.rmtree(experiment, ignore_errors=True)
    space = search_space(settings.spec.method, settings.space)
    epochs = settings.spec.loop.epochs
    search = StudySearch(
        make_study(folder.name, settings.mode, settings.seed, settings.trials),
        space,
        metric=settings.metric,
        mode=settings.mode,
        epochs=epochs,
        first=start_point(space, settings.spec, settings.inference),
    )
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric=settings.metric,
            mode=settings.mode,
            num_samples=settings.trials,
            max_concurrent_trials=at_once,
            search_alg=search,
            scheduler=ASHAScheduler(
                time_attr=EPOCH,
                max_t=epochs,
                grace_period=settings.grace,
                reduction_factor=settings.reduction,
            ),
            trial_dirname_creator=_trial_folder,
        ),
        run_config=tune.RunConfig(
            name=_EXPERIMENT,
            storage_path=str(folder),
            failure_config=tune.FailureConfig(max_failures=1),
            callbacks=[SweepCallback(sweep_id)],
            stop=Brake(sweep_id),
            verbose=0,
        ),
    )


def _work(settings: SweepSettings, train: TrainFunction | None) -> Work:
    """What each trial does."""
    if settings.checkpoint:
        from .inference import Measuring

        return Measuring(settings.spec, settings.checkpoint, settings.inference)
    from ..platform.training.loop import train as train_method
    from .trainable import Training

    return Training(settings.spec, train or train_method)


def _trial_folder(trial: Any) -> str:
    return str(trial.trial_id)


def _share(resources: Resources) -> tuple[int, float, int]:
    """CPUs and GPUs of a trial, and how many trials fit at once.

    Raises:
        InputError: not even one does.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = resources.cpus_per_trial
    gpus = resources.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if any(node.get("GPU", 0) >= 1 for node in nodes) else 0.0
    fits = sum(
        int(min(node.get("CPU", 0) // cpus, node.get("GPU", 0) // gpus if gpus else float("inf"))) for node in nodes
    )
    if fits < 1:
        most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
        most_gpus = max((node.get("GPU", 0) for node in nodes), default=0)
        raise InputError(
            f"no machine of the cluster has --cpus-per-trial {cpus} and --gpus-per-trial {gpus:g} free; "
            f"the largest has {most} CPUs and {most_gpus:g} GPUs"
        )
    return cpus, gpus, fits


@contextmanager
def _quiet() -> Iterator[None]:
    """Tune prints tables, and whole tracebacks of failed trials; we tell one line each."""
    # What ended less than this many seconds before a hard kill is done again.
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "5")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new one prints also when it is told to be silent
    loggers = [logging.getLogger(name) for name in ("ray.tune", "ray.train", "ray.air")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No second process may work on the same sweep."""
    import filelock

    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InputError(
            f"--name {folder.name}: another process works on this sweep; wait, or choose another"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _differences(there: dict[str, Any], ours: dict[str, Any]) -> set[str]:
    from ..platform.tracking import flatten

    left, right = flatten(there), flatten(ours)
    return {key.removeprefix("spec.") for key in left.keys() | right.keys() if left.get(key) != right.get(key)}
