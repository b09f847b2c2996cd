"""`raylign doctor`: what it tells, and when its status is 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from raylign.platform import doctor
from raylign.platform.cli import main


def test_it_tells_what_is_there(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    findings = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert set(findings) == {
        *("Python", "CPUs", "memory", "disk", "PyTorch", "bf16 on CPU", "GPU", "Ray", "Blender", "port 8000", "MLflow"),
    }
    assert findings["Python"]["value"].startswith(sys.version.split()[0])
    assert findings["MLflow"]["value"] == f"sqlite:///{workdir / 'runs' / 'mlflow.db'}"
    assert all(finding["cure"] for finding in findings.values() if finding["state"] != "ok")
    assert list(workdir.iterdir()) == []


def test_what_is_wrong_gets_status_1_and_a_cure(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10, 10, 5e8))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    assert main(["doctor"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "0.5 GB free" in shown
    assert "free some space" in shown
    assert "2 problems to solve" in shown


def test_a_password_is_not_shown(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:hidden@db/runs")
    assert doctor.check_tracking().value == "postgresql://me:***@db/runs"


def test_blender_that_is_missing_or_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def finding(code: str) -> doctor.Finding:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return doctor.check_blender(process)

    assert finding("print('found', '5.0.1')") == doctor.Finding("Blender", "5.0.1")
    monkeypatch.setattr(doctor, "version", lambda _: "5.0.1")
    broken = finding("raise ImportError('libXi.so.6: cannot open shared object file')")
    assert broken.state == "note"
    assert "bpy 5.0.1 does not start: ImportError: libXi.so.6" in broken.value
    monkeypatch.setattr(doctor, "_BLENDER_SECONDS", 0.2)
    assert "no answer" in finding("import time; time.sleep(60)").value


def test_a_taken_port_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setattr(doctor, "_PORT", listener.getsockname()[1])
        assert doctor.check_port().state == "note"
    assert doctor.check_port().state == "ok"


def test_a_folder_that_is_not_writable(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert doctor.check_disk().state == "wrong"
