"""What an evaluation costs beside a bare OpenCV loop, and how it scales. The machine should be idle."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets import homography, texture, write_samples

PAIRS = 500
SIZE = 512
BARE = Path(__file__).parent / "bare_opencv.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 pairs with known homographies, as shards and as files."""
    import cv2

    from tests.datasets import png

    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "files").mkdir()
    samples = []
    for index in range(PAIRS):
        rng = np.random.default_rng(index)
        base = texture(rng, SIZE)
        # Fine structure, so that there are as many keypoints as in photographs.
        base = np.clip(base.astype(np.float32) + cv2.GaussianBlur(rng.normal(0, 60, base.shape), (0, 0), 2), 0, 255)
        matrix = homography(rng, SIZE, 40)
        source = cv2.warpPerspective(base, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
        pictures = {"ref.png": base.astype(np.uint8), "src.png": source.astype(np.uint8)}
        for name, picture in pictures.items():
            Image.fromarray(picture).save(folder / "files" / f"{index:04d}_{name}")
        np.savetxt(folder / "files" / f"{index:04d}_H.txt", matrix)
        meta = json.dumps({"homography": matrix.tolist(), "size": [SIZE, SIZE]}).encode()
        samples.append({**{name: png(picture) for name, picture in pictures.items()}, "meta.json": meta})
    info = {"kind": "pair", "generator": "test", "splits": {"test": [0, PAIRS]}, "fields": list(samples[0])}
    write_samples(folder / "shards", samples, info, shard_size=32)
    return folder


def seconds(arguments: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(arguments, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


EVALUATE = [
    sys.executable,
    "-m",
    "raylign.platform.cli",
    "evaluate",
    "--data",
    "shards",
    "--methods",
    "sift",
    "--fresh",
]
ONE_CORE = ["taskset", "-c", "0"]


@pytest.mark.bench
@pytest.mark.timeout(3600)
def test_overhead_and_scaling(data: Path) -> None:
    overheads, scalings = [], []
    for _ in range(3):
        bare = seconds([*ONE_CORE, sys.executable, str(BARE), "files"], data)
        one = seconds([*ONE_CORE, *EVALUATE, "--workers", "1"], data)
        two = seconds([*EVALUATE, "--workers", "2"], data)
        overheads.append(one / bare)
        scalings.append(one / two)
        print(f"bare OpenCV {bare:.1f} s, one worker {one:.1f} s, two {two:.1f} s")
    overhead, scaling = float(np.median(overheads)), float(np.median(scalings))
    print(f"{PAIRS} pairs: {overhead:.3f} times the bare loop; {scaling:.2f} times as fast on two workers")
    assert overhead <= 1.1
    assert scaling >= 1.8
