"""Checkpoints of a training: a servable model plus what is needed to go on exactly where it stopped.

A checkpoint folder holds `config.json` and `model.safetensors` (what `raylign.methods.load` reads), and
`training.safetensors` with `training.json` (optimizer, schedule, epoch). Nothing is pickled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...methods.aligner import LearnedAligner
from ...methods.errors import CheckpointError

MODEL_FILES = ("config.json", "model.safetensors")


def save_training(
    folder: Path, model: LearnedAligner, optimizer: torch.optim.Optimizer, progress: dict[str, Any]
) -> None:
    """Write a checkpoint into an empty folder.

    Args:
        folder: where to.
        model: saved by its `save_pretrained`.
        optimizer: its per-parameter state is saved as tensors.
        progress: JSON values: the epoch that is done, best metrics, learning-rate state.
    """
    model.save_pretrained(folder)
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {"rng": torch.get_rng_state()}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).contiguous()
    save_file(tensors, folder / "training.safetensors")
    (folder / "training.json").write_text(json.dumps({**progress, "param_groups": state["param_groups"]}))


def load_training(folder: Path, model: LearnedAligner, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Put a checkpoint back into model, optimizer and torch's random state; returns the progress.

    Raises:
        CheckpointError: a file is missing or damaged, or belongs to another configuration.
    """
    try:
        progress: dict[str, Any] = json.loads((folder / "training.json").read_text())
        tensors = load_file(folder / "training.safetensors")
        model.load_state_dict(load_file(folder / "model.safetensors"))
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, entry = name.split(".", 2)
                state.setdefault(int(index), {})[entry] = _laid_out_like(tensor, parameters[int(index)])
        optimizer.load_state_dict({"state": state, "param_groups": progress.pop("param_groups")})
        torch.set_rng_state(tensors["rng"])
    except Exception as error:  # safetensors raises its own classes for damaged files
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"cannot continue from {folder} ({reason}); start a new run with another --name"
        ) from None
    return progress


def _laid_out_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """The tensor with the parameter's strides.

    Files hold tensors contiguously, and weights may be channels_last; fused optimizers walk through the memory of both
    side by side and would pair the wrong numbers.
    """
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype, device=tensor.device).copy_(tensor)
