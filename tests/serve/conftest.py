"""One real service for the whole room, started the way a user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raylign.methods.crossscale import CrossScale, CrossScaleConfig
from tests.datasets import homography, texture

UPLOAD_MB = 2
QUEUE = 4


@dataclass(frozen=True)
class Service:
    """A running `raylign serve`."""

    url: str
    process: int
    """Its process id."""
    checkpoint: Path
    """The default model."""
    reference: Path
    source: Path


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`raylign serve --checkpoint` with a small network whose output layers were shaken, so that it bends pictures."""
    folder = tmp_path_factory.mktemp("serve")
    checkpoint = write_checkpoint(folder / "shaken")
    reference, source = write_pair(folder)
    environment = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")}
    command = [sys.executable, "-m", "raylign.platform.cli", "serve", "--checkpoint", str(checkpoint), "--port", "0"]
    command += ["--max-upload-mb", str(UPLOAD_MB), "--max-queue", str(QUEUE)]
    log = folder / "stderr.txt"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("raylign serves at http://127.0.0.1:"), line + log.read_text()
            yield Service(line.split()[3], process.pid, checkpoint, reference, source)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                rest = process.communicate(timeout=120)[0]
            finally:
                process.kill()
    assert process.returncode == 0, log.read_text()
    assert rest.splitlines()[-1] == "stopped"
    assert "Traceback" not in log.read_text()


def write_checkpoint(folder: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    config = CrossScaleConfig(
        backbone="resnet18",
        working_size=128,
        mesh=(5, 5),
        levels=1,
        branch=(16, 32, 32, 32),
        trunk=32,
        linear=(64, 32),
    )
    model = CrossScale(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder)
    return folder


def write_pair(folder: Path) -> tuple[Path, Path]:
    """A reference of 300 x 260 and a source of 320 x 260 under a small homography."""
    import cv2

    rng = np.random.default_rng(0)
    reference = texture(rng, 300)[:260]
    source = cv2.warpPerspective(reference, homography(rng, 300, 12.0), (320, 260), borderMode=cv2.BORDER_REFLECT)
    paths = folder / "reference.png", folder / "source.png"
    for path, picture in zip(paths, (reference, source), strict=True):
        Image.fromarray(picture).save(path)
    return paths
