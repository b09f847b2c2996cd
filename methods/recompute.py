"""Gradient checkpointing: activations are recomputed in the backward pass instead of kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute(module: nn.Module, value: Tensor) -> Tensor:
    """`module(value)`, of which only the input is kept for the backward pass.

    The second run leaves BatchNorm's statistics alone, so that they are what they are without it.
    """
    return checkpoint(module, value, use_reentrant=False, context_fn=lambda: (contextlib.nullcontext(), _still(module)))


@contextlib.contextmanager
def _still(module: nn.Module) -> Iterator[None]:
    """Keep the running statistics of a module's BatchNorm layers, which still normalise by those of the batch."""
    norms = [each for each in module.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    momenta = [each.momentum for each in norms]
    counts = [None if each.num_batches_tracked is None else each.num_batches_tracked.clone() for each in norms]
    try:
        for each in norms:
            each.momentum = 0.0
        yield
    finally:
        for each, momentum, count in zip(norms, momenta, counts, strict=True):
            each.momentum = momentum
            if count is not None and each.num_batches_tracked is not None:
                each.num_batches_tracked.copy_(count)
