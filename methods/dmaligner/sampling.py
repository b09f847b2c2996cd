"""From noise to a latent along the chain of noise levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor

from .config import DmAlignerConfig
from .diffusion import Diffusion, noise_schedule, timestep_grid

Predict = Callable[[Tensor, Tensor], Tensor]
"""What the denoiser says of noisy latents `(B, C, h, w)` at timesteps `(B,)`, of the same shape as the latents."""


def starting_noise(shape: tuple[int, int, int], seeds: Sequence[int], device: torch.device) -> Tensor:
    """Noise `(B, *shape)` from N(0, 1), float32: each item has its own seed and does not depend on its batch."""
    # Drawn on the CPU: a seed then means the same on all devices.
    items = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(items).to(device)


@torch.no_grad()
def sampled(
    predict: Predict, noise: Tensor, config: DmAlignerConfig, solver: Literal["ddim", "dpm"], steps: int
) -> Tensor:
    """The clean latent at the end of the chain that starts from `noise`.

    Any number of steps runs from the noisiest level to the clean end (`timestep_grid`); the last step gives the clean
    latent of the last prediction.

    Args:
        predict: the denoiser with its condition.
        noise: `(B, C, h, w)` from N(0, I).
        config: whose noise levels and kind of prediction hold.
        solver: DDIM without new noise (Song et al. 2021, Eq. 12), or DPM-Solver++ of second order (Lu et al. 2022,
            arXiv 2211.01095, Algorithm 2).
        steps: calls of `predict`.

    Returns:
        `(B, C, h, w)`, float32.

    Raises:
        InputError: there are fewer noise levels than steps.
    """
    levels = timestep_grid(config.train_steps, steps)
    scheduler = _ddim(config, levels) if solver == "ddim" else _dpm(config, levels)
    latents = noise.float()
    for place, level in zip(scheduler.timesteps.tolist(), reversed(levels), strict=True):
        timesteps = torch.full((len(latents),), level, device=latents.device)
        prediction = predict(latents, timesteps).float()
        latents = scheduler.step(prediction, place, latents, return_dict=False)[0]
    return latents


def _ddim(config: DmAlignerConfig, levels: list[int]) -> Any:
    """DDIM on a chain of its own that has only these levels.

    On the full chain the scheduler goes on by T // steps timesteps, which misses the levels, and the clean end, where
    T is no multiple of the steps.
    """
    kept = Diffusion(config).alphas_cumprod[levels]
    before = torch.cat([torch.ones_like(kept[:1]), kept[:-1]])
    scheduler = DDIMScheduler(
        num_train_timesteps=len(levels),
        trained_betas=(1 - kept / before).tolist(),
        prediction_type=config.prediction,
        clip_sample=False,
        set_alpha_to_one=True,
    )
    scheduler.set_timesteps(len(levels))
    return scheduler


def _dpm(config: DmAlignerConfig, levels: list[int]) -> Any:
    """DPM-Solver++ along these levels."""
    scheduler = DPMSolverMultistepScheduler(**noise_schedule(config), solver_order=2, final_sigmas_type="zero")
    scheduler.set_timesteps(timesteps=levels[::-1])
    return scheduler
