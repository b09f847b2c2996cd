"""`raylign evaluate`: one table for all methods."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ...methods.errors import InputError
from ..arguments import parse
from ..progress import Progress
from ..runs import RUNS, run_folder, write_text
from .results import Task

if TYPE_CHECKING:
    from ..cluster import RayAhead
    from .datasets import EvaluationSet
    from .farm import Farm
    from .outputs import Evaluation
    from .results import CaseResult
    from .work import WorkOptions


@dataclass(frozen=True)
class EvaluateOptions:
    """Measure methods and checkpoints on datasets, all under one protocol.

    Pair methods are measured on the pairs (0, k) of a dataset, methods that take sets (mean, median, ...) on whole
    sequences: as they are, and, where the true picture is known, brought together by the true homographies; of datasets
    of pairs on these, by the homography alone. Run the same command
    again to go on after an interruption; what is measured already is not measured again.
    """

    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="URL [URL ...]")] = ()
    """Datasets: local paths or URLs of shards, or folders of public datasets; URL#SPLIT takes another split."""
    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = ("identity", "sift", "champion")
    """Methods by name, checkpoint folders, or registered models ('champion', a version, a run's name); 'all' for every
    method that can run here. NAME[adapt=0,start=network] sets inference options of a learned method, as often as wanted
    with others; quote it where the shell gives brackets a meaning."""
    split: str = "test"
    """Split of the datasets."""
    limit: int | None = None
    """At most so many cases of each dataset and task, evenly spread."""
    tasks: Annotated[tuple[Task, ...], tyro.conf.arg(metavar="TASK [TASK ...]")] = ("pair", "set", "aligned")
    """What to measure: pairs; sets of shots; sets that are aligned already."""
    lengths: Annotated[tuple[int, ...], tyro.conf.arg(metavar="T [T ...]")] = ()
    """Measure sets (tasks set and aligned) at each of these numbers of shots instead of whole: the first T of each
    sequence, the reference counted. Sequences with fewer shots are left out; pairs are measured as ever."""
    degrade: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KIND:STRENGTH [KIND:STRENGTH ...]")] = ()
    """Measure everything once more with degraded pictures, as datasets of their own: noise, blur or low-light, each of
    strength 1, 2 or 3. True pictures stay what they are."""
    name: str = "default"
    """Name of the run folder, runs/evaluate/NAME."""
    workers: int | None = None
    """Worker processes; default: as many as there is room for. One worker without --address needs no Ray."""
    address: str | None = None
    """Ray cluster; default: RAY_ADDRESS, else this machine. Its machines must see the data at the same place."""
    threads: int = 1
    """CPU threads of one alignment. Times are told for it, and sums in floating point depend on it."""
    gpus_per_worker: float = 0.0
    """GPUs, or a part of one, that each worker takes."""
    weights: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=FILE")] = ()
    """Published weights of methods that have some (loftr, raft): safetensors, or a state dict of PyTorch."""
    lpips_weights: str | None = None
    """Weights of torchvision's AlexNet for LPIPS; without them the column is empty."""
    pretrained: bool = False
    """Take published weights (loftr, raft, LPIPS) from torch's cache, or fetch them."""
    fresh: bool = False
    """Measure again what is measured already."""
    compare: Annotated[tuple[str, str] | None, tyro.conf.arg(metavar="A B")] = None
    """Compare two of the methods case by case, and tell which one wins where."""
    paper: str | None = None
    """Print the numbers of a paper (000 to 004) beside ours; without --data those of the last run of this name."""
    gallery: int = 4
    """Cases of each method and dataset in the report's gallery, the worst first."""
    json: Path | None = None
    """Write the table as JSON to this file."""
    csv: Path | None = None
    """Write the table as CSV to this file."""
    latex: Path | None = None
    """Write the table as LaTeX to this file."""
    markdown: tuple[Path, ...] = ()
    """Write an overview and the table as Markdown to these files; a file with the lines '<!-- overview -->' and
    '<!-- /overview -->' keeps what stands around them and gets the overview between them."""
    chart: Path | None = None
    """With --lengths: draw RMSE, PSNR and SSIM over the number of shots into this file, .png or .svg."""
    html: Path | None = None
    """Write the report, which is in the run folder anyway, to this file as well."""
    tracking_uri: str | None = None
    """MLflow tracking URI of the registered models and of this run."""

    @property
    def in_this_process(self) -> bool:
        """Whether all work is done here: for one worker without a cluster's address Ray would only cost time."""
        return self.workers == 1 and self.address is None

    def check(self) -> None:
        """Find what is wrong before any work is done.

        Raises:
            InputError: with the option's name.
        """
        for flag, value, least in (
            ("--limit", self.limit, 1),
            ("--workers", self.workers, 1),
            ("--threads", self.threads, 1),
            ("--gallery", self.gallery, 0),
            ("--gpus-per-worker", self.gpus_per_worker, 0),
        ):
            if value is not None and value < least:
                raise InputError(f"{flag} must be at least {least}")
        if not self.data and self.paper is None:
            raise InputError("--data is missing; give one or more datasets")
        if any(length < 1 for length in self.lengths):
            raise InputError("--lengths must be at least 1; the reference is the first shot")
        if self.chart is not None and not self.lengths:
            raise InputError("--chart draws over the number of shots; give --lengths T [T ...] too")
        if self.chart is not None and self.chart.suffix.lower() not in (".png", ".svg"):
            raise InputError(f"--chart {self.chart}: the name must end in .png or .svg")
        for path in (self.json, self.csv, self.latex, *self.markdown, self.html, self.chart):
            if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
                raise InputError(f"{path} cannot be written: it is a folder, or its folder does not exist")


_CHANGE_NO_NUMBER = frozenset(
    {
        *("json", "csv", "latex", "markdown", "chart", "html", "tracking_uri", "name", "fresh", "compare", "paper"),
        *("gallery", "address", "workers"),
    }
)
"""Options that the settings of a table do not tell."""


def main(arguments: list[str]) -> int:
    """Run the command."""
    options = parse(EvaluateOptions, arguments, "evaluate")
    options.check()
    from .papers import beside, html, paper_of, text

    paper = None if options.paper is None else paper_of(options.paper)
    if not options.data:
        table = _last_table(options.name)
        if paper is not None:
            print(text(beside(paper, table["rows"], table["settings"])))
        return 0
    with _ray(options) as ray:
        from .farm import FarmOptions, open_farm
        from .outputs import draw, track, write_report, write_tables
        from .work import WorkOptions

        lpips = options.lpips_weights and str(Path(options.lpips_weights).expanduser().absolute())
        work = WorkOptions(options.threads, lpips, options.pretrained)
        with open_farm(work, FarmOptions(options.workers, options.gpus_per_worker), ray) as farm:
            evaluation = _evaluate(options, work, farm)
            comparison = None if paper is None else beside(paper, evaluation.rows, evaluation.settings)
            write_tables(evaluation, options.json, options.csv, options.latex, options.markdown, options.chart)
            try:
                _tell(options, evaluation)
                if comparison is not None:
                    print("\n" + text(comparison))
                sys.stdout.flush()
            except BrokenPipeError:  # its reader has gone (`raylign evaluate ... | head`), the files are still wanted
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            items = draw(evaluation, options.gallery, farm)
        if ray is not None:
            ray.release()
        write_report(evaluation, items, options.html, "" if comparison is None else html(comparison))
        print(f"report  {evaluation.folder / 'report.html'}", file=sys.stderr)
        track(evaluation, options.name, asdict(options), options.tracking_uri)
    return 0


@contextlib.contextmanager
def _ray(options: EvaluateOptions) -> Iterator[RayAhead | None]:
    """Ray, where it is needed. It takes as long to come up as torch to load, so it starts before that."""
    if options.in_this_process:
        yield None
        return
    from ..cluster import RayAhead

    cores = len(os.sched_getaffinity(0))
    cpus = None if options.workers is None else min(cores, options.workers * options.threads)
    with RayAhead(options.address, num_cpus=cpus, preload=[f"{__package__}.work"]) as ray:
        yield ray


def _last_table(name: str) -> dict[str, Any]:
    """The table of the last evaluation of this name; empty if there is none."""
    path = RUNS / "evaluate" / name / "table.json"
    if not path.exists():
        return {"rows": [], "settings": {}}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _evaluate(options: EvaluateOptions, work: WorkOptions, farm: Farm) -> Evaluation:
    """Measure what is not measured yet."""
    import yaml

    from ..tracking import tracking_uri
    from .aggregates import fire_note
    from .datasets import SCORED, choose_datasets, open_sets
    from .evaluate import evaluate, make_plan
    from .models import choose_models
    from .outputs import Evaluation, load_mlflow
    from .store import Parts
    from .summary import summarise

    choices = choose_datasets(options.data, options.split, options.limit, options.lengths, options.degrade)
    datasets = open_sets(choices)
    models, left_out = choose_models(
        options.methods,
        weights=options.weights,
        pretrained=options.pretrained,
        tracking_uri=options.tracking_uri,
    )
    labels = [model.name for model in models]
    for name in options.compare or ():
        if name not in labels:
            raise InputError(f"--compare: '{name}' is not measured; choose two of {', '.join(labels)}")
    plan = make_plan(models, datasets, options.tasks)
    if work.measures_lpips:
        work.load_lpips()  # wrong weights are told before any work is done
    tracking_uri(options.tracking_uri)  # a wrong address is told before any work is done
    folder = run_folder("evaluate", options.name)
    write_text(folder / "config.yaml", yaml.safe_dump(json.loads(json.dumps(asdict(options), default=str))))
    parts = Parts(folder / "parts", work, {dataset.choice.label: dataset.digest() for dataset in datasets})
    if not options.in_this_process:
        load_mlflow(options.tracking_uri)
    with Progress("evaluating", plan.cases, "case") as bar:
        results = evaluate(plan, parts, farm, fresh=options.fresh, advance=bar.advance)

    def own(dataset: EvaluationSet) -> list[CaseResult]:
        """Results of one method on a dataset."""
        return [each for each in results if (each.dataset, each.method) == (dataset.choice.label, results[0].method)]

    scored = [dataset.choice.label for dataset in datasets if dataset.layout in SCORED]
    settings = {
        **{name: value for name, value in asdict(options).items() if name not in _CHANGE_NO_NUMBER},
        "datasets": [dataset.facts() for dataset in datasets],
        "models": [{"name": m.name, "method": m.method, "version": m.version} for m in models],
        "left_out": left_out | plan.left_out,
        "notes": [note for dataset in datasets if dataset.layout == "fire" and (note := fire_note(own(dataset)))],
    }
    rows = summarise(results, scored=scored, lpips=work.measures_lpips)
    return Evaluation(folder, rows, settings, results, plan.jobs)


def _tell(options: EvaluateOptions, evaluation: Evaluation) -> None:
    """Print the table, what is not in it, and the comparison that was asked for."""
    from .compare import compare, describe
    from .summary import RANKING
    from .tables import print_tables

    print_tables(evaluation.rows)
    for name, why in evaluation.settings["left_out"].items():
        print(f"left out: {name}: {why}", file=sys.stderr)
    for note in evaluation.settings["notes"]:
        print(note, file=sys.stderr)
    if options.compare is not None:
        first, second = options.compare
        for metric in dict.fromkeys(RANKING.values()):
            comparisons = compare(evaluation.results, first, second, metric)
            comparisons = [each for each in comparisons if RANKING[each.task] == metric]
            if comparisons:
                print("\n" + describe(comparisons))
