"""One feature map of many: sums over frames, weighed by a softmax that leaves out what a frame does not cover.

All three aggregations are such a sum (arXiv 2310.11605, section 5). With the logits of the Swin blocks it is the
paper's weighted sum; with zeros it is the mean. Logits may have one channel for all, or one for each.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import Size
from .blocks import to_whole_cells
from .config import STRIDE

UNCOVERED = -1000.0
"""Added to the logits of a cell that a frame does not cover. It outweighs any logit, but, unlike minus infinity, has no
effect where it is added for all frames: there they all count, as if they covered the cell."""
LEAST_SHARE = 1e-12
"""Of a frame in a pixel that it knows, before the shares are scaled to a sum of 1; no pixel is then left to nobody."""


def coverage_logits(known: Tensor) -> Tensor:
    """`(B, T, 1, ceil(H / 4), ceil(W / 4))`, float32: 0 where a frame knows all pixels of a cell, else `UNCOVERED`.

    Args:
        known: bool `(B, T, 1, H, W)`.
    """
    pixels = to_whole_cells(known.flatten(0, 1).float())
    lacking = F.max_pool2d(1 - pixels, STRIDE)
    return lacking.unflatten(0, known.shape[:2]) * UNCOVERED


def aggregate(values: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The sum over frames of values, weighed by a softmax over the frames.

    Args:
        values: `(B, T, C, h, w)`.
        logits: `(B, T, C or 1, h, w)`.

    Returns:
        The sum `(B, C, h, w)` and the weights, shaped like the logits; both float32.
    """
    with torch.autocast(values.device.type, enabled=False):
        weights = logits.float().softmax(dim=1)
        return (weights * values).sum(dim=1), weights


class RunningAggregation:
    """`aggregate` of frames that come one after the other; what is kept does not grow with their number.

    The exponentials are taken relative to the largest logit so far, so that none overflows.
    """

    def __init__(self) -> None:
        self._largest = torch.tensor(-torch.inf)
        self._total = self._sum = torch.zeros(())

    def add(self, values: Tensor, logits: Tensor) -> None:
        """Take in some frames.

        Args:
            values: `(N, C, h, w)`.
            logits: `(N, C or 1, h, w)`.
        """
        with torch.autocast(values.device.type, enabled=False):
            logits = logits.float()
            largest = torch.maximum(self._largest.to(logits.device), logits.amax(dim=0))
            shrunk = (self._largest.to(logits.device) - largest).exp()
            parts = (logits - largest).exp()
            self._largest = largest
            self._total = self._total.to(logits.device) * shrunk + parts.sum(dim=0)
            self._sum = self._sum.to(logits.device) * shrunk + (parts * values).sum(dim=0)

    def features(self) -> Tensor:
        """The weighted sum of all frames so far, `(C, h, w)`, float32."""
        return self._sum / self._total

    def weights(self, logits: Tensor) -> Tensor:
        """What frames that were taken in with logits `(N, C or 1, h, w)` weigh by now; shaped like these."""
        return (logits - self._largest).exp() / self._total


def shares(weights: Tensor, known: Tensor | None, size: Size) -> Tensor:
    """How much of each pixel comes from each frame, `(B, T, 1, H, W)`; the sum over the frames is 1.

    Weights are interpolated linearly between the centres of cells. Pixels that a frame does not know take nothing from
    it, unless no frame knows them.

    Args:
        weights: of the frames, `(B, T, 1, ceil(H / 4), ceil(W / 4))`, whose sum over the frames is 1.
        known: bool `(B, T, 1, H, W)`; None for everything.
        size: H and W.
    """
    shape = weights.shape[:2]
    enlarged = F.interpolate(weights.flatten(0, 1), scale_factor=STRIDE, mode="bilinear", align_corners=False)
    spread = enlarged[..., : size[0], : size[1]].unflatten(0, shape)
    if known is None:
        return spread
    counted = spread.clamp_min(LEAST_SHARE) * (known | ~known.any(dim=1, keepdim=True))
    return counted / counted.sum(dim=1, keepdim=True)
