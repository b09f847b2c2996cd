"""The exponential moving average of a model's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Weights averaged over the steps, float32, on the device of the model.

    In the first steps the decay is (1 + n) / (10 + n), so that the weights of the start are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from the weights as they are; `decay` lies in (0, 1)."""
        self._parameters = list(model.parameters())
        self._decay = decay
        self._average: list[Tensor] = []
        self.restart(0)

    def restart(self, count: int) -> None:
        """Take the weights of the model as the average of `count` steps."""
        self.count = count
        self._average = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Count the weights of one more step."""
        self.count += 1
        decay = min(self._decay, (1 + self.count) / (10 + self.count))
        get_ema_multi_avg_fn(decay)(self._average, [each.detach() for each in self._parameters], self.count)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averaged weights inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def adopt(self) -> None:
        """Give the averaged weights to the model, at the end of a stage."""
        for parameter, average in zip(self._parameters, self._average, strict=True):
            parameter.copy_(average)

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self._parameters, self._average, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)
