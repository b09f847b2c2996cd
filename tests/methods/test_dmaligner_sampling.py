"""DDIM and DPM-Solver++ against the papers' formulas in float64."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from raylign.methods.dmaligner.config import DmAlignerConfig
from raylign.methods.dmaligner.sampling import sampled, starting_noise
from raylign.methods.errors import InputError

Prediction = Literal["sample", "epsilon"]
Solver = Literal["ddim", "dpm"]
CPU = torch.device("cpu")
STEPS = [1, 2, 7, 30, 49, 50, 333]


def noise(batch: int = 2) -> Tensor:
    return starting_noise((4, 3, 5), list(range(batch)), CPU)


def levels(steps: int) -> list[int]:
    """The noise levels of a chain of 1000, falling."""
    return [int(np.round(1000 * (steps - step) / steps)) - 1 for step in range(steps)]


def kept_signal(timestep: int) -> float:
    """The square of the signal's share, in float64; 1 at the end of the chain."""
    betas = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), 1000) ** 2
    return float(np.prod(1 - betas[: timestep + 1]))


def denoiser(noisy: Tensor, timesteps: Tensor) -> Tensor:
    """A smooth answer that depends on everything it is told."""
    return torch.tanh(0.7 * noisy + 0.2) + 0.3 * torch.cos(timesteps / 300)[:, None, None, None] * noisy


def both_of(prediction: Prediction, said: Tensor, noisy: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Clean latent and noise that a prediction means, in float64."""
    if prediction == "sample":
        return said, (noisy - level**0.5 * said) / (1 - level) ** 0.5
    return (noisy - (1 - level) ** 0.5 * said) / level**0.5, said


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("solver", ["ddim", "dpm"])
def test_who_always_says_the_truth_gets_it_back_exactly(solver: Solver, steps: int) -> None:
    truth = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(9))
    found = sampled(lambda noisy, timesteps: truth, noise(), DmAlignerConfig(), solver, steps)
    assert torch.equal(found, truth)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("solver", ["ddim", "dpm"])
def test_who_always_knows_the_noise_gets_the_truth(solver: Solver, steps: int) -> None:
    truth = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(9))

    def told(noisy: Tensor, timesteps: Tensor) -> Tensor:
        level = kept_signal(int(timesteps[0]))
        return both_of("sample", truth.double(), noisy.double(), level)[1]

    found = sampled(told, noise(), DmAlignerConfig(prediction="epsilon"), solver, steps)
    torch.testing.assert_close(found, truth, atol=2e-4, rtol=0)


@pytest.mark.parametrize("solver", ["ddim", "dpm"])
def test_fifty_steps_are_twenty_levels_apart_from_the_noisiest_on(solver: Solver) -> None:
    seen: list[int] = []

    def asked(noisy: Tensor, timesteps: Tensor) -> Tensor:
        assert timesteps.dtype == torch.long
        assert timesteps.shape == (2,)
        assert noisy.dtype == torch.float32
        seen.append(int(timesteps[0]))
        return noisy

    sampled(asked, noise(), DmAlignerConfig(), solver, 50)
    assert seen == list(range(999, 0, -20))


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("prediction", ["sample", "epsilon"])
def test_ddim_is_the_formula(prediction: Prediction, steps: int) -> None:
    latents = noise().double()
    chain = levels(steps)
    for place, below in zip(chain, [*chain[1:], -1], strict=True):
        said = denoiser(latents, torch.full((2,), place))
        clean, spread = both_of(prediction, said, latents, kept_signal(place))
        following = kept_signal(below)
        latents = following**0.5 * clean + (1 - following) ** 0.5 * spread
    found = sampled(denoiser, noise(), DmAlignerConfig(prediction=prediction), "ddim", steps)
    assert found.dtype == torch.float32
    assert (found - latents).abs().max() < 3e-4 * latents.abs().max()


@pytest.mark.parametrize("steps", [1, 2, 7, 20])
@pytest.mark.parametrize("prediction", ["sample", "epsilon"])
def test_dpm_is_algorithm_2_of_its_paper(prediction: Prediction, steps: int) -> None:
    latents = noise().double()
    chain = levels(steps)
    last, last_length = latents, 0.0
    for number, (place, below) in enumerate(zip(chain, [*chain[1:], -1], strict=True)):
        level = kept_signal(place)
        said = denoiser(latents, torch.full((2,), place))
        clean, _ = both_of(prediction, said, latents, level)
        if below < 0:
            latents = clean
            break
        following = kept_signal(below)
        length = 0.5 * math.log(following / (1 - following)) - 0.5 * math.log(level / (1 - level))
        ratio = last_length / length
        steered = clean if number == 0 else clean + (clean - last) / (2 * ratio)
        latents = ((1 - following) / (1 - level)) ** 0.5 * latents - following**0.5 * math.expm1(-length) * steered
        last, last_length = clean, length
    found = sampled(denoiser, noise(), DmAlignerConfig(prediction=prediction), "dpm", steps)
    assert (found - latents).abs().max() < 1e-3 * latents.abs().max()


def test_noise_of_an_item_does_not_depend_on_its_batch() -> None:
    both = starting_noise((4, 40, 60), [3, 8], CPU)
    assert torch.equal(both[1], starting_noise((4, 40, 60), [8], CPU)[0])
    assert abs(float((both[0] * both[1]).mean())) < 0.05
    assert abs(float(both.mean())) < 0.05
    assert abs(float(both.std()) - 1) < 0.05


def test_more_steps_than_noise_levels_are_refused() -> None:
    with pytest.raises(InputError, match="at most 40"):
        sampled(denoiser, noise(), DmAlignerConfig(train_steps=40), "ddim", 50)
