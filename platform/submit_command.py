"""`raylign submit -- COMMAND`: runs a command as a Ray job on a cluster, with the code of this installation.

The cluster's machines need Python, Ray and the libraries that raylign stands on, but no raylign: it travels with the
job and goes before any that is installed there. The job's output comes here as it is written, and its exit status
becomes ours.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import tyro

from ..methods.errors import InputError, RaylignError
from .arguments import parse
from .package import stage
from .tracking import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ray.job_submission import JobDetails, JobSubmissionClient

_DEFAULT_ADDRESS = "http://127.0.0.1:8265"
_PATH_OPTIONS = ("--data", "--out", "-o", "--runs")
_STOPPED_BY_USER = 130
_NOT_FOUND = 127  # what a shell answers where there is no such program
_TIMEOUTS = (10.0, 120.0)  # seconds to connect, and until the cluster answers; it stores a working directory meanwhile
_QUIET_SECONDS = 60.0
_STOP_WAIT = 30  # seconds that the cluster gives a command to end by itself
_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0)  # seconds before each new try, after the connection was lost


class ClusterError(InputError):
    """The cluster's dashboard cannot be reached, or does not let us in."""


class LostJobError(RaylignError):
    """The connection to a running job is lost, and did not come back."""


@dataclass(frozen=True)
class SubmitOptions:
    """Run a command as a Ray job on a cluster: raylign submit [OPTIONS] -- COMMAND [ARGUMENTS].

    The code of this installation goes with it. Ctrl-C stops the job.
    """

    address: str | None = None
    """Address of the cluster's dashboard, http://HOST:8265; by default RAY_API_SERVER_ADDRESS, else RAY_ADDRESS if it
    is such an address, else http://127.0.0.1:8265."""
    name: str | None = None
    """The job's name on the cluster, which no other job may have had; empty means one that Ray makes up."""
    working_dir: Path | None = None
    """Folder to send along and to start the command in; what its .gitignore and .rayignore name stays here."""
    env: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="KEY=VALUE ...")] = ()
    """Variables of the job's environment, on all machines."""
    wait: bool = True
    """Show the job's output and wait for its end; '--no-wait' prints the job's id and leaves."""
    cpus: float = 0.0
    """CPUs to reserve for the command itself, on any machine; 0 runs it on the head beside Ray."""
    python: str = "python"
    """Interpreter on the cluster's machines: the one that has Ray."""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        The exit status of the job's command; 1 where it has none; 130 after Ctrl-C.

    Raises:
        InputError: an argument is wrong, or no cluster answers at the address.
        LostJobError: the connection is lost for good, and the job goes on.
    """
    options, command = read_arguments(arguments)
    address = dashboard_address(options.address)
    if options.working_dir is not None:
        check_working_dir(options.working_dir)
    environment = job_environment(options.env)
    paths = local_paths(command, options.working_dir)
    if paths:
        _tell(f"warning: {', '.join(paths)}: taken on the cluster's machines, not on this one; use storage both reach")
    job = Job(connect(address), address)
    job.submit(options, command, environment)
    if not options.wait:
        print(job.id)
        _tell(f"look at it: {job.look}")
        return 0
    _tell(f"job {job.id} at {redact(address)}")
    try:
        return job.outcome(job.follow())
    except KeyboardInterrupt:
        job.stop()
        return _STOPPED_BY_USER


def read_arguments(arguments: Sequence[str]) -> tuple[SubmitOptions, list[str]]:
    """The options before `--`, and the command after it.

    Raises:
        InputError: one of them is missing or wrong.
        SystemExit: with status 0, after `--help`.
    """
    from .cli import COMMANDS

    arguments = list(arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    help_wanted = {"-h", "--help"} & set(arguments[:end])
    if end == len(arguments) and not help_wanted:
        raise InputError("no '--' before the command; write: raylign submit [OPTIONS] -- COMMAND [ARGUMENTS]")
    options = parse(SubmitOptions, arguments[:end], "submit")
    command = arguments[end + 1 :]
    if not command:
        raise InputError("no command after '--'; write: raylign submit [OPTIONS] -- COMMAND [ARGUMENTS]")
    known = [name for name in COMMANDS if name != "submit"]
    if command[0] not in (*known, "--version", "--help"):
        raise InputError(f"'{command[0]}' cannot be submitted; choose one of {', '.join(known)}")
    if options.name is not None and not re.fullmatch(r"\w[\w.-]*", options.name, re.ASCII):
        raise InputError(f"--name: '{options.name}' cannot name a job; use letters, digits, '.', '_' and '-'")
    if options.cpus < 0:
        raise InputError("--cpus must be at least 0")
    return options, command


def dashboard_address(explicit: str | None = None) -> str:
    """The address of the dashboard that takes jobs, without a slash at its end.

    Args:
        explicit: what the user gave; else RAY_API_SERVER_ADDRESS counts, else RAY_ADDRESS if it starts with http.

    Raises:
        InputError: it is not the address of a web server.
    """
    named = os.environ.get("RAY_API_SERVER_ADDRESS", "")
    shared = os.environ.get("RAY_ADDRESS", "")
    if explicit is not None:
        source, address = "--address", explicit.strip()
    elif named:
        source, address = "RAY_API_SERVER_ADDRESS", named
    elif re.match("https?://", shared):
        source, address = "RAY_ADDRESS", shared
    else:
        return _DEFAULT_ADDRESS
    try:
        parts = urlsplit(address)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number
        right = False
    if not right:
        host = re.sub(r"^\w+://|[:/][^]]*$", "", address) or "HOST"
        raise InputError(
            f"{source} '{redact(address)}': jobs go to the cluster's dashboard; give its address, like http://{host}:8265"
        )
    return address.rstrip("/")


def check_working_dir(folder: Path) -> None:
    """Make sure that Ray can send a folder.

    Raises:
        InputError: it is no readable folder, or larger than Ray takes.
    """
    if not folder.is_dir():
        raise InputError(f"--working-dir {folder}: there is no such folder")
    from ray._private import ray_constants
    from ray._private.runtime_env import packaging

    size = 0

    def add(path: Path) -> None:
        nonlocal size
        size += path.stat().st_size if path.is_file() else 0

    # Ray's own walk, so that what it leaves out does not count here either. It packs without compressing.
    excludes = [packaging._get_excludes(folder, ray_constants.get_runtime_env_default_excludes())]
    ignore = os.environ.get(ray_constants.RAY_RUNTIME_ENV_IGNORE_GITIGNORE, "0") != "1"
    silent = logging.Logger("raylign.submit", logging.CRITICAL)
    try:
        packaging._dir_travel(folder.absolute(), excludes, add, include_gitignore=ignore, logger=silent)
    except OSError as error:
        raise InputError(f"--working-dir: cannot read {error.filename}: {error.strerror}") from None
    if size >= packaging.GCS_STORAGE_MAX_SIZE:
        raise InputError(
            f"--working-dir {folder}: {size / 2**20:.0f} MiB, and Ray takes less than "
            f"{packaging.GCS_STORAGE_MAX_SIZE / 2**20:.0f}; name what the job does not need in a .rayignore there, and "
            "keep data on storage that the cluster reaches"
        )


def job_environment(given: Sequence[Sequence[str]] = ()) -> dict[str, str]:
    """The job's environment variables: those given, and MLFLOW_TRACKING_URI if it is the address of a server.

    Args:
        given: groups of `KEY=VALUE`; the last of a key counts.

    Raises:
        InputError: one is not `KEY=VALUE`.
    """
    # A command that is interrupted tidies up (it closes its MLflow run); one that gets SIGTERM dies on the spot.
    environment = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_WAIT)}
    for text in (text for group in given for text in group):
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII):
            raise InputError(f"--env '{key}': write KEY=VALUE")
        environment[key] = value
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if uri and "MLFLOW_TRACKING_URI" not in environment:
        if "://" in uri and not re.match("sqlite|file", uri):
            environment["MLFLOW_TRACKING_URI"] = uri
            _tell(f"the job tracks its runs at {redact(uri)}")
        else:
            _tell("MLFLOW_TRACKING_URI names files of this machine and stays here")
    return environment


def local_paths(command: Sequence[str], working_dir: Path | None = None) -> list[str]:
    """Paths among the arguments that seem to mean this machine, each with its option.

    Args:
        command: the command and its arguments.
        working_dir: a folder that is sent along; what a relative path names in it is no mistake.
    """
    found = []
    option = ""
    for argument in command:
        value = argument
        if argument.startswith("-"):
            option, _, value = argument.partition("=")
        if option not in _PATH_OPTIONS or not value or "://" in value:
            continue
        path = Path(value)
        sent = working_dir is not None and not path.is_absolute() and (working_dir / path).exists()
        if not sent and (not path.is_absolute() or path.exists()):
            found.append(f"{option} {value}")
    return found


def connect(address: str) -> JobSubmissionClient:
    """A client of the cluster's dashboard; it sends the token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH along.

    Args:
        address: as `dashboard_address` gives it.

    Raises:
        ClusterError: no dashboard answers, or it does not let us in.
        InputError: Ray is not installed here, or not as a whole.
    """
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # without it Ray leaves the token where it is
    try:
        import aiohttp  # noqa: F401  (Ray itself goes on without them and fails later)
        import requests  # noqa: F401
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient
    except ImportError as error:
        raise InputError(f"jobs need all of Ray ({error.name} is missing); run: pip install 'ray[default]'") from None

    for name in ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they tell of each package and each connection

    class Client(JobSubmissionClient):
        """Ray's client waits for ever for a cluster that does not answer."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            return super()._do_request(method, endpoint, **{"timeout": _TIMEOUTS, **options})

    # Ray takes this variable, and RAY_ADDRESS too, before the argument.
    before = os.environ.get("RAY_API_SERVER_ADDRESS")
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    try:
        return Client(address)
    except AuthenticationError as error:
        asks = "does not know this token" if "invalid" in str(error).lower() else "asks for a token"
        raise ClusterError(
            f"--address {redact(address)}: the cluster {asks}; set RAY_AUTH_MODE=token and its RAY_AUTH_TOKEN here"
        ) from None
    except (OSError, RuntimeError, ValueError, LookupError) as error:
        raise ClusterError(
            f"--address {redact(address)}: no Ray dashboard answers there ({_reason(error.__context__ or error)}); "
            "start the cluster, or give the address of its dashboard, usually port 8265"
        ) from None
    finally:
        if before is None:
            del os.environ["RAY_API_SERVER_ADDRESS"]
        else:
            os.environ["RAY_API_SERVER_ADDRESS"] = before


class Job:
    """A job on a cluster, seen from here; `id` is empty until it is submitted."""

    def __init__(self, client: JobSubmissionClient, address: str, job_id: str = "") -> None:
        import aiohttp
        from ray.exceptions import AuthenticationError

        self.id = job_id
        self._client = client
        self._address = address
        self._shown = 0  # characters of its output
        self._waits = False
        self._failures = (OSError, RuntimeError, aiohttp.ClientError, AuthenticationError)

    @property
    def look(self) -> str:
        """The command that shows the job's output."""
        return f"ray job logs --follow --address {redact(self._address)} {self.id}"

    def submit(self, options: SubmitOptions, command: Sequence[str], environment: dict[str, str]) -> None:
        """Send the package and start the command.

        Raises:
            InputError: the name is taken.
            RaylignError: the cluster refused.
        """
        # -P: not even a raylign in the working directory goes before the one that was sent.
        entrypoint = shlex.join([options.python, "-P", "-m", "raylign.platform.cli", *command])
        with tempfile.TemporaryDirectory(prefix="raylign-submit-") as folder:
            runtime_env: dict[str, Any] = {
                "py_modules": [str(path) for path in stage(Path(folder))],
                "env_vars": environment,
            }
            if options.working_dir is not None:
                runtime_env["working_dir"] = str(options.working_dir)
            try:
                self.id = self._client.submit_job(
                    entrypoint=entrypoint,
                    runtime_env=runtime_env,
                    submission_id=options.name,
                    entrypoint_num_cpus=options.cpus or None,
                )
            except self._failures as error:
                if options.name is not None and "already exists" in str(error):
                    raise InputError(f"--name {options.name}: the cluster had such a job; choose another") from None
                raise RaylignError(f"{redact(self._address)} did not take the job: {_last_line(error)}") from None

    def follow(self, seconds: float | None = None) -> JobDetails:
        """Print the job's output as it comes, from where it was left, until the job has ended.

        Args:
            seconds: wait no longer.

        Returns:
            How it ended.

        Raises:
            LostJobError: the cluster cannot be reached any more.
            TimeoutError: the job has not ended.
        """

        async def limited() -> JobDetails:
            return await asyncio.wait_for(self._follow(), seconds)

        return asyncio.run(limited())

    def stop(self) -> None:
        """Ask the job to stop, and show its last words.

        Raises:
            LostJobError: the cluster cannot be reached.
        """
        _tell(f"stopping job {self.id}")
        try:
            self._client.stop_job(self.id)
        except self._failures as error:
            raise LostJobError(f"job {self.id} could not be stopped ({_reason(error)}): {self.look}") from None
        try:
            state = self.follow(_STOP_WAIT + 10.0).status.value.lower()
        except TimeoutError:  # one that never started takes no notice
            state = "was asked to stop and has not ended yet"
        _tell(f"job {self.id} {state}; look at it again: {self.look}")

    def outcome(self, info: JobDetails) -> int:
        """The exit status for a job that has ended; tells why it is not 0."""
        code = info.driver_exit_code
        if info.status.value == "SUCCEEDED":
            return 0
        if info.status.value == "STOPPED":
            _tell(f"job {self.id} was stopped")
        elif code is None:
            _tell(f"error: job {self.id} did not run: {_last_line(info.message or 'the cluster gives no reason')}")
        else:
            cure = "; name the cluster's interpreter with --python" if code == _NOT_FOUND else ""
            _tell(f"job {self.id} ended with exit status {_shell_status(code)}{cure}")
        return _shell_status(code or 1)

    async def _follow(self) -> JobDetails:
        losses = 0
        while True:
            before = self._shown
            cut = await self._print_tail()
            losses = 0 if self._shown > before else losses
            try:
                info = self._client.get_job_info(self.id)
                if info.status.is_terminal():
                    if cut is not None:
                        self._print(self._client.get_job_logs(self.id), 0)
                    return info
                if info.status.value == "PENDING" and not self._waits:
                    _tell(f"job {self.id} waits: {_lines(info.message or 'the cluster gives no reason')[0]}")
                    self._waits = True
            except self._failures as error:
                cut = _reason(error)
            if not cut:
                await asyncio.sleep(_PAUSES[0])
                continue
            if losses == len(_PAUSES):
                raise LostJobError(f"lost the connection ({cut}); the job goes on: {self.look}")
            _tell(f"lost the connection ({cut}); trying again in {_PAUSES[losses]:g} s")
            await asyncio.sleep(_PAUSES[losses])
            losses += 1

    async def _print_tail(self) -> str | None:
        """Print what comes; None at the output's end, else why the connection broke, empty where it is just quiet."""
        read = 0
        tail = self._client.tail_job_logs(self.id)
        while True:
            try:
                # A connection may die without a word (a laptop that slept), so a quiet one is made anew.
                text = await asyncio.wait_for(anext(tail, None), _QUIET_SECONDS)
            except TimeoutError:
                return ""
            except self._failures as error:
                return _reason(error)
            if text is None:
                return None
            self._print(text, read)
            read += len(text)

    def _print(self, text: str, start: int) -> None:
        """Print of a piece that starts at this character of the output what was not printed yet."""
        new = text[max(0, self._shown - start) :]
        if new:
            # The first line is Ray's: it tells the whole command.
            print(redact(new), end="", flush=True)
            self._shown += len(new)


def _shell_status(code: int) -> int:
    """A process's exit code as a shell tells it: 128 and the signal for one that was killed."""
    return code if code >= 0 else 128 - code


def _reason(error: BaseException) -> str:
    """What an error of the connection comes down to; those of requests hold a whole chain of causes."""
    system = re.search(r"\[Errno -?\d+\] ([\w ]+)", str(error))
    return system[1] if system else _lines(error)[0]


def _last_line(reason: object) -> str:
    """Where a traceback tells its error."""
    return _lines(reason)[-1]


def _lines(reason: object) -> list[str]:
    lines = [" ".join(line.split())[:300] for line in redact(str(reason)).splitlines()]
    return [line for line in lines if line] or [type(reason).__name__]


def _tell(message: str) -> None:
    print(f"raylign submit: {message}", file=sys.stderr, flush=True)
