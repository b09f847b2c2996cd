"""Ten shots of 512 x 512 aligned and restored by `diar`: seconds and peak memory by stage. `make bench`."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from raylign.methods.diar import DiarInference, alignment, network
from raylign.platform.evaluation.cost import peak_memory
from raylign.platform.memory import keep_freed_memory
from tests.datasets import texture

SIZE = 512
SHOTS = 10
STAGES: dict[str, tuple[tuple[Any, str], ...]] = {
    "keypoints": ((type(alignment.PLAIN), "detect"), (type(alignment.TILTED), "detect")),
    "descriptors": ((alignment, "describe"),),
    "matching": tuple((alignment, name) for name in ("match_keypoints", "mutual_matches", "agree", "dominant")),
    "bundle": ((alignment, "adjust"),),
    "refinement": ((alignment, "refine_homography"),),
    "warp": ((network, "warp"),),
    "restoration": ((network, "restore"),),
}
"""Stage to what holds its functions, and their names there."""


class Stopwatch:
    """Seconds and the largest peak of memory of each stage over all of its calls."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.megabytes: defaultdict[str, float] = defaultdict(float)
        self.running = False

    def around(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed, unless another one that is timed has called it."""

        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            if self.running:
                return function(*arguments, **options)
            self.running = True
            with peak_memory() as peak:
                began = time.perf_counter()
                answer = function(*arguments, **options)
                self.seconds[stage] += time.perf_counter() - began
            self.running = False
            self.megabytes[stage] = max(self.megabytes[stage], peak.megabytes or 0.0)
            return answer

        return timed


def plane_shots() -> tuple[Tensor, Tensor]:
    """A reference `(1, 3, H, W)` and sources `(1, N, 3, H, W)`: one textured plane from many sides, gains differ."""
    rng = np.random.default_rng(0)
    grain = rng.integers(0, 40, (2 * SIZE, 2 * SIZE, 3), dtype=np.uint8)
    plane = cv2.add(texture(rng, 2 * SIZE) // 2, cv2.GaussianBlur(grain, (0, 0), 1.2) * 2)
    shots = []
    for k in range(SHOTS):
        corners = np.array([[0, 0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]], np.float32)
        moved = corners + SIZE / 2 + (rng.uniform(-40, 40, (4, 2)).astype(np.float32) if k else 0)
        matrix = cv2.getPerspectiveTransform(moved.astype(np.float32), corners)
        shots.append(cv2.warpPerspective(plane, matrix, (SIZE, SIZE)) * rng.uniform(0.8, 1.0))
    pictures = torch.from_numpy(np.stack(shots)).float().permute(0, 3, 1, 2) / 255
    return pictures[:1], pictures[None, 1:]


@pytest.mark.bench
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("keypoints", [True, False])
def test_ten_shots_by_stage(monkeypatch: pytest.MonkeyPatch, keypoints: bool) -> None:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    keep_freed_memory()
    method = network.Diar().eval()
    # Descriptors match all frames without keypoints, as in the paper; else only those that keypoints are not sure of.
    method.inference = DiarInference(keypoints=keypoints)
    reference, sources = plane_shots()
    method.align(reference, sources[:, :1])  # what a first call loads is not the time of an alignment
    with peak_memory() as peak:
        began = time.perf_counter()
        method.align(reference, sources)
        whole = time.perf_counter() - began
    watch = Stopwatch()
    for holder, name, stage in {(*place, stage) for stage, places in STAGES.items() for place in places}:
        monkeypatch.setattr(holder, name, watch.around(stage, getattr(holder, name)))
    began = time.perf_counter()
    found = method.align(reference, sources)
    watched = time.perf_counter() - began
    called = set(watch.seconds)
    how = "keypoints first" if keypoints else "descriptors alone"
    print(f"\n{SHOTS} shots of {SIZE} x {SIZE}, {how}: {whole:.2f} s, peak {peak.megabytes or 0:.0f} MB")
    for stage in STAGES:
        print(f"{stage:12} {watch.seconds[stage]:7.2f} s {watch.megabytes[stage]:7.0f} MB")
    rest = watched - sum(watch.seconds.values())
    print(f"{'the rest':12} {rest:7.2f} s (resizing, and looking at the memory)")
    assert called >= {"matching", "bundle", "refinement", "warp", "restoration"}
    assert ("keypoints" if keypoints else "descriptors") in called
    assert bool(found.extras["frames_used"].any())
