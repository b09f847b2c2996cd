"""Per-case results as Parquet: a small file for each finished job, one table of all at the end.

A part is written whole or not at all and says by its name what made it: the model's weights, the dataset and the
sources behind the method. So a killed evaluation goes on where it was, another method adds only its own work, and
nothing that has changed is taken from an earlier run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...methods.errors import InputError
from ...methods.registry import ENTRY_POINT_GROUP
from ..alignment import ModelChoice
from ..data.shards import write_error
from ..runs import write_bytes
from .results import METRICS, CaseResult
from .sources import sources_behind
from .work import Job, WorkOptions

_LIBRARIES = (
    *("torch", "torchvision", "torchmetrics", "kornia", "timm", "diffusers", "numpy", "scipy", "scikit-image"),
    *("opencv-python-headless", "opencv-python", "pillow"),
)
"""Libraries that compute; another version may give other numbers."""

_NOT_IN_FILES = re.compile(r"[^\w.-]")
_LONGEST = 48
"""Letters of a model's name in the name of a folder, which file systems allow 255 bytes."""

_TEXT = ("method", "dataset", "task", "key", "name", "scene", "subset", "error")
_LISTS = ("known", "told")
_TUPLES = (*_LISTS, "frame_errors")
_NUMBERS = ("motion", "confidence")
_PER_CASE = tuple(metric.name for metric in METRICS if metric.per_case)

SCHEMA = pa.schema(
    [(name, pa.string()) for name in _TEXT]
    + [("failed", pa.bool_())]
    + [(name, pa.list_(pa.string())) for name in _LISTS]
    + [(name, pa.float64()) for name in (*_NUMBERS, *_PER_CASE)]
    + [("length", pa.int64()), ("frame_errors", pa.list_(pa.float64()))]
)
"""Columns of `results.parquet`; a metric without a value is null."""


def encode(results: Sequence[CaseResult]) -> bytes:
    """Results as a Parquet file."""
    rows = []
    for result in results:
        row = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        metrics = row.pop("metrics")
        rows.append({**row, **{name: list(row[name]) for name in _TUPLES}, **{k: metrics.get(k) for k in _PER_CASE}})
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), buffer)
    return buffer.getvalue()


def decode(content: bytes) -> list[CaseResult]:
    """What `encode` was given.

    Raises:
        pyarrow.ArrowException: the bytes are no such file.
    """
    results = []
    for row in pq.read_table(io.BytesIO(content), schema=SCHEMA).to_pylist():
        metrics = {name: row.pop(name) for name in _PER_CASE}
        row |= {name: tuple(row[name]) for name in _TUPLES}
        values = {name: value for name, value in metrics.items() if value is not None}
        results.append(CaseResult(**row, metrics=values))
    return results


class Parts:
    """The finished jobs of an evaluation."""

    def __init__(self, folder: Path, options: WorkOptions, digests: dict[str, str]) -> None:
        """Parts in `folder`; `digests` has one for the label of each dataset."""
        self._folder = folder
        self._options = options
        self._datasets = digests
        self._models: dict[ModelChoice, str] = {}

    def path(self, job: Job) -> Path:
        """Where the results of a job lie, or will."""
        if job.model not in self._models:
            lpips = _contents([self._options.lpips_weights] if self._options.lpips_weights else [])
            options = dataclasses.replace(self._options, lpips_weights=None)
            self._models[job.model] = _digest(
                [model_digest(job.model), dataclasses.asdict(options), lpips, _code(job.model.method)]
            )
        name = _NOT_IN_FILES.sub("_", job.model.name)[:_LONGEST]
        folder = self._folder / f"{name}-{self._models[job.model]}" / self._datasets[job.dataset.label]
        return folder / f"{job.task}-{job.first:06d}-{job.count}.parquet"

    def read(self, job: Job) -> list[CaseResult] | None:
        """Results of a job, or None where it has to be done."""
        try:
            results = decode(self.path(job).read_bytes())
        except (OSError, pa.ArrowException):
            if job.count == 1:
                return None
            # A job that took its workers with it was done case by case.
            single = [self.read(dataclasses.replace(job, first=index, count=1)) for index in job.indices]
            if any(each is None for each in single):
                return None
            results = [result for each in single for result in each or []]
        return [dataclasses.replace(result, dataset=job.dataset.label) for result in results]

    def forget(self, job: Job) -> None:
        """Have a job done again, whole or case by case, whenever this evaluation goes on.

        Raises:
            InputError: its file cannot be removed.
        """
        for each in (job, *(dataclasses.replace(job, first=index, count=1) for index in job.indices)):
            path = self.path(each)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise write_error(path, error) from None

    def write(self, job: Job, results: Sequence[CaseResult]) -> None:
        """Keep the results of a job."""
        write_bytes(self.path(job), encode(results))


def model_digest(model: ModelChoice) -> str:
    """Changes with everything that decides what a model answers."""
    files = [Path(model.target, name) for name in ("config.json", "model.safetensors")]
    files += [Path(model.weights)] if model.weights else []
    sources = _sources_elsewhere(model.method)
    told = [model.method, model.name, model.pretrained, model.inference]
    return _digest([*told, *_contents(files), *_contents(sources)])


def _contents(files: Sequence[str | Path]) -> list[str]:
    """A digest of each of the files that are there."""
    try:
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in map(Path, files) if path.is_file()]
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from None


def _sources_elsewhere(method: str) -> list[Path]:
    """The sources of a method that another distribution brings; nothing of it is imported."""
    sources: list[Path] = []
    for point in entry_points(group=ENTRY_POINT_GROUP, name=method):
        spec = find_spec(point.module.partition(".")[0])
        if spec is not None:
            sources += [Path(spec.origin)] if spec.origin else []
            sources += [file for folder in spec.submodule_search_locations or () for file in Path(folder).rglob("*.py")]
    return sorted(set(sources))


@cache
def _code(method: str) -> str:
    """A digest of what results depend on beside models: the sources behind them, the versions of libraries."""
    return _digest([_contents(sources_behind(method)), [_version(name) for name in _LIBRARIES]])


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _digest(content: list[Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
