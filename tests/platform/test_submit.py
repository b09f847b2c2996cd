"""`raylign submit`: against a real Ray with its dashboard, and by itself where Ray would only cost time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from raylign.platform import submit_command
from raylign.platform.cli import main
from raylign.platform.package import ROOMS, stage
from raylign.platform.submit_command import Job, LostJobError, dashboard_address, job_environment, local_paths

ROOT = Path(__file__).parents[2]

# A command for the copy of the package that is sent: it shows what arrives on the other side.
PROBE = """
import json, os, sys, time
from pathlib import Path
from .cluster import ray_session

def main(arguments):
    action, rest = arguments[0], arguments[1:]
    here = Path(__file__)
    if action == "show":
        from importlib.metadata import version
        mark = json.loads((here.parent / "mark.json").read_text())
        told = {"arguments": rest, "file": str(here), "mark": mark, "version": version("raylign")}
        told["cwd"] = sorted(os.listdir())
        told["environment"] = dict(os.environ)
        print("PROBE " + json.dumps(told))
    elif action == "cluster":
        import ray
        def where():
            from . import cluster
            return cluster.__file__
        with ray_session():
            told = {"address": ray.get_runtime_context().gcs_address, "worker": ray.get(ray.remote(where).remote())}
            print("PROBE " + json.dumps(told))
    elif action == "wait":
        print("waiting", flush=True)
        time.sleep(300)
    return int(rest[0]) if action == "exit" else 0
"""


@dataclass(frozen=True)
class Cluster:
    """A running Ray, and how to speak with it."""

    url: str
    gcs: str
    home: Path
    environment: dict[str, str]
    package: Path
    """Folder that holds a copy of the package, with the command `probe`."""

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """`raylign submit ARGUMENTS` by the copy of the package."""
        command = [sys.executable, "-m", "raylign.platform.cli", "submit", *arguments]
        variables = {**self.environment, "PYTHONPATH": str(self.package), "RAY_API_SERVER_ADDRESS": self.url}
        return subprocess.Popen(
            command,
            cwd=self.home,
            env={**variables, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environment)
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def job(self, job_id: str) -> dict[str, Any]:
        return httpx.get(f"{self.url}/api/jobs/{job_id}", trust_env=False).json()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Not pytest's folder: the sockets below it may have no longer paths than a hundred characters.
    home = Path(tempfile.mkdtemp(prefix="rl-", dir="/tmp"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "MLFLOW_"))}
    environment |= {"HOME": str(home), "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    gcs, dashboard = free_port(), free_port()
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={gcs}"]
    command += ["--node-ip-address=127.0.0.1", "--num-cpus=2", "--object-store-memory=100000000"]
    command += ["--include-dashboard=true", f"--dashboard-port={dashboard}", f"--temp-dir={home / 'ray'}"]
    command += [f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}"]
    command += ["--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats"]
    package = home / "package"
    package.mkdir()
    add_probe(stage(package)[0])
    log = home / "ray.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{dashboard}"
        give_up = time.monotonic() + 90
        while not answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.3)
        yield Cluster(url, f"127.0.0.1:{gcs}", home, environment, package)
    finally:
        stop(process, str(home))
        shutil.rmtree(home, ignore_errors=True)


def add_probe(package: Path) -> None:
    (package / "platform" / "probe.py").write_text(PROBE)
    (package / "platform" / "mark.json").write_text('"sent along"')
    with (package / "platform" / "cli.py").open("r+") as file:
        text = file.read()
        file.seek(0)
        file.write(text.replace("] = {\n", '] = {\n    "probe": ("..platform.probe:main", "show what arrives"),\n', 1))


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/api/version", trust_env=False, timeout=2).is_success
    return False


def stop(process: subprocess.Popen[Any], home: str) -> None:
    """End this Ray and none beside it."""

    def ours() -> list[psutil.Process]:
        found = []
        for each in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if each.pid != os.getpid() and (home in " ".join(each.cmdline()) or each.environ().get("HOME") == home):
                    found.append(each)
        return found

    everything = []
    with contextlib.suppress(psutil.Error):
        everything = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    process.kill()
    process.wait()
    for each in {*everything, *ours()}:
        with contextlib.suppress(psutil.Error):
            each.kill()
    psutil.wait_procs(everything, timeout=10)
    assert not ours()


def probed(answer: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    lines = [line for line in answer.stdout.splitlines() if line.startswith("PROBE ")]
    assert len(lines) == 1, answer.stdout + answer.stderr
    return json.loads(lines[0].removeprefix("PROBE "))


def test_arguments_code_and_environment_arrive(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "big.bin").write_bytes(bytes(1000))
    (tmp_path / ".rayignore").write_text("*.bin\n")
    given = ["a b", "it's", '"quoted"', "$HOME", "*", "", "--", "back\\slash", "--data", "über"]
    answer = cluster.run(
        *(
            "--address",
            cluster.url,
            "--working-dir",
            str(tmp_path),
            "--env",
            "COLOUR=dark red",
            "--env",
            "SIZE=3",
            "--",
        ),
        *("probe", "show", *given),
        RAY_ADDRESS="127.0.0.1:9",
        RAY_API_SERVER_ADDRESS="http://127.0.0.1:9",
        MLFLOW_TRACKING_URI="postgresql://me:hidden@db/runs",
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    told = probed(answer)
    assert told["arguments"] == given
    assert told["mark"] == "sent along"
    assert "/runtime_resources/py_modules_files/" in told["file"]
    assert not told["file"].startswith(str(cluster.package))
    assert told["version"] == "0.1.0"
    assert told["cwd"] == [".rayignore", "notes.txt"]
    assert told["environment"]["COLOUR"] == "dark red"
    assert told["environment"]["SIZE"] == "3"
    # The probe prints all of its environment; the password got there and is starred out on its way back.
    assert told["environment"]["MLFLOW_TRACKING_URI"] == "postgresql://me:***@db/runs"
    assert "hidden" not in answer.stdout + answer.stderr


@pytest.mark.slow
def test_the_job_and_its_workers_are_on_the_cluster_with_the_same_code(cluster: Cluster) -> None:
    answer = cluster.run("--cpus", "1", "--", "probe", "cluster")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    told = probed(answer)
    assert told["address"].rpartition(":")[2] == cluster.gcs.rpartition(":")[2]
    assert "/runtime_resources/py_modules_files/" in told["worker"]


def test_the_installed_package_is_sent_and_its_exit_status_comes_back(cluster: Cluster) -> None:
    answer = cluster.run("--", "data", "info", "/no where", PYTHONPATH="")
    assert answer.returncode == 2
    last = answer.stdout.splitlines()[-1]
    assert last.startswith("raylign data: error: ")
    assert "/no where" in last
    assert answer.stderr.splitlines()[-1].endswith("ended with exit status 2")


def test_no_wait_prints_the_id_alone_and_names_are_taken_once(cluster: Cluster) -> None:
    answer = cluster.run("--no-wait", "--name", "nightly", "--", "probe", "exit", "0")
    assert (answer.returncode, answer.stdout) == (0, "nightly\n")
    assert f"ray job logs --follow --address {cluster.url} nightly" in answer.stderr
    assert cluster.job("nightly")["status"] in ("PENDING", "RUNNING", "SUCCEEDED")
    again = cluster.run("--no-wait", "--name", "nightly", "--", "probe", "exit", "0")
    assert again.returncode == 2
    assert again.stderr.strip() == ("raylign submit: error: --name nightly: the cluster had such a job; choose another")


def test_ctrl_c_stops_the_job(cluster: Cluster) -> None:
    process = cluster.start("--name", "long", "--", "probe", "wait")
    try:
        assert process.stdout is not None
        seen = ""
        while "\nwaiting\n" not in seen:  # which also shows that output comes while the job runs
            line = process.stdout.readline()
            assert line, process.communicate()
            seen += line
        assert cluster.job("long")["status"] == "RUNNING"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert out.splitlines()[-1] == "raylign probe: error: interrupted"
    assert err.splitlines()[-1].startswith("raylign submit: job long stopped; look at it again: ray job logs")
    assert "Traceback" not in err
    assert cluster.job("long")["status"] == "STOPPED"


@pytest.mark.slow
def test_a_missing_interpreter_is_told(cluster: Cluster) -> None:
    answer = cluster.run("--python", "/no/python", "--", "--version")
    assert answer.returncode == 127
    assert "--python" in answer.stderr.splitlines()[-1]


def test_the_address_of_the_cluster_itself_is_no_dashboard(cluster: Cluster) -> None:
    for address, names in ((cluster.gcs, "http://127.0.0.1:8265"), (f"http://{cluster.gcs}", "no Ray dashboard")):
        answer = cluster.run("--address", address, "--", "--version")
        assert answer.returncode == 2
        assert len(answer.stderr.splitlines()) == 1, answer.stderr
        assert names in answer.stderr


def test_all_that_makes_the_package_is_staged(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {f"raylign.{room}" for room in ROOMS} == set(project["tool"]["setuptools"]["package-dir"])
    package, metadata = stage(tmp_path)
    staged = {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    there = {
        path.relative_to(ROOT)
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert staged == there | {Path("__init__.py")}
    assert Path("methods/py.typed") in staged
    assert metadata.name == f"raylign-{project['project']['version']}.dist-info"


def test_a_staged_package_goes_before_an_older_one(tmp_path: Path) -> None:
    old = tmp_path / "old" / "raylign" / "platform"
    old.mkdir(parents=True)
    (old / "forgotten.py").touch()
    (tmp_path / "new").mkdir()
    folders = [str(path.parent) for path in stage(tmp_path / "new")]
    code = (
        "from importlib.util import find_spec; from raylign.platform import cli; "
        "print(cli.__file__, find_spec('raylign.methods').origin, find_spec('raylign.platform.forgotten'))"
    )
    for order in ([str(tmp_path / "old"), *folders], [*folders, str(tmp_path / "old")]):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(order)}
        command = [sys.executable, "-c", code]
        answer = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=True)
        new = tmp_path / "new" / "raylign"
        assert answer.stdout.split() == [f"{new}/platform/cli.py", f"{new}/methods/__init__.py", "None"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], "no '--'"),
        (["train", "crossscale"], "no '--'"),
        (["--"], "no command"),
        (["--", "fly"], "'fly' cannot be submitted"),
        (["--", "submit", "--", "data"], "'submit' cannot be submitted"),
        (["--wings", "2", "--", "data"], "--wings"),
        (["--cpus", "-1", "--", "data"], "--cpus"),
        (["--cpus", "many", "--", "data"], "--cpus"),
        (["--name", "a/b", "--", "data"], "--name: 'a/b'"),
        (["--env", "secret", "--", "data"], "--env 'secret': write KEY=VALUE"),
        (["--env", "2=secret", "--", "data"], "--env '2': write KEY=VALUE"),
        (["--working-dir", "nowhere", "--", "data"], "--working-dir nowhere: there is no such folder"),
        (["--address", "head:6379", "--", "data"], "like http://head:8265"),
        (["--address", "ray://head:10001", "--", "data"], "like http://head:8265"),
        (["--address", "http://head:port", "--", "data"], "like http://head:8265"),
        (["--address", "", "--", "data"], "like http://HOST:8265"),
        (["--address", "http://127.0.0.1:9", "--", "data"], "http://127.0.0.1:9: no Ray dashboard answers"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(
    arguments: list[str], names: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    assert main(["submit", *arguments]) == 2
    assert time.monotonic() - began < 30
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("raylign submit: error: ")
    assert names in said[0]
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "names"),
    [
        (404, "no Ray dashboard answers"),
        (200, "no Ray dashboard answers"),
        (401, "RAY_AUTH_TOKEN"),
        (403, "RAY_AUTH_TOKEN"),
    ],
)
def test_what_answers_may_be_another_or_want_a_token(
    status: int, names: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert main(["submit", "--address", f"http://127.0.0.1:{server.server_port}", "--", "data"]) == 2
        server.shutdown()
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    assert names in said[0]


def test_ray_without_its_dashboard_is_told(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    assert main(["submit", "--", "data"]) == 2
    assert "pip install 'ray[default]'" in capsys.readouterr().err


def test_a_working_directory_that_is_too_large(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ray._private.runtime_env.packaging.GCS_STORAGE_MAX_SIZE", 2**21)
    folder = workdir / "work"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "shard.tar").write_bytes(bytes(3 * 2**20))
    assert main(["submit", "--working-dir", str(folder), "--", "data"]) == 2
    said = capsys.readouterr().err
    assert f"--working-dir {folder}: 3 MiB, and Ray takes less than 2" in said
    assert ".rayignore" in said
    (folder / ".rayignore").write_text("data/\n")
    submit_command.check_working_dir(folder)


@pytest.mark.parametrize(
    ("explicit", "server", "ray", "address"),
    [
        (None, None, None, "http://127.0.0.1:8265"),
        (None, None, "10.0.0.1:6379", "http://127.0.0.1:8265"),
        (None, None, "https://ray.example", "https://ray.example"),
        (None, "http://head:8265", "https://ray.example", "http://head:8265"),
        ("http://[::1]:8265/", "http://head:8265", None, "http://[::1]:8265"),
        ("https://gate.example/ray/", None, None, "https://gate.example/ray"),
    ],
)
def test_which_address_counts(
    explicit: str | None, server: str | None, ray: str | None, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RAY_API_SERVER_ADDRESS", server), ("RAY_ADDRESS", ray)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert dashboard_address(explicit) == address


def test_local_paths_are_named(workdir: Path) -> None:
    (workdir / "data").mkdir()
    command = ["train", "crossscale", "--data", "data", "--runs=out/runs", "--name", "data"]
    assert local_paths(command) == ["--data data", "--runs out/runs"]
    assert local_paths(command, workdir) == ["--runs out/runs"]
    assert local_paths(["evaluate", "--data", str(workdir), "--methods", "data"]) == [f"--data {workdir}"]
    assert local_paths(["evaluate", "--data", "s3://bucket/data", "/no/such/path", "--runs", "/mnt/runs"]) == []


@pytest.mark.parametrize(
    ("uri", "sent"),
    [
        ("http://mlflow:5000", True),
        ("postgresql+psycopg://me:hidden@db/x", True),
        ("sqlite:///x.db", False),
        ("x", False),
    ],
)
def test_only_the_address_of_a_tracking_server_is_sent(
    uri: str, sent: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert job_environment().get("MLFLOW_TRACKING_URI") == (uri if sent else None)
    assert ("stays here" in capsys.readouterr().err) != sent
    assert job_environment([["MLFLOW_TRACKING_URI=http://other"]])["MLFLOW_TRACKING_URI"] == "http://other"
    said = capsys.readouterr().err
    assert said == ""


class Flaky:
    """A dashboard whose connections break: each item of `tails` says how much one brings before; negative, how much
    before it falls silent."""

    def __init__(self, text: str, tails: list[int | None], status: str = "SUCCEEDED") -> None:
        self.text, self.tails, self.last = text, tails, status

    async def tail_job_logs(self, _: str) -> AsyncIterator[str]:
        end = self.tails.pop(0)
        shown = self.text[: None if end is None else abs(end)]
        for start in range(0, len(shown), 7):
            yield shown[start : start + 7]
        if end is not None and end < 0:
            await asyncio.sleep(60)
        if end is not None:
            raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")

    def get_job_info(self, _: str) -> Any:
        from ray.job_submission import JobDetails, JobStatus

        status = JobStatus.RUNNING if self.tails and self.last != "PENDING" else JobStatus(self.last)
        return JobDetails(type="SUBMISSION", status=status, entrypoint="x")

    def get_job_logs(self, _: str) -> str:
        return self.text

    def stop_job(self, _: str) -> bool:
        if not self.tails:
            raise ConnectionError("[Errno 111] Connection refused")
        return True


TEXT = "".join(f"line {number}\n" for number in range(40))


@pytest.mark.parametrize(
    ("tails", "told"),
    [([None], 0), ([30, None], 1), ([30, 30, 100, 10, None], 4), ([50], 0), ([-30, -30, 60, -90, None], 1), ([-50], 0)],
    ids=["whole", "once", "often", "at the end", "silent", "silent at the end"],
)
def test_a_connection_that_breaks_is_made_again(
    tails: list[int | None], told: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(submit_command, "_PAUSES", (0.01,) * 3)
    monkeypatch.setattr(submit_command, "_QUIET_SECONDS", 0.05)
    job = Job(Flaky(TEXT, tails), "http://head:8265", "one")  # type: ignore[arg-type]
    assert job.outcome(job.follow()) == 0
    said = capsys.readouterr()
    assert said.out == TEXT
    assert said.err.count("lost the connection (WebSocket connection closed") == told


def test_a_connection_that_is_lost_for_good(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(submit_command, "_PAUSES", (0.01,) * 3)
    job = Job(Flaky(TEXT, [20] * 9), "http://head:8265", "one")  # type: ignore[arg-type]
    with pytest.raises(LostJobError, match="goes on: ray job logs --follow --address http://head:8265 one"):
        job.follow()
    said = capsys.readouterr()
    assert said.out == TEXT[:20]
    assert said.err.count("trying again") == 3


def test_stopping_a_job_that_does_not_start_or_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(submit_command, "_QUIET_SECONDS", 0.05)
    monkeypatch.setattr(submit_command, "_STOP_WAIT", -9.7)
    Job(Flaky("", [-1] * 9, "PENDING"), "http://head:8265", "one").stop()  # type: ignore[arg-type]
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith(
        "raylign submit: job one was asked to stop and has not ended yet; look at it again: ray job"
    )
    assert sum("job one waits" in line for line in said) == 1
    with pytest.raises(LostJobError, match=r"job one could not be stopped \(Connection refused\): ray job logs"):
        Job(Flaky("", []), "http://head:8265", "one").stop()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "code", "exit_status", "names"),
    [
        ("SUCCEEDED", 0, 0, ""),
        ("FAILED", 2, 2, "exit status 2"),
        ("FAILED", -9, 137, "exit status 137"),
        ("FAILED", None, 1, "did not run: disk full"),
        ("STOPPED", None, 1, "was stopped"),
    ],
)
def test_how_a_job_ended(
    status: str, code: int | None, exit_status: int, names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from ray.job_submission import JobDetails

    job = Job(Flaky("", []), "http://head:8265", "one")  # type: ignore[arg-type]
    message = "Traceback\n  somewhere\nRuntimeEnvSetupError: disk full\n"
    info = JobDetails(type="SUBMISSION", status=status, entrypoint="x", driver_exit_code=code, message=message)
    assert job.outcome(info) == exit_status
    assert names.rpartition(": ")[2] in capsys.readouterr().err
