"""How latents are covered with noise, and what a prediction of the denoiser says about the clean latent.

`x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e` with e from N(0, I) (Ho et al. 2020, Eq. 4); a_t falls with t. Timesteps are the
noise levels 0 to T - 1; in `Diffusion`, the timestep -1 stands for the clean end of a chain, where a is 1.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from ..errors import InputError
from .config import DmAlignerConfig


def noise_schedule(config: DmAlignerConfig) -> dict[str, Any]:
    """What all schedulers of diffusers need to know of the config."""
    return {
        "num_train_timesteps": config.train_steps,
        "beta_schedule": config.beta_schedule,
        "beta_start": config.beta_start,
        "beta_end": config.beta_end,
        "prediction_type": config.prediction,
    }


def timestep_grid(levels: int, steps: int) -> list[int]:
    """Evenly spaced noise levels, rising; the last is the noisiest, one more step below the first is the clean end.

    1000 levels in 50 steps give 19, 39, ... 999 ("trailing" of Lin et al. 2023, arXiv 2305.08891, Table 2).

    Raises:
        InputError: there are fewer levels than steps.
    """
    if steps > levels:
        raise InputError(f"steps must be at most {levels}, the noise levels there are, not {steps}")
    return [round(levels * step / steps) - 1 for step in range(1, steps + 1)]


class Diffusion:
    """The noise levels of a config, and what follows from them.

    Latents and noise are `(B, C, h, w)`, timesteps `(B,)` long, on one device.

    Attributes:
        scheduler: of diffusers, whose betas these are.
        alphas_cumprod: a_t `(T,)`, float64.
    """

    def __init__(self, config: DmAlignerConfig) -> None:
        self.config = config
        self.scheduler: Any = DDPMScheduler(**noise_schedule(config), clip_sample=False)
        self.alphas_cumprod = torch.cumprod(1 - self.scheduler.betas.double(), dim=0)
        # The index -1 finds the clean end.
        self._levels = torch.cat([self.alphas_cumprod, torch.ones_like(self.alphas_cumprod[:1])])

    def _level(self, timesteps: Tensor) -> Tensor:
        """a_t `(B,)`, float64."""
        # Moved once: a copy at each step would make a GPU wait.
        self._levels = self._levels.to(timesteps.device)
        return self._levels[timesteps]

    def _roots(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(a_t) and sqrt(1 - a_t), `(B, 1, 1, 1)`, float32."""
        level = self._level(timesteps)[:, None, None, None]
        return level.sqrt().float(), (1 - level).sqrt().float()

    def noisier(self, timesteps: Tensor) -> Tensor:
        """Timesteps as `timestep_power` distributes them, of such that are uniform over all levels."""
        levels = self.config.train_steps
        place = (timesteps.double() + 0.5) / levels
        return (levels * place ** (1 / self.config.timestep_power)).long().clamp_max(levels - 1)

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t. With the clean latent and the noise of a prediction it is the DDIM step to `timesteps`."""
        signal, spread = self._roots(timesteps)
        return signal * clean + spread * noise

    def clean_of(self, prediction: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """x_0 as the prediction has it, float32."""
        if self.config.prediction == "sample":
            return prediction.float()
        signal, spread = self._roots(timesteps)
        return (noisy - spread * prediction.float()) / signal

    def noise_of(self, prediction: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """The noise as the prediction has it, float32; the clean end has none that could be told."""
        if self.config.prediction == "epsilon":
            return prediction.float()
        signal, spread = self._roots(timesteps)
        return (noisy - signal * prediction.float()) / spread

    def target(self, clean: Tensor, noise: Tensor) -> Tensor:
        """What the denoiser shall say."""
        return clean if self.config.prediction == "sample" else noise

    def weights(self, timesteps: Tensor) -> Tensor:
        """Min-SNR weights of the loss `(B,)`, float32 (Hang et al. 2023, arXiv 2303.09556, section 3.4); 1 when off.

        `min(SNR, gamma)` where the clean latent is predicted, the same divided by SNR where the noise is;
        SNR = a_t / (1 - a_t).
        """
        if not self.config.min_snr:
            return torch.ones_like(timesteps, dtype=torch.float32)
        level = self._level(timesteps)
        ratio = level / (1 - level)
        limited = ratio.clamp(max=self.config.min_snr)
        return (limited if self.config.prediction == "sample" else limited / ratio).float()
