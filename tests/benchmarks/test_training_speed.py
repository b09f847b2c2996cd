"""What the training loop costs: against plain PyTorch, two workers against one, bf16 against float32. `make bench`."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from raylign.methods.aligner import has_fast_bfloat16
from raylign.platform.data.augment import AugmentOptions
from raylign.platform.data.training import training_batches
from raylign.platform.memory import keep_freed_memory
from raylign.platform.training.loop import autocast_dtype, build_model, train
from raylign.platform.training.options import LoopOptions, TrainingSpec
from raylign.platform.training.reporter import PlainReporter
from tests.datasets import write_sequences
from tests.training import LEARNED, SMALL_MODELS, small_data, train_in_processes

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

BENCHED: dict[str, dict[str, Any]] = {
    "crossscale": {
        **SMALL_MODELS["crossscale"],
        "working_size": 128,
        "levels": 1,
        "mesh": (9, 9),
        "branch": (16, 32, 64, 128),
        "trunk": 128,
        "linear": (256, 128),
        "centred_correlation": True,
        "smallest_map": 2,
    },
    "adm": {
        **SMALL_MODELS["adm"],
        "vessels": "filter",
        "score_width": 128,
        "score_layers": 2,
        "denoiser_channels": 16,
        "denoiser_multipliers": (1, 2, 2),
        "deformation_channels": (8, 16, 16),
        "displacement_weight": (1.0, 1.0),
    },
    "diar": {**SMALL_MODELS["diar"], "width": 16, "working_size": 128, "descriptor_share": 0.0},
    "dmaligner": {
        **SMALL_MODELS["dmaligner"],
        "working_size": 128,
        "vae_channels": (16, 32, 32),
        "channels": 32,
        "vae_share": 0.0,
        "student_share": 0.0,
    },
}
"""Large enough that the model is the work, not Python. A new method adds its own."""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_sequences(tmp_path_factory.mktemp("training") / "d", scenes=40, size=192)


@pytest.fixture(scope="module")
def data_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    folder = tmp_path_factory.mktemp("benched")
    return functools.cache(lambda method: small_data(method, folder / method, scenes=40, size=192))


def benched(method: str, url: str, **loop: Any) -> TrainingSpec:
    options = {"epochs": 1, "steps_per_epoch": 30, "batch_size": 16, "lr": 3e-4, "val_pairs": 2, "val_pictures": 0}
    return TrainingSpec(method, url, LoopOptions(**{**options, **loop}), model=BENCHED[method], augment={"frames": 3})


def ours(spec: TrainingSpec, folder: Path) -> dict[str, float]:
    reporter = PlainReporter(folder)
    train(spec, reporter)
    return reporter.history[-1]


def plain(spec: TrainingSpec) -> float:
    """Samples a second of the loop that anyone would write."""
    options = spec.loop
    model = build_model(spec).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, fused=True)
    dtype = autocast_dtype(options.precision, CPU)
    augment = AugmentOptions(**spec.augment)
    batches = training_batches(
        model.batch_kind,
        spec.data,
        model.config.working_size,
        options.batch_size,
        augment,
        fields=model.batch_fields(model.config),
        seed=0,
    )
    model.enter_stage(model.training_stages()[0].name)
    steps = options.steps_per_epoch or 1
    began = time.monotonic()
    for batch in batches.epoch(0, steps):
        with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
            losses = model.training_step(batch)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), options.grad_clip)
        optimizer.step()
    return steps * options.batch_size / (time.monotonic() - began)


def ratios(first: Callable[[int], float], second: Callable[[int], float], repeats: int) -> list[float]:
    """Second over first, each pair measured one after the other, in turns."""
    found = []
    for turn in range(repeats):
        a, b = (first(turn), second(turn)) if turn % 2 else reversed((second(turn), first(turn)))
        found.append(b / a)
    return sorted(found)


@pytest.mark.parametrize("method", LEARNED)
def test_the_loop_adds_nothing_to_plain_pytorch(method: str, data_for: Callable[[str], str], tmp_path: Path) -> None:
    torch.set_num_threads(2)
    # As `raylign train` does; for the plain loop too, or the order of the two would count for more than the loop.
    keep_freed_memory()
    spec = benched(method, data_for(method))
    plain(spec)
    ours(spec, tmp_path / "warm")
    waits = []

    def measured(turn: int) -> float:
        metrics = ours(spec, tmp_path / str(turn))
        waits.append(metrics["data_wait"])
        return metrics["samples_per_s"]

    found = ratios(lambda turn: plain(spec), measured, 5)
    wait = statistics.median(waits)
    print(f"\n{method}: ours / plain PyTorch {found}, waiting for data {wait:.1%} of the time")
    assert statistics.median(found) >= 0.97
    assert wait < 0.05


@pytest.mark.parametrize("method", LEARNED)
def test_two_workers_of_one_thread_against_one_of_two(
    method: str, data_for: Callable[[str], str], tmp_path: Path
) -> None:
    spec = benched(method, data_for(method), epochs=3, steps_per_epoch=20, val_every=3)

    def rate(workers: int, turn: int) -> float:
        history = train_in_processes(spec, workers, tmp_path / f"{workers}-{turn}", threads=2 // workers)
        # The first epoch warms up.
        return statistics.mean(entry["samples_per_s"] for entry in history[1:])

    found = ratios(lambda turn: rate(1, turn), lambda turn: rate(2, turn), 3)
    print(f"\n{method}: two workers of one thread / one worker of two threads {found}")
    assert statistics.median(found) >= 0.95


def seconds_per_step(spec: TrainingSpec, steps: int = 3) -> float:
    """Of the model alone, after two steps that warm up."""
    model = build_model(spec).to(memory_format=torch.channels_last).train()
    dtype = autocast_dtype(spec.loop.precision, CPU)
    batches = training_batches(
        "pair", spec.data, model.config.working_size, spec.loop.batch_size, AugmentOptions(), seed=0
    )
    batch = batches.batch(0, 0)
    times = []
    for _ in range(steps + 2):
        began = time.monotonic()
        with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
            model.training_step(batch)["loss"].backward()
        model.zero_grad(set_to_none=True)
        times.append(time.monotonic() - began)
    return statistics.median(times[2:])


@pytest.mark.skipif(not has_fast_bfloat16(CPU), reason="this CPU has no native bfloat16")
def test_bf16_ends_where_float32_does(url: str, tmp_path: Path) -> None:
    torch.set_num_threads(2)
    quality: dict[str, list[float]] = {"fp32": [], "bf16": []}
    rates: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for seed in range(3):
        for precision, found in quality.items():
            spec = benched("crossscale", url, steps_per_epoch=50, precision=precision, val_pairs=64, seed=seed)
            metrics = ours(spec, tmp_path / f"{precision}-{seed}")
            found.append(metrics["val_psnr_overlap"])
            rates[precision].append(metrics["samples_per_s"])
    change = statistics.mean(quality["bf16"]) - statistics.mean(quality["fp32"])
    speed = sorted(fast / slow for fast, slow in zip(rates["bf16"], rates["fp32"], strict=True))
    print(f"\nvalidation PSNR after 50 steps {quality}, {change:+.3f} dB; small network, bf16 / float32 {speed}")
    assert abs(change) <= 0.05


@pytest.mark.skipif(not torch.cpu._is_amx_tile_supported(), reason="this CPU has no AMX")
def test_bf16_is_two_and_a_half_times_as_fast_at_paper_size(url: str) -> None:
    torch.set_num_threads(2)

    def rate(precision: str) -> float:
        loop = LoopOptions(batch_size=2, precision=precision)  # type: ignore[arg-type]
        return 1 / seconds_per_step(TrainingSpec("crossscale", url, loop))

    found = ratios(lambda turn: rate("fp32"), lambda turn: rate("bf16"), 2)
    print(f"\ncrossscale at 512 px, batch 2: bf16 / float32 {found}")
    assert statistics.median(found) >= 2.5
