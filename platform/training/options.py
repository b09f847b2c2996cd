"""Options of the training loop. Field docstrings are the help texts of `raylign train`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ...methods.errors import InputError


@dataclass(frozen=True)
class LoopOptions:
    """How a method is trained; the defaults are those of the cross-scale paper where it gives any."""

    epochs: int = 150
    """Epochs to train, over all stages of the method."""
    steps_per_epoch: int | None = None
    """Optimizer steps in an epoch; None means one pass over the training split."""
    batch_size: int = 4
    """Samples per optimizer step, over all workers and all of `accumulate`."""
    accumulate: int = 1
    """Parts that each worker cuts its share of a step into, one after the other: less memory, the same step."""
    lr: float = 1e-4
    """Learning rate at the start."""
    lr_decay: float = 0.97
    """Factor on the learning rate after each epoch (schedule 'step')."""
    schedule: Literal["step", "cosine", "constant"] = "step"
    """'step' multiplies by lr_decay each epoch; 'cosine' falls to zero over all steps of a stage; 'constant' stays.
    Each after a warm-up, and each anew in every stage."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly from zero."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    grad_clip: float = 3.0
    """Largest norm of the gradient, for each optimizer by itself; 0 turns clipping off."""
    ema: float = 0.0
    """Decay of the exponential moving average of the weights, which is then what is validated and kept as the model;
    0 turns it off. 0.999 and 0.9999 are usual."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """'auto' takes bf16 autocast where it is computed natively (GPU, AMX, AVX512-BF16); 'fp16' scales the loss."""
    recompute: bool = False
    """Gradient checkpointing: recompute activations in the backward pass, for less memory and about a third more
    time."""
    compile: bool = False
    """Compile the training step with torch.compile; it needs a C++ compiler on CPUs, Triton on GPUs."""
    sharding: Literal["none", "fsdp"] = "none"
    """'fsdp' keeps a part of weights and optimizer on each worker, for models that do not fit on one (FSDP2)."""
    sync_norm: bool = True
    """BatchNorm over the samples of all workers, so that any number of workers trains alike."""
    start_from: str = ""
    """Folder of a checkpoint of this method whose weights, all of them, the training starts from. Files of weights
    that --model options name are not read then."""
    seed: int = 0
    """Seed of weights, data order, augmentation and the method's own random numbers."""
    data_share: float = 1.0
    """Share of the training samples that is used, drawn by the seed; a smaller share is part of each larger one."""
    loaders: int = 2
    """Threads of each worker that make batches ahead."""
    checkpoint_steps: int = 1000
    """Steps between two checkpoints within an epoch; there is always one at its end. 0 means none within."""
    val_pairs: int = 64
    """Samples of the validation split that are measured after each epoch."""
    val_every: int = 1
    """Epochs between two validations (the last epoch is always validated)."""
    val_pictures: int = 4
    """Validation samples whose pictures are kept with the run; 0 for none."""

    def check(self, workers: int) -> None:
        """Refuse what cannot be trained.

        Args:
            workers: that train together.

        Raises:
            InputError: an option has an impossible value.
        """
        for name, least in (
            *(("epochs", 1), ("batch_size", 1), ("accumulate", 1), ("val_pairs", 1), ("val_every", 1), ("loaders", 1)),
            *(("warmup_steps", 0), ("weight_decay", 0), ("grad_clip", 0), ("checkpoint_steps", 0), ("val_pictures", 0)),
        ):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"--loop.{name.replace('_', '-')} must be at least {least}, not {value}")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise InputError(f"--loop.steps-per-epoch must be at least 1, not {self.steps_per_epoch}")
        if not 0 < self.data_share <= 1:
            raise InputError(f"--loop.data-share must be more than 0 and at most 1, not {self.data_share}")
        if self.lr <= 0:
            raise InputError(f"--loop.lr must be positive, not {self.lr}")
        if not 0 <= self.ema < 1:
            raise InputError(f"--loop.ema must be 0 or more and less than 1, not {self.ema}")
        if self.batch_size < workers * self.accumulate:
            raise InputError(
                f"--loop.batch-size {self.batch_size} is less than one sample for each of {workers} workers and "
                f"{self.accumulate} parts; raise it, or take fewer of them"
            )


@dataclass(frozen=True)
class TrainingSpec:
    """Everything that decides a training, as plain data: it travels to workers and into `config.yaml`."""

    method: str
    """Name of the method in the registry."""
    data: str
    """Absolute path or URL of the dataset."""
    loop: LoopOptions = field(default_factory=LoopOptions)
    """How to train."""
    augment: dict[str, Any] = field(default_factory=dict)
    """Fields of `raylign.platform.data.augment.AugmentOptions` that differ from their defaults."""
    model: dict[str, Any] = field(default_factory=dict)
    """Fields of the method's `Config` that differ from their defaults."""


def tuples(content: dict[str, Any]) -> dict[str, Any]:
    """Field values for a dataclass from plain data, which has lists where the dataclass has tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}


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
