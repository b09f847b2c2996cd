"""Random numbers of a training step, drawn for each sample by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

MOST = 2**62
"""Seeds are smaller than this."""


class Draws:
    """Random numbers for the samples of a batch: each has a generator of its own, on the CPU.

    So a sample sees the same numbers whoever trains on it: with one worker or eight, a batch in one piece or in parts,
    on a CPU or a GPU.
    """

    def __init__(self, batch: dict[str, Tensor]) -> None:
        """Start the generators.

        Args:
            batch: with `seed (B,)`, whole numbers from 0 to 2^62; without it the seeds come from torch's global
                generator. The other tensors say the number of samples and the device.
        """
        other = next(value for name, value in batch.items() if name != "seed")
        self.device = other.device
        seeds = batch["seed"] if "seed" in batch else torch.randint(MOST, (len(other),))
        self._generators = [Generator().manual_seed(seed) for seed in seeds.tolist()]

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """From N(0, 1): `(B, *shape)`."""
        return self._drawn(lambda own: torch.randn(shape, generator=own, dtype=dtype))

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """From [0, 1): `(B, *shape)`."""
        return self._drawn(lambda own: torch.rand(shape, generator=own, dtype=dtype))

    def integers(self, low: int, high: int) -> Tensor:
        """Whole numbers from `low` to `high - 1`: `(B,)`."""
        return self._drawn(lambda own: torch.randint(low, high, (), generator=own))

    def order(self, count: int) -> Tensor:
        """The numbers from 0 to `count - 1` in an order of each sample's own: `(B, count)`."""
        return self._drawn(lambda own: torch.randperm(count, generator=own))

    def _drawn(self, draw: Callable[[Generator], Tensor]) -> Tensor:
        return torch.stack([draw(own) for own in self._generators]).to(self.device, non_blocking=True)
