"""Weights as others publish them, with random numbers, and a network that must not be asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from kornia.feature import LoFTR
from torch import Tensor


def loftr_weights() -> dict[str, Tensor]:
    """Random weights of LoFTR."""
    torch.manual_seed(0)
    return LoFTR(pretrained=None).state_dict()


def no_network(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """Let downloads fail; returns the folder in which torch keeps what was downloaded."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("the network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(cache))
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    folder = cache / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder
