"""Scenes per core-hour of every kind at 256 px, rendered as users do. `make bench` prints the table."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from pathlib import Path

import pytest

from raylign.platform import cli

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="Blender is raylign[render]"),
]

FEW, MANY = 4, {"sidar": 16, "parallax": 24, "dsia": 24, "fundus": 52, "collage": 404}
"""Scenes of the two jobs of each kind: their difference is free of what it takes to start and to end."""

MORE = {"dsia": ["--scene.aspect", "1"]}
"""Square pictures, like those of the other kinds."""


def seconds(kind: str, scenes: int, out: Path) -> float:
    """How long a job takes on all cores of this machine."""
    start = time.monotonic()
    options = ["--scenes", str(scenes), "--size", "256", "--shard-size", "2", "--out", str(out), *MORE.get(kind, [])]
    assert cli.main(["render", kind, *options]) == 0
    info = json.loads((out / "dataset.json").read_text())
    assert info["complete"]
    assert not info.get("failed")
    return time.monotonic() - start


def test_scenes_per_core_hour(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    rates = {}
    for kind, many in MANY.items():
        spent = seconds(kind, many, tmp_path / f"{kind}-many") - seconds(kind, FEW, tmp_path / f"{kind}-few")
        rates[kind] = (many - FEW) * 3600 / spent / cores
        print(f"\n{kind:9} {rates[kind]:7.0f} scenes per core-hour at 256 px")
    assert all(rate > 0 for rate in rates.values())
