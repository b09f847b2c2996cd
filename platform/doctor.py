"""`raylign doctor`: what this machine has, what is wrong, and the cure."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import tyro

from ..methods.errors import InputError
from .alignment import usable_cpus
from .arguments import parse
from .runs import RUNS

State = Literal["ok", "note", "wrong"]

_PORT = 8000
_LEAST_DISK = 1e9
_ENOUGH_DISK = 10e9
_BLENDER_SECONDS = 30
_PYTHONS = ((3, 11), (3, 14))


@dataclass(frozen=True)
class DoctorOptions:
    """Say what this machine has, and what is wrong; status 1 if something keeps raylign from working."""

    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print one JSON list instead of a table."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    value: str
    state: State = "ok"
    """`note` costs a feature or speed, `wrong` keeps raylign from working."""
    cure: str = ""


def main(arguments: Sequence[str]) -> int:
    """`raylign doctor`; returns the exit status."""
    options = parse(DoctorOptions, arguments, "doctor")
    # Blender is tried in a process of its own: a missing system library can end the process that imports it.
    blender = subprocess.Popen(
        [sys.executable, "-c", "import bpy; print('found', bpy.app.version_string)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    checks: tuple[Callable[[], Finding], ...] = (
        check_python,
        check_cpus,
        check_memory,
        check_disk,
        check_torch,
        check_bf16,
        check_gpu,
        check_ray,
        lambda: check_blender(blender),
        check_port,
        check_tracking,
    )
    findings = [check() for check in checks]
    if options.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1))
    else:
        _show(findings)
    return 1 if any(finding.state == "wrong" for finding in findings) else 0


def check_python() -> Finding:
    """The interpreter."""
    value = f"{sys.version.split()[0]} ({sys.executable})"
    if not _PYTHONS[0] <= sys.version_info[:2] < _PYTHONS[1]:
        return Finding("Python", value, "wrong", "use Python 3.11 to 3.13")
    return Finding("Python", value)


def check_cpus() -> Finding:
    """CPUs that this process may use."""
    usable, there = usable_cpus(), os.cpu_count() or 1
    return Finding("CPUs", f"{usable}" if usable == there else f"{usable} of {there}")


def check_memory() -> Finding:
    """Free memory."""
    import psutil

    memory = psutil.virtual_memory()
    value = f"{memory.available / 1e9:.1f} GB free of {memory.total / 1e9:.1f} GB"
    if memory.available < 2e9:
        return Finding("memory", value, "note", "end other programs; training and Ray want 2 GB and more")
    return Finding("memory", value)


def check_disk() -> Finding:
    """Free disk space where the runs go."""
    folder = RUNS.absolute() if RUNS.is_dir() else Path.cwd()
    free = shutil.disk_usage(folder).free
    value = f"{free / 1e9:.1f} GB free for {folder}"
    if free < _LEAST_DISK:
        return Finding("disk", value, "wrong", "free some space, or work in a folder on another disk")
    if not os.access(folder, os.W_OK):
        return Finding("disk", f"{folder} is not writable", "wrong", "work in a folder of your own")
    if free < _ENOUGH_DISK:
        return Finding("disk", value, "note", "rendered datasets take some GB")
    return Finding("disk", value)


def check_torch() -> Finding:
    """PyTorch and torchvision; they must fit each other."""
    try:
        import torch
        import torchvision
    except Exception as error:  # a build that does not fit raises RuntimeError or OSError
        return Finding(
            "PyTorch", _one_line(error), "wrong", "install it again: pip install --force-reinstall torch torchvision"
        )
    return Finding("PyTorch", f"{torch.__version__}, torchvision {torchvision.__version__}")


def check_bf16() -> Finding:
    """Whether the CPU multiplies bfloat16 matrices in hardware."""
    try:
        import torch

        supported = {"AMX": torch.cpu._is_amx_tile_supported(), "AVX512-BF16": torch.cpu._is_avx512_bf16_supported()}
    except Exception:
        supported = {}
    for name, fast in supported.items():
        if fast:
            return Finding("bf16 on CPU", name)
    return Finding("bf16 on CPU", "neither AMX nor AVX512-BF16; training and inference run in float32")


def check_gpu() -> Finding:
    """CUDA devices."""
    try:
        import torch

        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    except Exception as error:
        return Finding("GPU", _one_line(error), "note", "check the driver with nvidia-smi")
    return Finding("GPU", ", ".join(names) or "none; everything runs on the CPU, training takes longer")


def check_ray() -> Finding:
    """Ray."""
    try:
        import ray
    except Exception as error:
        return Finding("Ray", _one_line(error), "wrong", "install raylign again: pip install raylign")
    address = os.environ.get("RAY_ADDRESS")
    return Finding("Ray", f"{ray.__version__}, cluster {address}" if address else f"{ray.__version__}, local cluster")


def check_blender(process: subprocess.Popen[str]) -> Finding:
    """Blender as a module.

    Args:
        process: prints `found` and the version.
    """
    try:
        output, errors = process.communicate(timeout=_BLENDER_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Finding("Blender", f"no answer in {_BLENDER_SECONDS} s", "note", "'raylign render' may not work")
    found = [line for line in output.splitlines() if line.startswith("found")]
    if process.returncode == 0 and found:
        return Finding("Blender", found[0].removeprefix("found "))
    try:
        installed = f"bpy {version('bpy')} does not start: {(errors.strip().splitlines() or ['?'])[-1]}"
        cure = "install the system library it names; 'raylign render' needs it"
    except PackageNotFoundError:
        installed = "not installed"
        cure = "for 'raylign render': pip install 'raylign[render]' with Python 3.11"
    return Finding("Blender", installed, "note", cure)


def check_port() -> Finding:
    """The service's port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _PORT))
        except OSError:
            return Finding(f"port {_PORT}", "taken", "note", "give 'raylign serve' another --port")
    return Finding(f"port {_PORT}", "free")


def check_tracking() -> Finding:
    """Where MLflow keeps the runs; nothing is made or opened."""
    from .tracking import redact, sqlite_path, tracking_uri

    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not uri:
        return Finding("MLflow", f"sqlite:///{(RUNS / 'mlflow.db').absolute()}")
    database = sqlite_path(uri)
    if database is not None and database.expanduser().parent.is_dir():
        return Finding("MLflow", uri)
    if database is not None:
        return Finding("MLflow", f"{uri}: no such folder", "note", "it will be made by the first training")
    try:
        return Finding("MLflow", redact(tracking_uri()))
    except InputError as error:
        return Finding("MLflow", redact(uri), "wrong", str(error))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _show(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles: dict[State, str] = {"ok": "green", "note": "yellow", "wrong": "bold red"}
    table = Table("", "what", "found", "cure", box=None, padding=(0, 2, 0, 0))
    for finding in findings:
        state = Text(finding.state, style=styles[finding.state])
        table.add_row(state, finding.name, Text(finding.value), Text(finding.cure))
    console = Console()
    console.print(table)
    wrong = sum(finding.state == "wrong" for finding in findings)
    console.print(f"{wrong} problem{'s' if wrong > 1 else ''} to solve" if wrong else "ready")
