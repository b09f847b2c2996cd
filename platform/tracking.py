"""Experiment tracking: every run is kept in MLflow, through its client alone.

MLflow's fluent interface (`mlflow.start_run`, `mlflow.log_metric`) keeps an active run and an address in global state,
which mixes runs as soon as several are open or several processes write. Here both are data: a driver opens runs with a
`Tracker`, passes their ids on as strings, and whoever holds an id goes on with `Tracker.resume_run`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from ..methods.errors import InputError
from .data.shards import write_error
from .runs import RUNS

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

T = TypeVar("T")
RunStatus = Literal["FINISHED", "FAILED", "KILLED"]

_DATABASES = ("postgresql", "mysql", "mssql")
_DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
_SERVERS = ("http", "https", "databricks", "uc")
_PARAM_LENGTH = 500  # what every MLflow server since 1.x takes
_LOCKED_SECONDS = 30.0
_REACH_SECONDS = 10

_log = logging.getLogger(__name__)


class TrackingError(InputError):
    """MLflow did not do what was asked; `code` is its error code, for example `RESOURCE_DOES_NOT_EXIST`."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


def tracking_uri(explicit: str | None = None) -> str:
    """The address of the MLflow store to use.

    Args:
        explicit: what the user gave on the command line; else `MLFLOW_TRACKING_URI` counts, else a SQLite file
            `runs/mlflow.db` in the working directory (its folder is made).

    Returns:
        `sqlite:///<absolute path>`, the address of another database, or of a tracking server.

    Raises:
        InputError: the address is of a kind that MLflow does not take, or its folder cannot be made.
    """
    source, uri = "--tracking-uri", (explicit or "").strip()
    if not uri:
        source, uri = "MLFLOW_TRACKING_URI", os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not uri:
        uri = f"sqlite:///{(RUNS / 'mlflow.db').absolute()}"
    if _scheme(uri) in (*_DATABASES, *_SERVERS):
        return uri
    if _scheme(uri) != "sqlite":
        raise InputError(
            f"{source} '{redact(uri)}': MLflow keeps no runs in plain folders any more; use sqlite:///PATH/mlflow.db, "
            "the http(s) address of a tracking server, or leave it out for runs/mlflow.db"
        )
    path, _, query = uri.partition(":///")[2].partition("?")
    if not path or path == ":memory:":
        raise InputError(f"{source} '{uri}': an in-memory database is lost at once; use sqlite:///PATH/mlflow.db")
    database = Path(path).expanduser().absolute()
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(database.parent, error) from None
    return f"sqlite:///{database}" + (f"?{query}" if query else "")


def redact(text: str) -> str:
    """The text with the passwords of all URLs in it starred out, fit for a log."""
    text = re.sub(r"(\w[\w+.-]*://[^/\s:@]*):[^/\s]*@", r"\1:***@", text)
    return re.sub(r"([?&]\w*(?:password|token|secret)\w*=)[^&\s]+", r"\1***", text, flags=re.IGNORECASE)


def sqlite_path(uri: str) -> Path | None:
    """The database file behind a SQLite address, else None."""
    return Path(uri.partition(":///")[2].partition("?")[0]) if _scheme(uri) == "sqlite" else None


def _scheme(uri: str) -> str:
    """`postgresql` of `postgresql+psycopg2://...`; a bare `databricks` is its own scheme."""
    return re.split(r"[:+]", uri, maxsplit=1)[0].lower()


class Tracker:
    """A connection to one MLflow store, for reading and for opening runs."""

    def __init__(self, uri: str | None = None) -> None:
        """Connect; a SQLite database is created at its first use (about 2 s).

        Args:
            uri: as `tracking_uri` takes it.

        Raises:
            InputError: wrong address.
            TrackingError: nothing answers there, within seconds.
        """
        self.uri = tracking_uri(uri)
        _prepare_mlflow()
        from mlflow import MlflowClient

        with self._told():
            _check_reachable(self.uri)
        with _creation_lock(self.uri):
            self.client = self.call(MlflowClient, tracking_uri=self.uri, registry_uri=self.uri)
            self.call(self.client.search_experiments, max_results=1)

    def call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call a method of `client`; wait while another process holds the SQLite file.

        Raises:
            TrackingError: one line, without any password.
        """
        give_up = time.monotonic() + _LOCKED_SECONDS
        while True:
            with self._told():
                try:
                    return function(*arguments, **options)
                except Exception as error:
                    # Two writers can meet in a way that SQLite's own waiting does not cover.
                    if "database is locked" not in str(error) or time.monotonic() > give_up:
                        raise
            time.sleep(random.uniform(0.05, 0.3))

    def start_run(
        self,
        experiment: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
        parent_run_id: str | None = None,
    ) -> TrackedRun:
        """Open a new run.

        Args:
            experiment: its name; made if it is not there.
            name: the run's name.
            params: any plain data; nested mappings get dotted names, long values are cut.
            tags: further tags.
            parent_run_id: the run to show this one under.

        Raises:
            TrackingError: MLflow refused or does not answer.
        """
        from mlflow.entities import Param

        all_tags = {"mlflow.source.name": "raylign", **(tags or {})}
        if parent_run_id:
            all_tags["mlflow.parentRunId"] = parent_run_id
        created: Run = self.call(
            self.client.create_run, self.experiment_id(experiment), tags=all_tags, run_name=redact(name)
        )
        run = TrackedRun(self, created.info.run_id)
        flat = [Param(key, _shorten(value)) for key, value in flatten(params).items()]
        for start in range(0, len(flat), 100):
            self.call(self.client.log_batch, run.run_id, params=flat[start : start + 100])
        return run

    def resume_run(self, run_id: str) -> TrackedRun:
        """Go on with a run that was opened before, here or in another process.

        Raises:
            TrackingError: there is no such run.
        """
        self.call(self.client.update_run, run_id, status="RUNNING")
        return TrackedRun(self, run_id)

    def find_runs(self, experiment: str, tags: Mapping[str, str]) -> list[Run]:
        """All runs of an experiment that carry all these tags, newest first."""
        query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found: list[Run] = []
        token: str | None = None
        while True:
            page = self.call(
                self.client.search_runs, [self.experiment_id(experiment)], query, max_results=1000, page_token=token
            )
            found.extend(page)
            token = page.token
            if not token:
                return found

    def experiment_id(self, name: str) -> str:
        """The id of the experiment with this name, which is made (or taken out of the bin) if need be."""
        for _ in range(2):
            experiment = self.call(self.client.get_experiment_by_name, name)
            if experiment is not None:
                if experiment.lifecycle_stage == "deleted":
                    self.call(self.client.restore_experiment, experiment.experiment_id)
                return str(experiment.experiment_id)
            try:
                return self.call(self.client.create_experiment, name, artifact_location=_artifact_root(self.uri))
            except TrackingError as error:
                if error.code != "RESOURCE_ALREADY_EXISTS":
                    raise
        raise TrackingError(f"MLflow at {redact(self.uri)}: experiment '{name}' can neither be made nor found")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn whatever MLflow and its drivers raise into one clear line."""
        try:
            yield
        except TrackingError:
            raise
        except ModuleNotFoundError as error:
            package = _DRIVERS.get(str(error.name), error.name)
            raise TrackingError(
                f"MLflow at {redact(self.uri)} needs the package {package}; run 'pip install {package}'"
            ) from None
        except Exception as error:
            reason = " ".join(str(error).partition("[SQL:")[0].split()) or type(error).__name__
            code = str(getattr(error, "error_code", ""))
            raise TrackingError(f"MLflow at {redact(self.uri)}: {self._without_secrets(reason)[:300]}", code) from None

    def _without_secrets(self, text: str) -> str:
        with contextlib.suppress(ValueError):
            password = urlsplit(self.uri).password
            for secret in (password, unquote(password or "")):
                if secret:
                    text = text.replace(secret, "***")
        return redact(text)


class TrackedRun:
    """One open run. As a context manager it ends itself: FINISHED, or FAILED or KILLED after an exception.

    Metrics wait here while the server does not answer, and go out with the next call: a training never dies of its
    bookkeeping.
    """

    def __init__(self, tracker: Tracker, run_id: str) -> None:
        self.run_id = run_id
        self._tracker = tracker
        self._pending: list[Metric] = []
        self._warned = False

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log the metrics of one step (an epoch, for trainings)."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._pending += [Metric(key, float(value), now, step) for key, value in metrics.items()]
        self._send()

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a file, or all files of a folder, with the run; `folder` is the place among its artifacts.

        Raises:
            TrackingError: it could not be stored.
        """
        client = self._tracker.client
        self._tracker.call(client.log_artifacts if path.is_dir() else client.log_artifact, self.run_id, path, folder)

    def end(self, status: RunStatus = "FINISHED") -> None:
        """Close the run."""
        self._send()
        try:
            self._tracker.call(self._tracker.client.set_terminated, self.run_id, status)
        except TrackingError as error:
            _log.warning("raylign: warning: the run stays open in MLflow: %s", error)

    def _send(self) -> None:
        while self._pending:
            batch = self._pending[:1000]
            try:
                self._tracker.call(self._tracker.client.log_batch, self.run_id, metrics=batch)
            except TrackingError as error:
                if not self._warned:
                    _log.warning("raylign: warning: metrics wait until MLflow answers again: %s", error)
                self._warned = True
                return
            del self._pending[: len(batch)]

    def __enter__(self) -> TrackedRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.end("FINISHED")
        else:
            self.end("FAILED" if issubclass(kind, Exception) else "KILLED")


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names: `{"loop": {"lr": 1}}` becomes `{"loop.lr": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shorten(value: Any) -> str:
    text = redact(str(value))
    return text if len(text) <= _PARAM_LENGTH else f"{text[: _PARAM_LENGTH - 3]}..."


def _artifact_root(uri: str) -> str | None:
    """Where the artifacts of new experiments go; None leaves it to the tracking server.

    Without this, a database that is used without a server puts them under `./mlruns` of whoever asks.
    """
    if _scheme(uri) in _SERVERS:
        return None
    database = sqlite_path(uri)
    return ((database.parent if database else RUNS) / "mlartifacts").absolute().as_uri()


def _prepare_mlflow() -> None:
    """Keep MLflow quiet, offline, and quick to give up; whatever the user has set holds."""
    for name, value in (
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3"),
        ("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "30"),
        ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
        ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"),
    ):
        os.environ.setdefault(name, value)
    if "MLFLOW_LOGGING_LEVEL" in os.environ:
        return
    import mlflow  # noqa: F401  (it configures its logging on import, so levels are set after)

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # These tell whole SQL statements and addresses with passwords; the errors reach us as exceptions anyway.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    for name in ("alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _check_reachable(uri: str) -> None:
    """Fail within seconds where MLflow's own retries would take minutes."""
    if _scheme(uri) in ("http", "https"):
        import httpx

        verify = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() not in ("1", "true")
        try:
            httpx.get(uri, timeout=_REACH_SECONDS, verify=verify)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TrackingError(
                f"--tracking-uri {redact(uri)}: no MLflow server answers ({error or type(error).__name__}); "
                "start one with 'mlflow server', or leave the address out for runs/mlflow.db"
            ) from None
    elif _scheme(uri) in ("postgresql", "mysql"):
        import sqlalchemy

        engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": _REACH_SECONDS})
        try:
            engine.connect().close()
        finally:
            engine.dispose()


@contextlib.contextmanager
def _creation_lock(uri: str) -> Iterator[None]:
    """One process at a time may create the tables of a SQLite file; MLflow does not see to that itself."""
    database = sqlite_path(uri)
    if database is None:
        yield
        return
    import filelock

    lock = filelock.FileLock(database.with_name(f"{database.name}.lock"), timeout=120)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise TrackingError(
            f"{lock.lock_file} is held by another process for 2 minutes; remove it if none runs"
        ) from None
    except OSError as error:
        raise write_error(database, error) from None
    try:
        yield
    finally:
        lock.release()
