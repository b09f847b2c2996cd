"""What tests and benchmarks of the training loop share: a small training of each method, workers without Ray."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from raylign.methods.aligner import LearnedAligner
from raylign.methods.registry import method_class, names
from raylign.platform.training.loop import build_model, train
from raylign.platform.training.options import LoopOptions, TrainingSpec, spec_from_dict, spec_to_dict
from raylign.platform.training.reporter import Checkpoint, PlainReporter
from tests.datasets import write_moving, write_retinas, write_sequences

LEARNED = sorted(names(learned=True))
"""Each method that registers is covered by what is parametrised over this."""

SMALL_MODELS: dict[str, dict[str, Any]] = {
    "adm": {
        "working_size": 64,
        "encoder": "test_vit",
        "score_width": 32,
        "score_layers": 1,
        "score_heads": 2,
        # Its masks are drawn by each worker.
        "dropout": 0.0,
        # An untrained chain ends anywhere within four of these: near enough that rounding stays small.
        "homography_scale": (*[0.05] * 6, 0.02, 0.02),
        "vessels": "learned",
        "vessel_channels": 8,
        "denoiser_channels": 8,
        "denoiser_multipliers": (1, 2),
        "deformation_channels": (8, 8),
    },
    "crossscale": {
        "backbone": "resnet18",
        "working_size": 96,
        "levels": 0,
        "mesh": (3, 3),
        "branch": (8, 8, 16, 16),
        "trunk": 32,
        "linear": (64, 32),
        "supervision": 1.0,
    },
    "diar": {
        "width": 8,
        "heads": 2,
        "blocks": 2,
        "window": 4,
        "working_size": 64,
        "backbone_layers": 1,
        "descriptor": 16,
        "descriptor_share": 0.5,
    },
    "dmaligner": {
        "working_size": 64,
        "vae_channels": (8, 16, 16),
        "channels": 8,
        "multipliers": (1, 2),
        "blocks": 1,
        "attention_levels": 1,
        "vae_share": 0.25,
        "student_share": 0.25,
    },
}
"""Small enough for some hundred steps in a test, with all that the method trains. A new method adds its own."""


def small_spec(method: str, url: str, **loop: Any) -> TrainingSpec:
    """A short training in float32."""
    options = {"epochs": 4, "steps_per_epoch": 2, "batch_size": 4, "lr": 1e-3, "val_pairs": 2, "precision": "fp32"}
    return TrainingSpec(
        method, url, LoopOptions(**{**options, **loop}), model=SMALL_MODELS[method], augment={"frames": 3}
    )


def small_stages(method: str) -> int:
    """How many stages the small training of a method has: it needs as many epochs."""
    return len(build_model(TrainingSpec(method, "", model=SMALL_MODELS[method])).training_stages())


def small_data(method: str, folder: Path, *, scenes: int = 12, size: int = 96) -> str:
    """A dataset that the method can be trained on: pairs with what it asks for, else sequences."""
    cls = method_class(method)
    assert issubclass(cls, LearnedAligner)
    needs = cls.batch_fields(cls.Config(**SMALL_MODELS[method]))
    write = write_moving if "truth" in needs else write_retinas if "vessels" in needs else write_sequences
    return write(folder, scenes=scenes, size=size)


class WorkerReporter(PlainReporter):
    """One of several processes; the checkpoints are rank 0's."""

    def __init__(self, folder: Path, rank: int, world_size: int) -> None:
        super().__init__(folder)
        self.rank, self.world_size = rank, world_size

    def report(self, metrics: Mapping[str, float], checkpoint: Checkpoint | None) -> None:
        super().report(metrics, checkpoint)
        if self.rank == 0:
            (self.folder / "history.json").write_text(json.dumps(self.history))


def train_in_processes(spec: TrainingSpec, workers: int, folder: Path, threads: int = 1) -> list[dict[str, float]]:
    """Train with gloo in `workers` processes; returns the metrics of all epochs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (workers, port, spec_to_dict(spec), str(folder), threads)
    torch.multiprocessing.spawn(_process, arguments, nprocs=workers)
    history: list[dict[str, float]] = json.loads((folder / "history.json").read_text())
    return history


def _process(rank: int, workers: int, port: int, spec: dict[str, Any], folder: str, threads: int) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(threads)
    dist.init_process_group("gloo", rank=rank, world_size=workers)
    try:
        train(spec_from_dict(spec), WorkerReporter(Path(folder), rank, workers))
    finally:
        dist.destroy_process_group()
