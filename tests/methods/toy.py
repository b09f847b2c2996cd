"""A method with everything that a training loop may meet: sequences, stages, frozen parts, two optimizers, chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from raylign.methods.aligner import Alignment, LearnedAligner, Stage


@dataclass(frozen=True)
class ToyConfig:
    """Its hyperparameters."""

    working_size: int = 32
    """Side of the pictures."""
    width: int = 4
    """Channels."""


class Toy(LearnedAligner):
    """Encodes frames in its first stage, mixes them in its second; draws noise in training and in `align`."""

    name: ClassVar[str] = "toy"
    Config: ClassVar[type] = ToyConfig
    batch_kind: ClassVar[Literal["pair", "sequence"]] = "sequence"
    max_sources: ClassVar[int | None] = None

    def __init__(self, config: ToyConfig | None = None, *, initialise: bool = True) -> None:
        super().__init__()
        self.config = config or ToyConfig()
        width = self.config.width
        self.encoder = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.decoder = nn.Conv2d(width, 3, 3, padding=1)
        self.mixer = nn.Conv2d(width, width, 1)
        self.stage = "encode"
        if initialise:
            nn.init.zeros_(self.mixer.bias)

    def training_stages(self) -> tuple[Stage, ...]:
        return Stage("encode"), Stage("mix", 2.0)

    def enter_stage(self, stage: str) -> None:
        self.stage = stage
        self.encoder.requires_grad_(stage == "encode")
        self.decoder.requires_grad_(stage == "encode")
        self.mixer.requires_grad_(stage == "mix")

    def optimizers(self, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
        if self.stage == "mix":
            return [torch.optim.SGD(self.mixer.parameters(), lr=lr, momentum=0.9)]
        return [
            torch.optim.AdamW(self.encoder.parameters(), lr=lr, weight_decay=weight_decay),
            torch.optim.SGD(self.decoder.parameters(), lr=lr * 0.1),
        ]

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        frames, truth = batch["frames"], batch["truth"]
        if self.stage == "encode":
            rebuilt = self.decoder(self.encoder(frames.flatten(0, 1)))
            loss = (rebuilt - frames.flatten(0, 1)).square().mean()
        else:
            loss = (self._mix(frames) - truth).square().mean()
        return {"loss": loss, "error": loss}

    def _mix(self, frames: Tensor) -> Tensor:
        noisy = frames + 0.1 * torch.randn_like(frames)
        features = self.mixer(self.encoder(noisy.flatten(0, 1)))
        return self.decoder(features.unflatten(0, frames.shape[:2]).mean(1))  # type: ignore[no-any-return]

    @torch.inference_mode()
    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        image = self._mix(torch.cat([reference[:, None], sources], 1)).clamp(0, 1)
        return Alignment(image, torch.ones_like(image[:, :1]))
