"""`raylign study FILE`: a paper's ablation table by one command."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from ...methods.errors import InputError, RaylignError
from ..arguments import parse
from ..runs import RUNS, run_folder, write_text
from .options import Study, read_study
from .plan import Training, count_parameters, make_trainings, variant_specs


@dataclass(frozen=True)
class StudyOptions:
    """Train variants of a method alike, each with several seeds, measure all of them, and make one table.

    FILE is YAML: 'method', 'data', 'test' (datasets as 'raylign evaluate --data' takes them, or 'label: PATH'),
    'seeds', 'base' and 'variants' (options of 'raylign train' by their names, as 'model.levels: 1'); it may have
    'budget' ('steps: N' or 'minutes: N' for each training), 'orders' to check ('A < B <= C'), their 'metric',
    'inference' options and a 'limit' of cases. Trainings run one after the other. Run the same command again to go on
    after an interruption.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The study."""
    name: str = ""
    """Name of the run folder, runs/study/NAME; empty means that of the file."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="VARIANT [VARIANT ...]")] = ()
    """Train these variants alone; the table has all that are trained."""
    workers: int | None = None
    """Workers of each training (Ray Train) and of the evaluation; without it a training takes all cores of this machine
    in one process, and the evaluation as many workers as there is room for."""
    markdown: Path | None = None
    """Write the tables into this file, between its lines '<!-- study NAME -->' and '<!-- /study NAME -->'."""
    fresh: bool = False
    """Train and measure again what is there already."""
    dry_run: bool = False
    """Only tell what would be trained."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(StudyOptions, arguments, "study")
    study = read_study(options.file)
    name = options.name or options.file.stem
    _check(options, study, name)
    specs = variant_specs(study)
    parameters = _parameters(study, specs)
    folder = (RUNS / "study" / name).absolute() if options.dry_run else run_folder("study", name)
    if study.budget.minutes is not None and not options.dry_run:
        from .pace import with_minutes

        for variant, spec in specs.items():
            print(f"pace of {variant}: ", end="", file=sys.stderr, flush=True)
            specs[variant] = with_minutes(spec, study.budget.minutes, folder)
    trainings = make_trainings(specs, study.seeds, folder)
    if options.dry_run:
        _tell_plan(study, trainings, parameters, options.only)
        return 0
    return _run(options, study, name, folder, trainings, parameters)


def _check(options: StudyOptions, study: Study, name: str) -> None:
    """Tell wrong input before any work is done."""
    from ..data.layouts.opening import open_reader
    from ..evaluation.datasets import EvaluationSet, choose_datasets
    from ..inference import check_inference, read_choices
    from .tables import check_markers

    unknown = [variant for variant in options.only if variant not in study.variants]
    if unknown:
        raise InputError(f"--only {unknown[0]}: no such variant; choose of {', '.join(study.variants)}")
    if options.workers is not None and options.workers < 1:
        raise InputError(f"--workers must be at least 1, not {options.workers}")
    if options.workers is not None and study.budget.minutes is not None:
        raise InputError(
            "a budget in minutes is measured with one process; leave --workers out, or give the budget in steps"
        )
    if options.markdown is not None:
        check_markers(options.markdown, name)
    if study.inference:
        label = f"{options.file}: inference"
        check_inference(study.method, read_choices(study.inference.split(","), label), label)
    for data in dict.fromkeys(str(own.get("data", study.data)) for own in study.variants.values()):
        for split in ("train", "val"):
            open_reader(data, split)
    for choice in choose_datasets([url for _, url in study.tests], "test", study.limit):
        EvaluationSet(choice)


def _parameters(study: Study, specs: dict[str, Any]) -> dict[str, int]:
    counts = {}
    for variant, spec in specs.items():
        try:
            counts[variant] = count_parameters(spec)
        except RaylignError as error:
            raise InputError(f"variant '{variant}': {error}") from None
    return counts


def _tell_plan(study: Study, trainings: Sequence[Training], parameters: dict[str, int], only: Sequence[str]) -> None:
    for training in trainings:
        loop = training.spec.loop
        steps = (
            f"{study.budget.minutes:g} minutes"
            if study.budget.minutes is not None
            else (f"{loop.epochs} epochs" + (f" of {loop.steps_per_epoch} steps" if loop.steps_per_epoch else ""))
        )
        left = "left out" if only and training.variant not in only else "to do"
        state = "done" if training.done else left
        size = f"{parameters[training.variant] / 1e6:.2f} M parameters"
        print(f"{training.variant}\tseed {training.seed}\t{steps}\t{size}\t{state}")


def _run(
    options: StudyOptions,
    study: Study,
    name: str,
    folder: Path,
    trainings: Sequence[Training],
    parameters: dict[str, int],
) -> int:
    from .results import check_orders, pool
    from .run import Measured, measure, train_all

    write_text(folder / "study.yaml", options.file.read_text(encoding="utf-8"))
    chosen = [training for training in trainings if not options.only or training.variant in options.only]
    failed = train_all(chosen, folder, workers=options.workers, fresh=options.fresh)
    done = [training for training in trainings if training.done]
    measured = Measured({}, {})
    if done:
        measured = measure(study, done, name, folder, workers=options.workers, fresh=options.fresh)
    document = {
        "name": name,
        "study": asdict(study),
        "variants": {
            variant: {"options": own, "parameters": parameters[variant]} for variant, own in study.variants.items()
        },
        "trainings": [_facts(training, failed) for training in trainings],
        "rows": pool(measured, list(study.variants)),
        "orders": check_orders(measured, study.orders, study.metric),
    }
    _write(document, folder, options)
    return 1 if failed else 0


def _facts(training: Training, failed: dict[tuple[str, int], str]) -> dict[str, Any]:
    error = failed.get((training.variant, training.seed), "")
    return {
        "variant": training.variant,
        "seed": training.seed,
        "run": training.folder.name,
        "state": "failed" if error else "done" if training.done else "not trained",
        "error": error,
        "steps": training.steps(),
        "minutes": training.minutes(),
    }


def _write(document: dict[str, Any], folder: Path, options: StudyOptions) -> None:
    from .page import study_page
    from .tables import markdown, unfinished, with_study

    text = markdown(document)
    write_text(folder / "table.json", json.dumps(document, indent=1) + "\n")
    write_text(folder / "study.md", text)
    write_text(folder / "report.html", study_page(document, (folder / "study.yaml").read_text(encoding="utf-8")))
    if options.markdown is not None:
        write_text(options.markdown, with_study(options.markdown, document["name"], text))
    print(text)
    for line in unfinished(document):
        print(line, file=sys.stderr)
    print(f"report  {folder / 'report.html'}", file=sys.stderr)
