"""Options of the training loop. Field docstrings are the help texts of `raylign train`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class LoopOptions:
    """How a method is trained; the defaults are those of the cross-scale paper where it gives any."""

    epochs: int = 150
    """Epochs to train."""
    steps_per_epoch: int | None = None
    """Optimizer steps in an epoch; None means one pass over the training split."""
    batch_size: int = 4
    """Samples per step, over all workers."""
    lr: float = 1e-4
    """Adam's learning rate at the start."""
    lr_decay: float = 0.97
    """Factor on the learning rate after each epoch (schedule 'step')."""
    schedule: Literal["step", "cosine"] = "step"
    """'step' multiplies by lr_decay each epoch; 'cosine' falls to zero over all steps after a warm-up."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly from zero."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    grad_clip: float = 3.0
    """Largest norm of the gradient; 0 turns clipping off."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """'auto' takes bf16 autocast where the device computes it natively (AMX, GPU)."""
    seed: int = 0
    """Seed of weights, data order and augmentation."""
    val_pairs: int = 64
    """Pairs of the validation split that are measured after each epoch."""
    val_every: int = 1
    """Epochs between two validations (the last epoch is always validated)."""


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
