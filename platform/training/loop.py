"""The training loop: one function for every learned method, in any surroundings.

It knows neither Ray Train nor Ray Tune: it reports to a `Reporter`. With several workers, `torch.distributed` is up
already. Batches, augmentation and random numbers are functions of (epoch, step), so a checkpoint only has to say where
it stands, and a resumed training takes exactly the steps that an uninterrupted one takes.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from ...methods.aligner import LearnedAligner, has_fast_bfloat16
from ...methods.checkpoints import read_checkpoint
from ...methods.errors import CheckpointError, DatasetError, InputError, RaylignError
from ...methods.registry import method_class
from ..data.augment import AugmentOptions
from ..data.loading import mixed
from ..data.training import TrainingBatches, held_out, training_batches
from .average import WeightAverage
from .options import TrainingSpec, tuples
from .reporter import Reporter
from .schedule import learning_rate_factor, stage_epochs
from .state import Snapshot, load_training, load_weights, read_progress, take_snapshot
from .validation import validate
from .workers import in_workers, own_device, sum_over_workers, sync_norms

Batch = dict[str, Tensor]


class TrainingError(RaylignError):
    """The training cannot go on: the loss is no longer a number."""


def build_model(spec: TrainingSpec) -> LearnedAligner:
    """The untrained model of a specification, its weights drawn from `spec.loop.seed`.

    Raises:
        InputError: the method is unknown or has no weights, or a model field does not exist.
        CheckpointError: the checkpoint to start from is not one of this model.
    """
    cls = method_class(spec.method)
    if not issubclass(cls, LearnedAligner):
        raise InputError(f"'{spec.method}' has nothing to train; choose a learned method")
    try:
        config = cls.Config(**tuples(spec.model))
    except (TypeError, ValueError) as error:
        raise InputError(f"{spec.method}: {error}") from None
    torch.manual_seed(spec.loop.seed)
    model = cls(config, initialise=not spec.loop.start_from)
    if spec.loop.start_from:
        try:
            model.load_state_dict(read_checkpoint(Path(spec.loop.start_from), cls).state_dict())
        except RuntimeError:
            raise CheckpointError(
                f"--loop.start-from {spec.loop.start_from}: its weights do not fit these --model options; take those "
                "of its config.json"
            ) from None
    if spec.loop.recompute:
        model.enable_gradient_checkpointing()
    return model


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The autocast type of a precision option on a device; None means float32 throughout.

    'auto' takes bfloat16 where it is computed natively: on GPUs, on CPUs with AMX or AVX512-BF16. It is slower than
    float32 elsewhere.
    """
    named = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision in named:
        return named[precision]
    return torch.bfloat16 if has_fast_bfloat16(device) else None


def train(spec: TrainingSpec, reporter: Reporter) -> dict[str, float]:
    """Train a method; returns the metrics of the last epoch.

    Each epoch ends with one report: the mean losses over all workers, the learning rate, throughput, the share of time
    spent waiting for data, memory and, where validation ran, its metrics (`validation.validate`).

    Args:
        spec: what to train, on what and how.
        reporter: where to report, and where the last checkpoint comes from: training goes on after it.

    Raises:
        InputError: the specification or its dataset is wrong.
        TrainingError: the loss became infinite or NaN; the batch that it came from was kept.
    """
    try:
        return _Training(spec, reporter).run()
    finally:
        reporter.close()


class _Training:
    """One worker's part of a training."""

    def __init__(self, spec: TrainingSpec, reporter: Reporter) -> None:
        spec.loop.check(reporter.world_size)
        self.spec, self.options, self.reporter = spec, spec.loop, reporter
        self.rank, self.world = reporter.rank, reporter.world_size
        self.device = own_device(self.rank)
        # FSDP shards contiguous weights only.
        layout = torch.channels_last if self.options.sharding == "none" else torch.contiguous_format
        self.model = build_model(spec).to(self.device).to(memory_format=layout)
        if self.options.sync_norm and self.world > 1:
            sync_norms(self.model, self.device)
        self.batches: TrainingBatches = training_batches(
            self.model.batch_kind,
            spec.data,
            self.model.config.working_size,
            self.options.batch_size,
            AugmentOptions(**tuples(spec.augment)),
            seed=self.options.seed,
            rank=self.rank,
            world_size=self.world,
            fields=self.model.batch_fields(self.model.config),
            accumulate=self.options.accumulate,
            loaders=self.options.loaders,
            data_share=self.options.data_share,
        )
        self.steps = self.options.steps_per_epoch or self.batches.steps_per_epoch
        self.held_out = self._held_out() if self.rank == 0 else None
        self.dtype = autocast_dtype(self.options.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        self.optimizers: list[torch.optim.Optimizer] = []
        self.average: WeightAverage | None = None
        self.step_module: nn.Module | None = None
        self.pending: tuple[Tensor, Batch] | None = None

    def _held_out(self) -> Batch:
        try:
            return held_out(
                self.model.batch_kind,
                self.spec.data,
                "val",
                self.model.config.working_size,
                self.options.val_pairs,
                AugmentOptions(**tuples(self.spec.augment)).frames,
                self.model.batch_fields(self.model.config),
            )
        except DatasetError as error:
            raise DatasetError(f"{error} (training needs a validation split)") from None

    def run(self) -> dict[str, float]:
        """Train what is left of all stages."""
        checkpoint = self.reporter.latest_checkpoint()
        progress: dict[str, Any] = {"epoch": 0, "step": 0, "sums": {}, "metrics": {}}
        if checkpoint is not None:
            progress = read_progress(checkpoint)
        metrics: dict[str, float] = progress["metrics"]
        stages = self.model.training_stages()
        for number, (stage, epochs) in enumerate(zip(stages, stage_epochs(stages, self.options.epochs), strict=True)):
            if progress["epoch"] >= epochs.stop:
                continue
            begun = progress["epoch"] > epochs.start or progress["step"] > 0
            if checkpoint is not None and not begun:
                # Before the stage is entered: a method may copy weights then, and must find those of the stage before.
                load_weights(checkpoint, self.model)
            step_module = self._enter(stage.name)
            if checkpoint is not None and begun:
                load_training(checkpoint, self.model, self.optimizers, self.average, self.scaler)
            checkpoint = None
            for epoch in range(max(epochs.start, progress["epoch"]), epochs.stop):
                metrics = self._epoch(step_module, epoch, epochs, progress)
                metrics["stage"] = float(number + 1)
                progress = {"epoch": epoch + 1, "step": 0, "sums": {}, "metrics": metrics}
                self._finish_epoch(epoch, epochs, progress)
                if self.reporter.should_stop():
                    return metrics
            if self.average is not None:
                self.average.adopt()
        return metrics

    def _enter(self, stage: str) -> nn.Module:
        """Freeze and unfreeze, wrap the model for several workers, and make the stage's optimizers."""
        self.model.train()
        self.model.enter_stage(stage)
        if self.step_module is None or self.options.sharding == "none":
            self.step_module = in_workers(self.model, self.world, self.device, self.options.sharding)
        self.optimizers = self.model.optimizers(self.options.lr, self.options.weight_decay)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        self.average = self._new_average()
        return torch.compile(self.step_module) if self.options.compile else self.step_module  # type: ignore[return-value]

    def _new_average(self) -> WeightAverage | None:
        return WeightAverage(self.model, self.options.ema) if self.options.ema else None

    def _epoch(self, step_module: nn.Module, epoch: int, stage: range, progress: Mapping[str, Any]) -> dict[str, float]:
        """The steps of one epoch that are not done yet; returns its metrics without validation."""
        options, first = self.options, int(progress["step"])
        self.model.train()
        sums = {name: torch.tensor(value / self.world, device=self.device) for name, value in progress["sums"].items()}
        began = told = time.monotonic()
        waited = 0.0
        batches = iter(self.batches.epoch(epoch, self.steps, first))
        for step in range(first, self.steps):
            done = (epoch - stage.start) * self.steps + step
            factor = learning_rate_factor(options, done, self.steps, len(stage))
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * factor
                optimizer.zero_grad(set_to_none=True)
            waited += self._step(step_module, batches, (epoch, step), sums)
            self._apply()
            now = time.monotonic()
            if self.rank == 0 and now - told >= 1.0:
                told = now
                self.reporter.tell(self._running(epoch, step + 1, sums, (now - began, step + 1 - first, waited)))
            if options.checkpoint_steps and (step + 1) % options.checkpoint_steps == 0 and step + 1 < self.steps:
                self._save({**progress, "epoch": epoch, "step": step + 1}, sums)
        self._check_last()
        seconds = time.monotonic() - began
        if sums:
            total = sum_over_workers(torch.stack(list(sums.values())).double(), self.world)
            sums = dict(zip(sums, total, strict=True))
        return self._running(epoch, self.steps, sums, (seconds, self.steps - first, waited), self.world)

    def _step(self, module: nn.Module, batches: Iterator[Batch], at: tuple[int, int], sums: dict[str, Tensor]) -> float:
        """Gradients of one step, and its losses added to `sums`; returns the seconds spent waiting for data."""
        options, waited = self.options, 0.0
        for part in range(options.accumulate):
            asked = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - asked
            # The seeds stay on the CPU, where they are used; reading them back would make a GPU wait.
            batch = {
                name: value if name == "seed" else value.to(self.device, non_blocking=True)
                for name, value in batch.items()
            }
            torch.manual_seed(mixed(options.seed, *at, self.rank * options.accumulate + part))
            self._sync_gradients(module, part == options.accumulate - 1)
            with torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None):
                losses = module(batch)
            # Parts and workers may have different numbers of samples: each counts by its share of the step's batch.
            share = len(next(iter(batch.values()))) / options.batch_size
            self.scaler.scale(losses["loss"] * (share * self.world)).backward()
            self._check_last()
            self.pending = losses["loss"].detach(), batch
            for name, value in losses.items():
                sums[name] = sums.get(name, torch.zeros((), device=self.device)) + share * value.detach().float()
        return waited

    def _sync_gradients(self, module: nn.Module, last: bool) -> None:
        """Workers exchange gradients once a step, after the last part."""
        module = getattr(module, "_orig_mod", module)
        if isinstance(module, DistributedDataParallel):
            module.require_backward_grad_sync = last
        elif isinstance(module, FSDPModule):
            module.set_requires_gradient_sync(last)

    def _apply(self) -> None:
        """Clip the gradients and take the step."""
        for optimizer in self.optimizers:
            if self.options.grad_clip:
                self.scaler.unscale_(optimizer)
                trained = [each for group in optimizer.param_groups for each in group["params"]]
                torch.nn.utils.clip_grad_norm_(trained, self.options.grad_clip)
            self.scaler.step(optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update()

    def _check_last(self) -> None:
        """Look at the loss before: by now it is known, so that looking at it makes no GPU wait.

        Raises:
            TrainingError: it is no number.
        """
        if self.pending is None:
            return
        loss, batch = self.pending
        self.pending = None
        if math.isfinite(float(loss)):
            return
        tensors = {name: value.detach().cpu().contiguous() for name, value in batch.items()}
        name = f"failed/batch-rank{self.rank}.safetensors"
        self.reporter.keep(name, to_safetensors(tensors))
        raise TrainingError(f"the loss became {float(loss)}; lower --loop.lr (its batch is kept in {name})")

    def _running(
        self, epoch: int, step: int, sums: Mapping[str, Tensor], spent: tuple[float, int, float], workers: int = 1
    ) -> dict[str, float]:
        """Metrics of an epoch up to a step; `sums` are this worker's share, or those of `workers` workers."""
        seconds, steps, waited = spent
        metrics = {name: float(total) * self.world / (step * workers) for name, total in sums.items()}
        metrics |= {
            "epoch": float(epoch + 1),
            "step": float(step),
            "steps": float(self.steps),
            "lr": self.optimizers[0].param_groups[0]["lr"],
            "seconds": seconds,
            "samples_per_s": steps * self.options.batch_size / max(seconds, 1e-9),
            "data_wait": waited / max(seconds, 1e-9),
            "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "workers": float(self.world),
            "damaged": float(len(self.batches.damaged)),
        }
        if self.device.type == "cuda":
            metrics["gpu_memory_mb"] = torch.cuda.max_memory_allocated(self.device) / 2**20
        return metrics

    def _finish_epoch(self, epoch: int, stage: range, progress: dict[str, Any]) -> None:
        """Validate, and report the epoch with its checkpoint."""
        metrics = progress["metrics"]
        last = epoch + 1 in (stage.stop, self.options.epochs)
        if last or (epoch + 1) % self.options.val_every == 0:
            self._validate(epoch, metrics)
        snapshot = self._snapshot(progress)
        self.reporter.report(metrics, snapshot)

    def _validate(self, epoch: int, metrics: dict[str, float]) -> None:
        model = self._whole_model()
        if self.held_out is None or model is None:
            return
        began = time.monotonic()
        average = self.average if model is self.model else None
        found, picture = validate(
            model, self.held_out, average=average, seed=self.options.seed, pictures=self.options.val_pictures
        )
        metrics |= found
        metrics["val_seconds"] = time.monotonic() - began
        if picture is not None:
            self.reporter.keep(f"pictures/epoch-{epoch + 1:04d}.png", picture)

    def _whole_model(self) -> LearnedAligner | None:
        """The model to validate, in rank 0: sharded weights are gathered into one of its own."""
        if self.options.sharding == "none" or self.world == 1:
            return self.model
        snapshot = take_snapshot(self.model, self.optimizers, self.average, self.scaler, {})
        if self.rank != 0:
            return None
        whole = method_class(self.spec.method)(self.model.config, initialise=False)  # type: ignore[call-arg]
        assert isinstance(whole, LearnedAligner)
        whole.load_state_dict(snapshot.model)
        return whole.to(self.device)

    def _save(self, progress: dict[str, Any], sums: Mapping[str, Tensor]) -> None:
        """Keep a checkpoint from within an epoch, with the losses so far of all workers."""
        self._check_last()
        total = sum_over_workers(torch.stack(list(sums.values())).double(), self.world)
        # Each worker takes up an equal part again, whatever their number then is.
        named = dict(zip(sums, total.tolist(), strict=True))
        self.reporter.save(self._snapshot({**progress, "sums": named}))

    def _snapshot(self, progress: dict[str, Any]) -> Snapshot | None:
        gathered = self.options.sharding == "fsdp" and self.world > 1
        if self.rank != 0 and not gathered:
            return None
        snapshot = take_snapshot(self.model, self.optimizers, self.average, self.scaler, progress)
        return snapshot if self.rank == 0 else None
