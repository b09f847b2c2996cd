"""A small DMAligner and pairs in which something moves, for the tests of this folder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from raylign.methods.dmaligner import DmAligner, DmAlignerConfig, DmAlignerInference
from raylign.methods.dmaligner.denoiser import Denoised
from tests.methods.small import picture

SMALL: dict[str, Any] = {
    "working_size": 64,
    "vae_channels": (8, 16, 16),
    "channels": 8,
    "multipliers": (1, 2),
    "blocks": 1,
    "attention_levels": 1,
    "correlation_radius": 3,
    "train_steps": 1000,
}
AUTHORS: dict[str, Any] = {"prediction": "sample", "dmp": "correlation"}
SOURCE: dict[str, Any] = {"prediction": "epsilon", "dmp": "features"}
"""The two readings of the method, see `DmAlignerConfig`."""


class ReferenceDenoiser(nn.Module):
    """Says that the clean latent is that of the reference, which is the truth where nothing differs."""

    def forward(self, noisy: Tensor, timesteps: Tensor, condition: Tensor) -> Denoised:
        return Denoised(condition[:, : noisy.shape[1]], None)


def small_aligner(seed: int = 0, **changes: Any) -> DmAligner:
    """An untrained model, which the seed decides; it draws in two steps."""
    torch.manual_seed(seed)
    model = DmAligner(DmAlignerConfig(**{**SMALL, **changes})).eval()
    model.inference = DmAlignerInference(steps=2)
    return model


def moving_batch(batch: int = 2, size: int = 64, seed: int = 0) -> dict[str, Tensor]:
    """Pairs for training: the camera goes 4 pixels to the right, a square 20; the source is a little brighter."""
    world = picture(seed, (size, size + 4), batch)
    colours = torch.rand(batch, 3, 1, 1, generator=torch.Generator().manual_seed(seed + 1))

    def seen(camera: int, square: int) -> Tensor:
        view = world[..., camera : camera + size].clone()
        view[..., 20:36, square - camera : square - camera + 16] = colours
        return view

    dynamic = torch.zeros(batch, 1, size, size)
    for left in (10, 30, 26):
        dynamic[..., 20:36, left : left + 16] = 1
    reference, source, truth = seen(0, 10), seen(4, 30), seen(0, 30)
    return {
        "reference": reference,
        "source": source,
        "reference_input": reference,
        "source_input": (source * 1.1).clamp(0, 1),
        "truth": (truth * 1.1).clamp(0, 1),
        "dynamic": dynamic,
        "seed": torch.arange(seed, seed + batch),
    }


def train_stage(model: DmAligner, stage: str, batch: dict[str, Tensor], steps: int, lr: float = 3e-3) -> list[float]:
    """Train a stage on one batch, always with the same noise; returns the losses."""
    model.train()
    model.enter_stage(stage)
    (optimizer,) = model.optimizers(lr, 0.0)
    losses = []
    for _ in range(steps):
        torch.manual_seed(0)
        optimizer.zero_grad()
        loss = model.training_step(batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    return losses
