"""A student that goes from any noise level to the clean end in one step: latent consistency distillation.

Source: Song et al. 2023 (arXiv 2303.01469) and Luo et al. 2023 (arXiv 2310.04378), without guidance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..draws import Draws
from .config import DmAlignerConfig
from .diffusion import Diffusion, timestep_grid
from .sampling import Predict

TEACHER_STEPS = 50
"""Steps of the teacher's DDIM chain, whose levels the student learns."""
SIGMA_DATA = 0.5
"""Deviation of the data in the boundary scales (Luo et al. 2023, appendix)."""
TIME_SCALE = 10.0
"""Factor of the timesteps in the boundary scales (as above)."""
HUBER = 0.001
"""c of the pseudo-Huber distance (as above)."""
_WORD = 2**32
_MIXER = 0x45D9F3B


def boundary_scales(timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """c_skip and c_out `(B, 1, 1, 1)`, float32: 1 and 0 at the clean end, the timestep -1."""
    time = TIME_SCALE * (timesteps + 1).float()[:, None, None, None]
    variance = time.square() + SIGMA_DATA**2
    return SIGMA_DATA**2 / variance, time / variance.sqrt()


def derived_noise(noise: Tensor, step: int) -> Tensor:
    """New white noise from N(0, 1), float32, that `noise` and the number of the step decide value by value.

    A hash of the bits of each value. So it depends on no batch, and overlapping windows of one canvas of noise agree.

    Args:
        noise: of any shape, float32.
        step: from 1 on.
    """
    bits = noise.contiguous().view(torch.int32).long() % _WORD
    bits = (bits + step * 0x9E3779B9) % _WORD
    for _ in range(2):
        # The factor is below 2^31, so that no product exceeds 64 bits.
        bits = (bits ^ (bits >> 16)) * _MIXER % _WORD
    bits = bits ^ (bits >> 16)
    return torch.special.ndtri((bits.double() + 0.5) / _WORD).float()


@torch.no_grad()
def student_sampled(student: Predict, noise: Tensor, config: DmAlignerConfig, steps: int) -> Tensor:
    """The clean latent by multistep consistency sampling (Song et al. 2023, Algorithm 1).

    Args:
        student: with its condition.
        noise: `(B, C, h, w)` from N(0, I), float32. It also decides the noise of the later steps.
        config: whose noise levels and kind of prediction hold.
        steps: calls of the student.

    Returns:
        `(B, C, h, w)`, float32.

    Raises:
        InputError: there are fewer noise levels than steps.
    """
    diffusion = Diffusion(config)
    levels = timestep_grid(config.train_steps, _steps(config))
    chosen = [levels[place] for place in reversed(timestep_grid(len(levels), steps))]
    latents = noise
    for step, level in enumerate(chosen):
        timesteps = torch.full((len(noise),), level, device=noise.device)
        if step:
            latents = diffusion.add_noise(latents, derived_noise(noise, step), timesteps)
        latents = _clean(student, latents, timesteps, diffusion)
    return latents


def student_losses(
    student: Predict, teacher: Predict, clean: Tensor, diffusion: Diffusion, draws: Draws
) -> tuple[Tensor, Tensor]:
    """How far the student's answers at both ends of one DDIM step of the teacher differ, and how far from the truth.

    The level is drawn from the teacher's chain of `TEACHER_STEPS`. The answer at the less noisy end is the target and
    has no gradient; at the clean end it is the latent itself. Consistency alone also holds where all answers are the
    same, and a training of 400 steps drew nearly one brown blur for every pair (14 dB, the copy that it began with 24);
    so the distance to the true latent stands beside it, as in Kim et al. 2024 (arXiv 2310.02279).

    Args:
        student: with its condition.
        teacher: likewise; called without gradient.
        clean: latents `(B, C, h, w)`.
        diffusion: the noise levels.
        draws: gives each sample its level and its noise.

    Returns:
        `consistency` and `truth`, each `(B,)`, float32, mean pseudo-Huber distance `sqrt(d^2 + c^2) - c` of the values.
    """
    config, steps = diffusion.config, _steps(diffusion.config)
    place = draws.integers(1, steps + 1)
    # `timestep_grid` on the device: a copy from the host would make a GPU wait. Step 0 is the clean end.
    more, less = ((config.train_steps * step.double() / steps).round().long() - 1 for step in (place, place - 1))
    noisy = diffusion.add_noise(clean, draws.normal(*clean.shape[1:]), more)
    with torch.no_grad():
        said = teacher(noisy, more)
        stepped = diffusion.add_noise(
            diffusion.clean_of(said, noisy, more), diffusion.noise_of(said, noisy, more), less
        )
        target = _clean(student, stepped, less, diffusion)
    found = _clean(student, noisy, more, diffusion)
    return pseudo_huber(found - target), pseudo_huber(found - clean)


def pseudo_huber(gap: Tensor) -> Tensor:
    """Mean of `sqrt(d^2 + c^2) - c` over the values of each sample, `(B,)` of `(B, ...)`."""
    return ((gap.square() + HUBER**2).sqrt() - HUBER).flatten(1).mean(1)


def _steps(config: DmAlignerConfig) -> int:
    """Steps of the teacher's chain where there are that many noise levels."""
    return min(TEACHER_STEPS, config.train_steps)


def _clean(student: Predict, noisy: Tensor, timesteps: Tensor, diffusion: Diffusion) -> Tensor:
    """What the student takes for the clean latent; at the clean end, the timestep -1, the latent itself."""
    skip, out = boundary_scales(timesteps)
    # At the clean end the answer counts nothing, but the network knows no level -1.
    said = student(noisy, timesteps.clamp_min(0))
    return skip * noisy + out * diffusion.clean_of(said, noisy, timesteps)
