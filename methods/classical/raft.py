"""Dense optical flow by a published network: recurrent updates from all pairs of features."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights, raft_large, raft_small

from ..aligner import Alignment
from ..weights import load_published
from .flow_aligner import FlowAligner

STRIDE = 8
"""RAFT's features lie on every eighth pixel; both sides must be multiples of it."""
LEAST_SIDE = 128
"""The coarsest of RAFT's four correlation scales needs two features per side."""


class Raft(FlowAligner, nn.Module):
    """RAFT (Teed and Deng 2020) as torchvision has it, with the weights that it publishes.

    The default weights are torchvision's `C_T_SKHT_V2` (large) and `C_T_V2` (small). The pictures are padded at the
    right and at the bottom by their last pixels to multiples of 8 and to 128 at least.

    Args:
        weights: file of the state dict, safetensors or torch's.
        pretrained: download torchvision's default weights instead.
        small: the small network.
        updates: of the flow; 32 as the paper takes on Sintel.
        max_side: larger pictures are reduced to this length in pixels; the memory for the correlation grows with its
            fourth power, to 1.4 GB for 1024 x 1024. It is the width of the Sintel pictures, the last it was trained on.

    Raises:
        MissingWeightsError: neither `weights` nor `pretrained` is given.
        InputError: the weights are not there or are not RAFT's.
    """

    name: ClassVar[str] = "raft"

    def __init__(
        self,
        weights: str | Path | None = None,
        pretrained: bool = False,
        small: bool = False,
        updates: int = 32,
        max_side: int = 1024,
    ) -> None:
        super().__init__(max_side)
        self.updates = updates
        self.network: nn.Module = raft_small() if small else raft_large()
        url: str = (Raft_Small_Weights if small else Raft_Large_Weights).DEFAULT.url
        load_published(self.network, self.name, weights=weights, pretrained=pretrained, url=url)
        self.requires_grad_(False)

    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        """See `FlowAligner.align`; on the device of the weights."""
        device = next(self.parameters()).device
        return super().align(reference.to(device), sources.to(device))

    def flow(self, reference: Tensor, source: Tensor) -> Tensor:
        """See `FlowAligner.flow`."""
        height, width = reference.shape[-2:]
        right, below = (max(LEAST_SIDE, -(-side // STRIDE) * STRIDE) - side for side in (width, height))
        pictures = [
            F.pad(picture.float() * 2 - 1, (0, right, 0, below), mode="replicate") for picture in (reference, source)
        ]
        flow: Tensor = self.network(*pictures, num_flow_updates=self.updates)[-1]
        return flow[..., :height, :width]
