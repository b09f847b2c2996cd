"""What surrounds a render: temporary files that outlive nobody, and what the user is told meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from raylign.rendering import watch as module
from raylign.rendering.temporary import PREFIX
from raylign.rendering.watch import Watch

START = """
import os, signal, sys, tempfile
from raylign.rendering.temporary import own_temporary_folder
folder = own_temporary_folder()
open(os.path.join(tempfile.mkdtemp(), "large"), "w").close()
print(folder.name, flush=True)
sys.stdin.read()
"""


def start(root: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(root)}
    return subprocess.Popen(
        [sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def folder_of(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def test_a_killed_process_leaves_its_files_to_the_next(tmp_path: Path) -> None:
    alive, killed = start(tmp_path), start(tmp_path)
    kept, left = folder_of(alive), folder_of(killed)
    assert kept.parent == left.parent == tmp_path
    assert len(list(left.iterdir())) == 1
    killed.kill()
    killed.wait()
    stranger = tmp_path / f"{PREFIX}-another-machine-1-x"
    stranger.mkdir()
    following = start(tmp_path)
    folder_of(following)
    assert not left.exists()
    assert kept.exists()
    assert stranger.exists()
    for process in (alive, following):
        process.communicate("")
    assert list(tmp_path.iterdir()) == [stranger]


def test_this_process_keeps_its_temporary_folder() -> None:
    assert PREFIX not in tempfile.gettempdir()


def test_speed_is_told_by_node(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    with Watch(100, pictures=5) as watch:
        for second in range(1, 11):
            clock[0] = 100.0 + second
            watch.scene(1, "a/1234" if second % 5 else "b/5678")
        assert watch.note(110.0) == "(1.00 scenes/s; 5.0 frames/s; a/1234 0.80/s, b/5678 0.20/s)"
        watch.failure()
        assert "1 failed attempts" in watch.note(110.0)
        # After a quiet minute nothing of it is left.
        clock[0] = 300.0
        watch.scene(-2, "a/1234")
        assert watch.note(300.0).startswith("(0.00 scenes/s; 0.0 frames/s;")
