"""The front door: speed of the help, exit status, one-line errors."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raylign.platform.cli import COMMANDS, main
from tests.datasets import write_sequences


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raylign.platform.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_help_is_fast_and_names_every_command() -> None:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        answer = run("--help")
        seconds.append(time.perf_counter() - began)
    assert answer.returncode == 0
    assert all(f"  {name} " in answer.stdout for name in COMMANDS)
    assert statistics.median(seconds) < 0.5


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from raylign.platform.cli import main; main(['--help']); print(sorted(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not any(f"'{name}'" in answer.stdout for name in ("torch", "ray", "numpy", "tyro", "mlflow"))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("data", "render", "train", "tune")])
def test_every_command_has_help(name: str) -> None:
    answer = run(name, "--help")
    assert answer.returncode == 0, answer.stderr
    assert f"raylign {name}" in answer.stdout


@pytest.mark.parametrize(
    "arguments",
    [("render", "sidar", "--help"), ("train", "crossscale", "--help"), ("tune", "crossscale", "--help")]
    + [("data", action, "--help") for action in ("info", "preview", "verify")]
    + [("render", "--help"), ("train", "--help"), ("tune", "--help"), ("data", "--help")],
    ids=" ".join,
)
def test_every_subcommand_has_help(arguments: tuple[str, ...]) -> None:
    answer = run(*arguments)
    assert answer.returncode == 0, answer.stderr
    assert "raylign" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["fly"], "fly"),
        (["train", "nonsense", "--data", "x"], "nonsense"),
        (["train", "sift", "--data", "x"], "sift"),
        (["train", "crossscale"], "--data"),
        (["train", "crossscale", "--data", "nowhere"], "nowhere"),
        (["train", "crossscale", "--data", "x", "--loop.lr", "fast"], "--loop.lr"),
        (["train", "crossscale", "--data", "x", "--wings", "2"], "--wings"),
        (["train", "crossscale", "--data", "x", "--loop.batch-size", "0"], "--loop.batch-size"),
        (["train", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["evaluate", "--data", "nowhere"], "nowhere"),
        (["evaluate", "--data", "gopher://x/y"], "gopher"),
        (["evaluate", "--data", "x", "--limit", "0"], "--limit"),
        (["evaluate", "--data", "x", "--json", "no/such/folder/t.json"], "no/such/folder"),
        (["data", "info", "nowhere"], "nowhere"),
        (["data", "paint"], "paint"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(
    arguments: list[str], names: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith(f"raylign {arguments[0]}: error: ")
    assert names in said[0]
    assert list(workdir.iterdir()) == []


def test_an_address_where_nobody_answers_is_told_at_once(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = write_sequences(workdir / "d", scenes=12, size=96)
    began = time.monotonic()
    assert main(["train", "crossscale", "--data", url, "--address", "127.0.0.1:9"]) == 2
    assert time.monotonic() - began < 30
    assert "--address 127.0.0.1:9" in capsys.readouterr().err.splitlines()[-1]
