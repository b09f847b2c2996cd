"""The work of a study: train what is not trained yet, one training after the other, then measure all of them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...methods.errors import RaylignError
from ..evaluation.results import CaseResult
from ..runs import RUNS
from .options import Study
from .plan import Training
from .process import run_command


@dataclass(frozen=True)
class Measured:
    """What the evaluation of some trainings says.

    Attributes:
        rows: of `raylign evaluate`, with the variant as `method` and the test's label as `dataset`, by seed.
        results: of each case, in the same way.
    """

    rows: dict[int, list[dict[str, Any]]]
    results: dict[int, list[CaseResult]]


def store_of(folder: Path) -> str:
    """The study's own MLflow store: no variant shall be the newest model of its method elsewhere."""
    return f"sqlite:///{folder / 'mlflow.db'}"


def train_command(training: Training, folder: Path, workers: int | None) -> list[str]:
    """The arguments of `raylign` that train one of a study's trainings, or go on with it."""
    how = ["--backend", "plain"] if workers is None else ["--workers", str(workers)]
    config = str(training.folder / "config.yaml")
    name = ["--name", training.folder.name, "--runs", str(folder), "--tracking-uri", store_of(folder)]
    return ["train", "--config", config, *name, *how, "--resume"]


def train_all(
    trainings: Sequence[Training], folder: Path, *, workers: int | None, fresh: bool
) -> dict[tuple[str, int], str]:
    """Train what is not done yet; a training that fails does not keep the others from being done.

    Args:
        trainings: in order.
        folder: of the study.
        workers: of each training; None trains in one process with all cores.
        fresh: forget those that are done or begun.

    Returns:
        Why trainings failed, by variant and seed.
    """
    failed: dict[tuple[str, int], str] = {}
    for number, training in enumerate(trainings, 1):
        title = f"[{number}/{len(trainings)}] {training.variant}, seed {training.seed}"
        if fresh:
            shutil.rmtree(training.folder, ignore_errors=True)
        if training.done:
            print(f"{title}: already trained", file=sys.stderr, flush=True)
            continue
        print(title, file=sys.stderr, flush=True)
        training.write_config()
        reason = run_command(train_command(training, folder, workers), training.folder / "log.txt")
        if reason:
            failed[training.variant, training.seed] = reason
            print(f"{title}: failed: {reason}", file=sys.stderr, flush=True)
    return failed


def measure(
    study: Study, trainings: Sequence[Training], name: str, folder: Path, *, workers: int | None, fresh: bool
) -> Measured:
    """Measure trained variants on the tests; cases that were measured before are not measured again.

    Args:
        study: tells tests, limit and inference options.
        trainings: done ones.
        name: of the study.
        folder: of the study.
        workers: of the evaluation; None as many as there is room for.
        fresh: measure again.

    Raises:
        RaylignError: the evaluation failed.
    """
    suffix = f"[{study.inference}]" if study.inference else ""
    arguments = ["evaluate", "--data", *(url for _, url in study.tests), "--methods"]
    arguments += [f"{training.checkpoint}{suffix}" for training in trainings]
    arguments += ["--name", f"study-{name}", "--gallery", "0", "--tracking-uri", store_of(folder)]
    arguments += ["--limit", str(study.limit)] if study.limit is not None else []
    arguments += ["--workers", str(workers)] if workers is not None else []
    arguments += ["--fresh"] if fresh else []
    reason = run_command(arguments, folder / "evaluate.txt")
    if reason:
        raise RaylignError(f"the evaluation failed ({reason}); the trainings are kept, run the same command again")
    return read_measured(study, trainings, (RUNS / "evaluate" / f"study-{name}").absolute())


def read_measured(study: Study, trainings: Sequence[Training], evaluation: Path) -> Measured:
    """What a run folder of `raylign evaluate` says, told of variants and seeds."""
    from ..evaluation.store import decode

    table = json.loads((evaluation / "table.json").read_text(encoding="utf-8"))
    settings = table["settings"]
    whose = {model["name"]: each for model, each in zip(settings["models"], trainings, strict=True)}
    label = {
        facts["label"]: own or facts["label"] for facts, (own, _) in zip(settings["datasets"], study.tests, strict=True)
    }
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in table["rows"]:
        told = {"method": whose[row["method"]].variant, "dataset": label[row["dataset"]]}
        rows.setdefault(whose[row["method"]].seed, []).append({**row, **told})
    results: dict[int, list[CaseResult]] = {}
    for result in decode((evaluation / "results.parquet").read_bytes()):
        training = whose[result.method]
        result = replace(result, method=training.variant, dataset=label[result.dataset])
        results.setdefault(training.seed, []).append(result)
    return Measured(rows, results)
