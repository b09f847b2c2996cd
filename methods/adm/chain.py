"""The noise levels of a chain, and what a network's word means at each of them (source 004, Eqs. 4, 6 and 7).

`x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e` with e from N(0, I) and a_t the product of all 1 - beta up to t. Level t is an
index into the chain, from 0 to T - 1, the noisiest.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..dmaligner.diffusion import timestep_grid
from ..errors import InputError


class _Level(NamedTuple):
    """Numbers of the level of each sample, `(B, 1, ...)`."""

    beta: Tensor
    fresh: Tensor
    """Deviation of the new noise of a reverse step."""
    signal: Tensor
    """sqrt(a_t)"""
    spread: Tensor
    """sqrt(1 - a_t)"""
    signal_below: Tensor
    """sqrt(a_(t-1)), 1 below level 0"""
    spread_below: Tensor


class Chain:
    """Noise levels, all or some of those of a training.

    Of the arguments of the methods, what is `(B, ...)` has one shape and lies on one device with the levels `t (B,)`,
    long, each from 0 to T - 1. Results have the widest dtype of the arguments, at least float32. Gradients flow.

    Attributes:
        betas: variance of the noise that each level adds to the one below, `(T,)`, float64.
        alphas_cumprod: a_t, `(T,)`, float64.
        timesteps: the levels of the training that these are, which networks are told, `(T,)`, long.
    """

    def __init__(self, betas: Tensor, alphas_cumprod: Tensor, timesteps: Tensor) -> None:
        self.betas = betas
        self.alphas_cumprod = alphas_cumprod
        self.timesteps = timesteps
        below = _below(alphas_cumprod)
        fresh = betas.sqrt()
        fresh[0] = 0
        # In float64 up to here: 1 - a_t of the lowest levels is some 1e-6.
        self._table = torch.stack(
            [betas, fresh, alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt(), below.sqrt(), (1 - below).sqrt()]
        )

    @classmethod
    def linear(cls, steps: int, first_beta: float, last_beta: float) -> Chain:
        """All levels of a training, whose betas grow linearly.

        Args:
            steps: T, from 1 on.
            first_beta: of level 0, above 0.
            last_beta: of level T - 1, below 1.
        """
        # On the CPU whatever the default device is: models are built on the meta device before they are loaded.
        betas = torch.linspace(first_beta, last_beta, steps, dtype=torch.float64, device="cpu")
        return cls(betas, torch.cumprod(1 - betas, dim=0), torch.arange(steps, device="cpu"))

    def __len__(self) -> int:
        """T."""
        return len(self.betas)

    def thinned(self, steps: int) -> Chain:
        """The chain of some of these levels, spread evenly, the noisiest among them.

        Their a_t stay what they are; the betas follow from them (respacing of Nichol and Dhariwal 2021, section 4).

        Raises:
            InputError: `steps` is below 1 or more than there are levels.
        """
        if steps < 1:
            raise InputError(f"steps must be at least 1, not {steps}")
        kept = torch.tensor(timestep_grid(len(self), steps), device="cpu")
        alphas_cumprod = self.alphas_cumprod[kept]
        return Chain(1 - alphas_cumprod / _below(alphas_cumprod), alphas_cumprod, self.timesteps[kept])

    def add_noise(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t of `clean (B, ...)` and `noise (B, ...)` from N(0, I)."""
        at = self._at(t, clean, noise)
        return at.signal * clean + at.spread * noise

    def clean_of(self, noise_said: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
        """x_0, if the noise in `noisy (B, ...)` is what a network says."""
        at = self._at(t, noise_said, noisy)
        return (noisy - at.spread * noise_said) / at.signal

    def noise_of(self, clean_said: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
        """The noise in `noisy (B, ...)`, if x_0 is what a network says."""
        at = self._at(t, clean_said, noisy)
        return (noisy - at.signal * clean_said) / at.spread

    def score_of(self, noise_said: Tensor, t: Tensor) -> Tensor:
        """The score `-e / sqrt(1 - a_t)`, if e is what a network says (Eqs. 8 and 9)."""
        at = self._at(t, noise_said)
        return -noise_said / at.spread

    def score_of_clean(self, clean_said: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
        """The score `(sqrt(a_t) x_0 - x_t) / (1 - a_t)`, if x_0 is what a network says."""
        at = self._at(t, clean_said, noisy)
        return (at.signal * clean_said - noisy) / at.spread.square()

    def reverse_step(self, noisy: Tensor, score: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_(t-1) `= (x_t + beta_t s) / sqrt(1 - beta_t) + sqrt(beta_t) z` (Eqs. 4, 6 and 7).

        Args:
            noisy: x_t `(B, ...)`.
            score: s `(B, ...)`.
            t: `(B,)`; below level 0 is the clean end.
            noise: z `(B, ...)` from N(0, I); counts nothing at level 0.
        """
        at = self._at(t, noisy, score, noise)
        return (noisy + at.beta * score) / (1 - at.beta).sqrt() + at.fresh * noise

    def ddim_step(self, noisy: Tensor, clean_said: Tensor, t: Tensor) -> Tensor:
        """x_(t-1) without new noise (Song et al. 2021, Eq. 12 with sigma = 0).

        Args:
            noisy: x_t `(B, ...)`.
            clean_said: x_0 as a network has it; at level 0 the result itself.
            t: `(B,)`.
        """
        at = self._at(t, noisy, clean_said)
        return at.signal_below * clean_said + at.spread_below * self.noise_of(clean_said, noisy, t)

    def _at(self, t: Tensor, *values: Tensor) -> _Level:
        """The numbers of levels, of the shape and the type that fit to the values."""
        # Moved once: a copy at each step would make a GPU wait.
        self._table = self._table.to(t.device)
        dtype = torch.float32
        for value in values:
            dtype = torch.promote_types(dtype, value.dtype)
        numbers = self._table[:, t].to(dtype)
        return _Level(*numbers.reshape(*numbers.shape, *[1] * (values[0].dim() - 1)))


def _below(alphas_cumprod: Tensor) -> Tensor:
    """a_(t-1) of all levels `(T,)`: 1 below level 0."""
    return torch.cat([torch.ones_like(alphas_cumprod[:1]), alphas_cumprod[:-1]])
