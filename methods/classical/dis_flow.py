"""Dense optical flow by inverse search: fast, local, for small motions."""

from __future__ import annotations

from typing import ClassVar, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .flow_aligner import FlowAligner

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
LEAST_SIDE = 32
"""OpenCV ends the process, or refuses, where a side of the picture is too short for its patches at its scales."""


class DisFlow(FlowAligner):
    """DIS optical flow (Kroeger et al. 2016) as OpenCV computes it, on grey levels.

    It starts from no motion at a coarse scale and finds what a local search finds: motions of more than about a tenth
    of the picture are beyond it.

    Args:
        preset: how thoroughly OpenCV searches.
        max_side: larger pictures are reduced to this length in pixels before the flow is sought.
    """

    name: ClassVar[str] = "dis-flow"

    def __init__(self, preset: Literal["ultrafast", "fast", "medium"] = "medium", max_side: int = 2048) -> None:
        super().__init__(max_side)
        self.preset = preset

    def flow(self, reference: Tensor, source: Tensor) -> Tensor:
        """See `FlowAligner.flow`."""
        flows = [self._of_pair(a, b) for a, b in zip(reference, source, strict=True)]
        return torch.stack(flows).to(reference.device)

    def _of_pair(self, reference: Tensor, source: Tensor) -> Tensor:
        height, width = reference.shape[-2:]
        padding = (0, max(0, LEAST_SIDE - width), 0, max(0, LEAST_SIDE - height))
        grey = []
        for picture in (reference, source):
            padded = F.pad(picture[None].float(), padding, mode="replicate")[0]
            levels = (padded.permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
            grey.append(cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY))
        # A new search each time: OpenCV's objects keep the last flow's buffers.
        search = cv2.DISOpticalFlow_create(PRESETS[self.preset])  # type: ignore[attr-defined]
        flow = search.calc(grey[0], grey[1], None)
        return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)))[:, :height, :width]
