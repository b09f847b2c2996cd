"""The training loop: one function for every learned method, in any surroundings.

It knows neither Ray Train nor Ray Tune: it reports to a `Reporter`. With several workers, `torch.distributed` is up
already and gradients are averaged by DistributedDataParallel.
"""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...methods.aligner import LearnedAligner, has_fast_bfloat16
from ...methods.errors import DatasetError, InputError, RaylignError
from ...methods.registry import method_class
from ..data.augment import AugmentOptions
from ..data.pairs import TrainingPairs, validation_pairs
from .options import LoopOptions, TrainingSpec, tuples
from .reporter import Reporter
from .state import load_training, save_training
from .validation import validate


class TrainingError(RaylignError):
    """The training cannot go on: the loss is no longer a number."""


class _Step(nn.Module):
    """`training_step` as a forward, so that DistributedDataParallel sees it."""

    def __init__(self, model: LearnedAligner) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.model.training_step(batch)


def build_model(spec: TrainingSpec) -> LearnedAligner:
    """The untrained model of a specification, its weights drawn from `spec.loop.seed`.

    Raises:
        InputError: the method is unknown or has no weights, or a model field does not exist.
    """
    cls = method_class(spec.method)
    if not issubclass(cls, LearnedAligner):
        raise InputError(f"'{spec.method}' has nothing to train; choose a learned method")
    try:
        config = cls.Config(**tuples(spec.model))
    except (TypeError, ValueError) as error:
        raise InputError(f"{spec.method}: {error}") from None
    torch.manual_seed(spec.loop.seed)
    return cls(config)


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The autocast type of a precision option on a device; None means float32 throughout.

    'auto' takes bfloat16 where it is computed natively: on GPUs and on CPUs with AMX, four times faster than float32
    there, and slower than it elsewhere.
    """
    if precision == "fp32":
        return None
    if precision == "bf16":
        return torch.bfloat16
    return torch.bfloat16 if has_fast_bfloat16(device) else None


def learning_rate_factor(options: LoopOptions, step: int, steps_per_epoch: int) -> float:
    """Factor on `lr` at an optimizer step, counted from 0."""
    if step < options.warmup_steps:
        return (step + 1) / options.warmup_steps
    if options.schedule == "step":
        return float(options.lr_decay ** (step // steps_per_epoch))
    total = options.epochs * steps_per_epoch
    share = (step - options.warmup_steps) / max(1, total - options.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def train(spec: TrainingSpec, reporter: Reporter) -> dict[str, float]:
    """Train a method; returns the metrics of the last epoch.

    Each epoch ends with one report: the mean losses, the learning rate, throughput and, where validation ran,
    `val_psnr_overlap` (dB), `val_overlap` and, with known homographies, `val_corner_error` (pixels at working size).

    Args:
        spec: what to train, on what and how.
        reporter: where to report, and where the last checkpoint comes from: training goes on after it.

    Raises:
        InputError: the specification or its dataset is wrong.
        TrainingError: the loss became infinite or NaN.
    """
    options = spec.loop
    device = torch.device("cuda", reporter.rank % torch.cuda.device_count()) if torch.cuda.is_available() else None
    device = device or torch.device("cpu")
    model = build_model(spec).to(device).to(memory_format=torch.channels_last)
    if model.batch_kind != "pair":
        raise InputError(f"'{spec.method}' trains on '{model.batch_kind}' batches, which this raylign cannot make")
    if options.batch_size % reporter.world_size:
        raise InputError(f"--loop.batch-size {options.batch_size} does not divide by {reporter.world_size} workers")
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=options.weight_decay, fused=True)
    start_epoch = 0
    metrics: dict[str, float] = {}
    checkpoint = reporter.latest_checkpoint()
    if checkpoint is not None:
        progress = load_training(checkpoint, model, optimizer)
        start_epoch, metrics = progress["epoch"], progress["metrics"]
    size = model.config.working_size
    pairs = TrainingPairs(
        spec.data,
        size,
        options.batch_size,
        AugmentOptions(**tuples(spec.augment)),
        seed=options.seed,
        rank=reporter.rank,
        world_size=reporter.world_size,
    )
    held_out = _held_out(spec, size) if reporter.rank == 0 else None
    steps = options.steps_per_epoch or pairs.steps_per_epoch
    step_module: nn.Module = _Step(model)
    if reporter.world_size > 1:
        step_module = DistributedDataParallel(step_module, device_ids=[device] if device.type == "cuda" else None)
    dtype = autocast_dtype(options.precision, device)

    for epoch in range(start_epoch, options.epochs):
        model.train()
        began = time.monotonic()
        sums: dict[str, Tensor] = {}
        for step, batch in enumerate(pairs.epoch(epoch, steps)):
            factor = learning_rate_factor(options, epoch * steps + step, steps)
            for group in optimizer.param_groups:
                group["lr"] = options.lr * factor
            batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
            with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
                losses = step_module(batch)
            optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()
            if options.grad_clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), options.grad_clip)
            optimizer.step()
            for name, value in losses.items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach().float()
        metrics = {name: float(total) / steps for name, total in sums.items()}
        if not math.isfinite(metrics["loss"]):
            raise TrainingError(f"the loss became {metrics['loss']} in epoch {epoch + 1}; lower --loop.lr")
        seconds = time.monotonic() - began
        metrics |= {
            "epoch": float(epoch + 1),
            "lr": optimizer.param_groups[0]["lr"],
            "seconds": seconds,
            "samples_per_s": steps * options.batch_size / seconds,
        }
        last = epoch + 1 == options.epochs
        if held_out is not None and (last or (epoch + 1) % options.val_every == 0):
            metrics |= validate(model, held_out)
        _report(reporter, model, optimizer, epoch + 1, metrics)
        if reporter.should_stop():
            break
    return metrics


def _held_out(spec: TrainingSpec, size: int) -> dict[str, Tensor]:
    try:
        return validation_pairs(spec.data, "val", size, spec.loop.val_pairs)
    except DatasetError as error:
        raise DatasetError(f"{error} (training needs a validation split)") from None


def _report(
    reporter: Reporter,
    model: LearnedAligner,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    metrics: dict[str, float],
) -> None:
    """One report per epoch from every rank; rank 0 brings the checkpoint."""
    if reporter.rank != 0:
        reporter.report(metrics, None)
        return
    with tempfile.TemporaryDirectory(prefix="raylign-checkpoint-") as folder:
        save_training(Path(folder), model, optimizer, {"epoch": epoch, "metrics": metrics})
        reporter.report(metrics, Path(folder))


def spec_to_dict(spec: TrainingSpec) -> dict[str, Any]:
    """A specification as plain data, for workers and `config.yaml`."""
    return asdict(spec)


def spec_from_dict(content: dict[str, Any]) -> TrainingSpec:
    """The inverse of `spec_to_dict`.

    Raises:
        InputError: a field is unknown or missing.
    """
    try:
        return TrainingSpec(**{**content, "loop": LoopOptions(**content.get("loop", {}))})
    except TypeError as error:
        raise InputError(f"not a training configuration: {error}") from None
