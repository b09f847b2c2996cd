"""The model registry: every finished training is a version of the one MLflow model `raylign`.

A version points at the checkpoint among its run's artifacts, and only ever at `config.json` and safetensors: optimizer
state stays in the run folder, and nothing that is loaded from here is ever unpickled. The alias `champion` marks the
version that `raylign serve` loads.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..methods.errors import CheckpointError, InputError
from .data.shards import write_error
from .tracking import Tracker, TrackingError, redact, sqlite_path
from .tracking import tracking_uri as find_uri

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

REGISTERED_MODEL = "raylign"
CHAMPION = "champion"
_ARTIFACT_FOLDER = "checkpoint"
_CHECKPOINT_FILES = ("config.json", "model.safetensors")
_METRIC_TAG = "metric."
_PAGE = 1000
_NONE_YET = "no model '{text}': nothing is trained yet; run 'raylign train METHOD --data URL' first"


@dataclass(frozen=True)
class ModelVersion:
    """One trained model."""

    version: int
    """Its number in the registry, from 1."""
    method: str
    """Name of the method in `raylign.methods`."""
    name: str
    """Name of the training run."""
    checkpoint: Path
    """Local folder with `config.json` and `model.safetensors`. For a version whose artifacts lie elsewhere it is where
    `resolve_model` downloads them to."""
    metrics: dict[str, float]
    """What the training measured last."""
    aliases: tuple[str, ...]
    created: datetime
    """In UTC."""


def register(
    tracking: Tracker | str | None,
    run_id: str,
    checkpoint: Path,
    method: str,
    name: str,
    metrics: Mapping[str, float],
) -> ModelVersion:
    """Keep a checkpoint with its MLflow run and make it a version of the registered model.

    A run that is registered again with equal metrics (after a kill in between) keeps its version.

    Args:
        tracking: the MLflow store: an open connection, or an address as `tracking_uri` takes it.
        run_id: the training's run.
        checkpoint: folder with `config.json` and `model.safetensors`; other files in it are left out.
        method: the method's name.
        name: the training run's name.
        metrics: the numbers to show beside it.

    Raises:
        CheckpointError: the folder is no complete checkpoint.
        TrackingError: MLflow refused or does not answer.
    """
    missing = [file for file in _CHECKPOINT_FILES if not (checkpoint / file).is_file()]
    if missing:
        raise CheckpointError(f"{checkpoint} is no complete checkpoint: {' and '.join(missing)} missing")
    tracker = tracking if isinstance(tracking, Tracker) else Tracker(tracking)
    for file in _CHECKPOINT_FILES:
        tracker.call(tracker.client.log_artifact, run_id, str(checkpoint / file), _ARTIFACT_FOLDER)
    artifacts = tracker.call(tracker.client.get_run, run_id).info.artifact_uri
    try:
        tracker.call(tracker.client.create_registered_model, REGISTERED_MODEL)
    except TrackingError as error:
        if error.code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {"method": method, "run_name": name}
    tags |= {f"{_METRIC_TAG}{key}": repr(float(value)) for key, value in metrics.items()}
    for known in tracker.call(tracker.client.search_model_versions, f"run_id = '{run_id}'"):
        if known.name == REGISTERED_MODEL and dict(known.tags) == tags:
            return _ours(known, tracker, {})
    created = tracker.call(
        tracker.client.create_model_version,
        REGISTERED_MODEL,
        f"{artifacts.rstrip('/')}/{_ARTIFACT_FOLDER}",
        run_id=run_id,
        tags=tags,
        await_creation_for=0,
    )
    return _ours(created, tracker, {})


def list_models(tracking_uri: str | None = None) -> list[ModelVersion]:
    """All versions, newest first; nothing is downloaded.

    Raises:
        TrackingError: MLflow refused or does not answer.
    """
    tracker = _reader(tracking_uri)
    return _list(tracker) if tracker else []


def resolve_model(text: str, tracking_uri: str | None = None) -> ModelVersion:
    """The version that a user means, with its checkpoint on this machine.

    Args:
        text: `champion`, a version number, a run's name or a method's name (of several, the newest).
        tracking_uri: as `raylign.platform.tracking.tracking_uri` takes it.

    Raises:
        InputError: there is none; the line tells what there is.
        CheckpointError: its files are gone.
        TrackingError: MLflow refused or does not answer.
    """
    return _resolve(text, tracking_uri)[0]


def champion(tracking_uri: str | None = None) -> ModelVersion:
    """The promoted version, with its checkpoint on this machine. Raises as `resolve_model` does."""
    return resolve_model(CHAMPION, tracking_uri)


def promote(text: str, tracking_uri: str | None = None) -> ModelVersion:
    """Set the alias `champion` on the version that `text` means. Raises as `resolve_model` does."""
    # A champion whose files are gone would only fail later, in the service.
    model, tracker = _resolve(text, tracking_uri)
    tracker.call(tracker.client.set_registered_model_alias, REGISTERED_MODEL, CHAMPION, str(model.version))
    return _pick(str(model.version), _list(tracker))


def _reader(uri: str | None) -> Tracker | None:
    """A connection, or None where no database is yet: looking into an empty registry makes none."""
    address = find_uri(uri)
    database = sqlite_path(address)
    return None if database and not database.exists() else Tracker(address)


def _resolve(text: str, uri: str | None) -> tuple[ModelVersion, Tracker]:
    tracker = _reader(uri)
    if tracker is None:
        raise InputError(_NONE_YET.format(text=text))
    model = _pick(text, _list(tracker))
    _fetch(model, tracker)
    return model, tracker


def _list(tracker: Tracker) -> list[ModelVersion]:
    try:
        # Searching versions does not always tell their aliases; the registered model does.
        registered = tracker.call(tracker.client.get_registered_model, REGISTERED_MODEL)
    except TrackingError as error:
        if error.code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise
    found: list[MlflowVersion] = []
    token: str | None = None
    while True:
        page = tracker.call(
            tracker.client.search_model_versions, f"name = '{REGISTERED_MODEL}'", max_results=_PAGE, page_token=token
        )
        found.extend(page)
        token = page.token
        if not token:
            break
    models = [_ours(each, tracker, registered.aliases) for each in found]
    return sorted(models, key=lambda model: model.version, reverse=True)


def _pick(text: str, models: list[ModelVersion]) -> ModelVersion:
    if not models:
        raise InputError(_NONE_YET.format(text=text))
    if text == CHAMPION:
        matching = [model for model in models if CHAMPION in model.aliases]
    elif text.isdecimal():
        matching = [model for model in models if model.version == int(text)]
    else:
        matching = [model for model in models if model.name == text]
        matching = matching or [model for model in models if model.method == text]
    if matching:
        return matching[0]
    there = ", ".join(f"{model.version} ({model.name}, {model.method})" for model in models[:5])
    more = f" and {len(models) - 5} more ('raylign models' lists them)" if len(models) > 5 else ""
    if text == CHAMPION:
        raise InputError(f"no model is the champion yet; run 'raylign promote MODEL' with one of {there}{more}")
    raise InputError(f"no model '{text}'; there is {there}{more}")


def _ours(version: MlflowVersion, tracker: Tracker, aliases: Mapping[str, Any]) -> ModelVersion:
    tags = dict(version.tags)
    return ModelVersion(
        version=int(version.version),
        method=tags.get("method", "?"),
        name=tags.get("run_name", "?"),
        checkpoint=_local_folder(str(version.source), int(version.version), tracker),
        metrics={
            key.removeprefix(_METRIC_TAG): _number(value) for key, value in tags.items() if key.startswith(_METRIC_TAG)
        },
        aliases=tuple(sorted(name for name, number in aliases.items() if int(number) == int(version.version))),
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, tz=UTC),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _local_folder(source: str, version: int, tracker: Tracker) -> Path:
    """Where a version's checkpoint lies, or is to be downloaded to."""
    parts = urlsplit(source)
    if parts.scheme in ("", "file"):
        folder = Path(url2pathname(parts.path))
        database = sqlite_path(tracker.uri)
        if not folder.exists() and database and "/mlartifacts/" in folder.as_posix():
            # The database and its artifacts were moved together to another place.
            moved = database.parent / "mlartifacts" / folder.as_posix().rpartition("/mlartifacts/")[2]
            return moved if moved.exists() else folder
        return folder
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raylign" / "models"
    # The run's id is in the source, so versions of different stores do not meet.
    return cache / "-".join([*[part for part in parts.path.split("/") if part][-3:], str(version)])


def _fetch(model: ModelVersion, tracker: Tracker) -> None:
    """Have the checkpoint of `model` on this machine, whole or not at all."""
    folder = model.checkpoint
    if all((folder / file).is_file() for file in _CHECKPOINT_FILES):
        return
    version = tracker.call(tracker.client.get_model_version, REGISTERED_MODEL, str(model.version))
    source = str(version.source)
    if urlsplit(source).scheme in ("", "file"):
        raise CheckpointError(
            f"the files of model {model.version} ({model.name}) are gone from {folder}; pick another or train again"
        )
    from mlflow.artifacts import download_artifacts

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise write_error(folder.parent, error) from None
    try:
        got = Path(tracker.call(download_artifacts, source, dst_path=str(part), tracking_uri=tracker.uri))
        missing = [file for file in _CHECKPOINT_FILES if not (got / file).is_file()]
        if missing:
            raise CheckpointError(f"model {model.version} at {redact(source)} lacks {' and '.join(missing)}")
        shutil.rmtree(folder, ignore_errors=True)
        got.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
