"""Checkpoints of a training: a servable model plus what is needed to go on exactly where it stopped.

A checkpoint folder holds `config.json` and `model.safetensors` (what `raylign.methods.load` reads; the averaged weights
where there is an average), and `training.safetensors` with `training.json` (weights where they are not the model's,
optimizers, schedule, place in the data). Random numbers need no state: each step is seeded by its number. Nothing is
pickled.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor

from ...methods.aligner import LearnedAligner
from ...methods.checkpoints import CONFIG_FILE, WEIGHTS_FILE, config_content
from ...methods.errors import CheckpointError
from .average import WeightAverage

MODEL_FILES = (CONFIG_FILE, WEIGHTS_FILE)
TRAINING_VERSION = 2
"""Counts up when a program of this version could no longer go on from what older ones wrote."""

_WHOLE = StateDictOptions(full_state_dict=True)
_TO_CPU = StateDictOptions(full_state_dict=True, cpu_offload=True)


@dataclass(frozen=True)
class Snapshot:
    """A training as it stood at one moment, in memory of its own: it can be written while the training goes on."""

    config: dict[str, Any]
    """Content of `config.json`."""
    model: dict[str, Tensor]
    """The weights that are served."""
    training: dict[str, Tensor]
    """Raw weights where they differ, optimizers, scaler."""
    progress: dict[str, Any] = field(default_factory=dict)
    """JSON values: where the training is, and its metrics."""

    def write(self, folder: Path) -> None:
        """Write the four files into a folder that exists."""
        save_file(self.model, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        save_file(self.training, folder / "training.safetensors")
        (folder / "training.json").write_text(json.dumps(self.progress))
        (folder / CONFIG_FILE).write_text(json.dumps(self.config, indent=2) + "\n")


def take_snapshot(
    model: LearnedAligner,
    optimizers: list[torch.optim.Optimizer],
    average: WeightAverage | None,
    scaler: torch.amp.GradScaler,
    progress: dict[str, Any],
) -> Snapshot:
    """Copy everything to memory of its own. With sharded weights all workers must call it, and only rank 0's is whole.

    Args:
        model: whose weights are copied.
        optimizers: of the running stage.
        average: of the weights, if any; then it is what is served.
        scaler: of the loss.
        progress: JSON values that `load_training` gives back.
    """
    raw = _own(get_model_state_dict(model, options=_TO_CPU))
    state: dict[str, Any] = get_optimizer_state_dict(model, optimizers, options=_TO_CPU)
    tensors = {
        f"optimizer|{name}|{entry}": _own_one(value)
        for name, entries in state.get("state", {}).items()
        for entry, value in entries.items()
    }
    served = raw
    if average is not None:
        with average.applied():
            served = _own(get_model_state_dict(model, options=_TO_CPU))
        tensors |= {f"weights|{name}": value for name, value in raw.items()}
    content = {
        **progress,
        "version": TRAINING_VERSION,
        "param_groups": state.get("param_groups", []),
        "averaged": average.count if average else 0,
        "scaler": scaler.state_dict(),
    }
    return Snapshot(config_content(model), served, tensors, content)


def load_training(
    folder: Path,
    model: LearnedAligner,
    optimizers: list[torch.optim.Optimizer],
    average: WeightAverage | None,
    scaler: torch.amp.GradScaler,
) -> None:
    """Put a checkpoint back into model, optimizers, average and scaler, which must be those of its stage.

    Raises:
        CheckpointError: a file is missing or damaged, or belongs to another configuration.
    """
    try:
        progress = read_progress(folder)
        tensors = load_file(folder / "training.safetensors")
        served: dict[str, Any] = dict(load_file(folder / WEIGHTS_FILE))
        weights: dict[str, Any] = {}
        state: dict[str, dict[str, Any]] = {}
        for key, tensor in tensors.items():
            kind, _, name = key.partition("|")
            if kind == "weights":
                weights[name] = tensor
            else:
                name, _, entry = name.rpartition("|")
                state.setdefault(name, {})[entry] = tensor
        if average is not None:
            set_model_state_dict(model, served, options=_WHOLE)
            average.restart(progress["averaged"])
        set_model_state_dict(model, weights or served, options=_WHOLE)
        content: dict[str, Any] = {"state": state, "param_groups": progress["param_groups"]}
        set_optimizer_state_dict(model, optimizers, content, options=_WHOLE)
        scaler.load_state_dict(progress["scaler"])
    except CheckpointError:
        raise
    except Exception as error:  # safetensors and torch raise their own classes for damaged and for foreign files
        raise _cannot_continue(folder, " ".join(str(error).split())[:200]) from None
    for optimizer in optimizers:
        _lay_out(optimizer)


def load_weights(folder: Path, model: LearnedAligner) -> None:
    """Put only the weights that are served back into a model: what a stage leaves to the next.

    Raises:
        CheckpointError: the file is missing or damaged, or belongs to another configuration.
    """
    try:
        set_model_state_dict(model, dict(load_file(folder / WEIGHTS_FILE)), options=_WHOLE)
    except Exception as error:  # safetensors and torch raise their own classes for damaged and for foreign files
        raise _cannot_continue(folder, " ".join(str(error).split())[:200]) from None


def read_progress(folder: Path) -> dict[str, Any]:
    """The JSON part of a checkpoint.

    Raises:
        CheckpointError: it is missing or damaged, or was written by a newer program.
    """
    try:
        progress: dict[str, Any] = json.loads((folder / "training.json").read_text())
        version = int(progress.get("version", 1))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _cannot_continue(folder, " ".join(str(error).split())[:200]) from None
    if version != TRAINING_VERSION:
        raise _cannot_continue(folder, f"it has version {version}, this raylign goes on from {TRAINING_VERSION}")
    return progress


def _cannot_continue(folder: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"cannot continue from {folder} ({reason}); start a new run with another --name")


def _own(state: dict[str, Any]) -> dict[str, Tensor]:
    return {name: _own_one(value) for name, value in state.items()}


def _own_one(value: Any) -> Tensor:
    return torch.as_tensor(value).detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give each moment the strides of its weight.

    Files hold tensors contiguously, and weights may be channels_last; fused optimizers walk through the memory of both
    side by side and would pair the wrong numbers.
    """
    for parameter, entries in optimizer.state.items():
        for name, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and not isinstance(value, DTensor):
                entries[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
