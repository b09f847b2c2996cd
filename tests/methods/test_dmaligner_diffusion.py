"""Noise levels, what predictions say, and the weights of the loss."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch

from raylign.methods.dmaligner.config import DmAlignerConfig
from raylign.methods.dmaligner.diffusion import Diffusion, timestep_grid
from raylign.methods.errors import InputError

Prediction = Literal["sample", "epsilon"]


def latents(seed: int) -> torch.Tensor:
    return torch.randn(5, 4, 3, 6, generator=torch.Generator().manual_seed(seed))


TIMESTEPS = torch.tensor([0, 19, 400, 980, 999])


@pytest.mark.parametrize("schedule", ["scaled_linear", "linear"])
def test_noise_grows_as_the_schedule_says(schedule: Literal["scaled_linear", "linear"]) -> None:
    if schedule == "linear":
        betas = np.linspace(0.00085, 0.012, 1000)
    else:
        betas = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), 1000) ** 2
    expected = np.cumprod(1 - betas)
    found = Diffusion(DmAlignerConfig(beta_schedule=schedule)).alphas_cumprod
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_noise_is_added_as_diffusers_does_it() -> None:
    diffusion = Diffusion(DmAlignerConfig())
    clean, noise = latents(0), latents(1)
    expected = diffusion.scheduler.add_noise(clean, noise, TIMESTEPS)
    torch.testing.assert_close(diffusion.add_noise(clean, noise, TIMESTEPS), expected)


def test_below_the_least_noise_lies_the_clean_end() -> None:
    clean = latents(0)
    end = torch.full((5,), -1)
    assert torch.equal(Diffusion(DmAlignerConfig()).add_noise(clean, latents(1), end), clean)


@pytest.mark.parametrize("prediction", ["sample", "epsilon"])
def test_the_right_prediction_tells_the_clean_latent_and_the_noise(prediction: Prediction) -> None:
    diffusion = Diffusion(DmAlignerConfig(prediction=prediction))
    clean, noise = latents(0), latents(1)
    noisy = diffusion.add_noise(clean, noise, TIMESTEPS)
    said = diffusion.target(clean, noise)
    assert torch.equal(said, clean if prediction == "sample" else noise)
    torch.testing.assert_close(diffusion.clean_of(said, noisy, TIMESTEPS), clean, atol=1e-4, rtol=0)
    torch.testing.assert_close(diffusion.noise_of(said, noisy, TIMESTEPS), noise, atol=1e-4, rtol=0)


@pytest.mark.parametrize("prediction", ["sample", "epsilon"])
def test_any_prediction_accounts_for_what_is_seen(prediction: Prediction) -> None:
    noisy, said = latents(0), latents(1)
    diffusion = Diffusion(DmAlignerConfig(prediction=prediction))
    clean = diffusion.clean_of(said, noisy, TIMESTEPS)
    noise = diffusion.noise_of(said, noisy, TIMESTEPS)
    torch.testing.assert_close(diffusion.add_noise(clean, noise, TIMESTEPS), noisy, atol=1e-4, rtol=0)


@pytest.mark.parametrize("prediction", ["sample", "epsilon"])
def test_min_snr_weights_are_those_of_the_paper(prediction: Prediction) -> None:
    level = Diffusion(DmAlignerConfig()).alphas_cumprod[TIMESTEPS].numpy()
    ratio = level / (1 - level)
    # Both sides of the limit are there.
    assert ratio[0] > 5 > ratio[-1]
    expected = np.minimum(ratio, 5) if prediction == "sample" else np.minimum(1, 5 / ratio)
    found = Diffusion(DmAlignerConfig(prediction=prediction, min_snr=5)).weights(TIMESTEPS)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    assert Diffusion(DmAlignerConfig(prediction=prediction)).weights(TIMESTEPS).tolist() == [1, 1, 1, 1, 1]


def test_a_grid_rises_evenly_to_the_noisiest_level() -> None:
    assert timestep_grid(1000, 50) == list(range(19, 1000, 20))
    for levels in (4, 37, 1000):
        for steps in range(1, levels + 1):
            grid = timestep_grid(levels, steps)
            gaps = np.diff([-1, *grid])
            assert len(grid) == steps
            assert grid[-1] == levels - 1
            assert gaps.min() >= 1
            assert gaps.max() - gaps.min() <= 2


def test_more_steps_than_levels_are_refused() -> None:
    with pytest.raises(InputError, match="at most 40"):
        timestep_grid(40, 50)


def test_levels_are_uniform_or_noisier() -> None:
    levels = torch.arange(1000)
    assert torch.equal(Diffusion(DmAlignerConfig()).noisier(levels), levels)
    power = 3.0
    drawn = Diffusion(DmAlignerConfig(timestep_power=power)).noisier(levels)
    assert drawn.dtype == torch.long
    assert drawn.max() == 999
    # The share of levels below t is (t / T)^p.
    for level in (200, 500, 900):
        assert (drawn < level).double().mean().item() == pytest.approx((level / 1000) ** power, abs=0.002)
