"""Noise levels of the chains, against NumPy and the schedulers of diffusers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raylign.methods.adm.chain import Chain
from raylign.methods.adm.config import AdmConfig
from raylign.methods.errors import InputError
from tests.methods.test_properties import repeatable

HOMOGRAPHY = (100, 1e-4, 0.1)
DISPLACEMENT = (500, 4e-6, 4e-2)
SHAPES = [(5, 8), (5, 2, 4, 6), (5,)]


def scheduler(kind: Any, steps: int, first: float, last: float, **options: Any) -> Any:
    options = {"beta_schedule": "linear", "clip_sample": False, **options}
    return kind(num_train_timesteps=steps, beta_start=first, beta_end=last, **options)


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def levels_of(chain: Chain) -> Tensor:
    last = len(chain) - 1
    return torch.tensor([0, 1, last // 2, last - 1, last])


@pytest.mark.parametrize(("numbers", "least", "tolerance"), [(HOMOGRAPHY, 0.0056, 5e-5), (DISPLACEMENT, 4e-5, 5e-6)])
def test_little_is_left_at_the_last_level(numbers: tuple[int, float, float], least: float, tolerance: float) -> None:
    chain = Chain.linear(*numbers)
    steps, first, last = numbers
    betas = first + (last - first) * np.arange(steps) / (steps - 1)
    np.testing.assert_allclose(chain.betas.numpy(), betas, rtol=1e-12)
    np.testing.assert_allclose(chain.alphas_cumprod.numpy(), np.cumprod(1 - betas), rtol=1e-12)
    assert abs(chain.alphas_cumprod[-1].item() - least) < tolerance
    assert chain.betas.dtype == chain.alphas_cumprod.dtype == torch.float64
    assert torch.equal(chain.timesteps, torch.arange(steps))
    assert len(chain) == steps


def test_the_numbers_are_those_of_the_configuration() -> None:
    config = AdmConfig()
    assert (config.homography_steps, *config.homography_betas) == HOMOGRAPHY
    assert (config.displacement_steps, *config.displacement_betas) == DISPLACEMENT


@pytest.mark.parametrize("numbers", [HOMOGRAPHY, DISPLACEMENT])
def test_noise_keeps_unit_variance(numbers: tuple[int, float, float]) -> None:
    chain = Chain.linear(*numbers)
    clean, noise = drawn((5, 40000), 0), drawn((5, 40000), 1)
    variances = chain.add_noise(clean, noise, levels_of(chain)).var(dim=1)
    # Five deviations of such a variance.
    torch.testing.assert_close(variances, torch.ones(5), rtol=0, atol=0.036)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("numbers", [HOMOGRAPHY, DISPLACEMENT])
def test_noise_is_added_as_diffusers_does_it(numbers: tuple[int, float, float], shape: tuple[int, ...]) -> None:
    chain = Chain.linear(*numbers)
    clean, noise, t = drawn(shape, 0), drawn(shape, 1), levels_of(chain)
    expected = scheduler(DDPMScheduler, *numbers).add_noise(clean, noise, t)
    torch.testing.assert_close(chain.add_noise(clean, noise, t), expected, rtol=1e-4, atol=1e-4)


@repeatable
@given(
    steps=st.integers(2, 60),
    betas=st.tuples(st.floats(1e-6, 0.1), st.floats(1e-6, 0.2)).map(sorted),
    batch=st.integers(1, 4),
    seed=st.integers(0, 999),
    data=st.data(),
)
def test_true_words_tell_the_truth(steps: int, betas: list[float], batch: int, seed: int, data: st.DataObject) -> None:
    chain = Chain.linear(steps, *betas)
    t = torch.tensor(data.draw(st.lists(st.integers(0, steps - 1), min_size=batch, max_size=batch)))
    clean, noise = drawn((batch, 8), seed).double(), drawn((batch, 8), seed + 1).double()
    noisy = chain.add_noise(clean, noise, t)
    torch.testing.assert_close(chain.clean_of(noise, noisy, t), clean)
    torch.testing.assert_close(chain.noise_of(clean, noisy, t), noise, rtol=1e-6, atol=1e-6)
    level = chain.alphas_cumprod[t][:, None]
    expected = -noise / (1 - level).sqrt()
    torch.testing.assert_close(chain.score_of(noise, t), expected)
    torch.testing.assert_close(chain.score_of_clean(clean, noisy, t), expected, rtol=1e-6, atol=1e-6)


def test_score_is_the_gradient_of_the_density() -> None:
    chain = Chain.linear(*HOMOGRAPHY)
    t = levels_of(chain)
    clean = drawn((5, 8), 0).double()
    noisy = chain.add_noise(clean, drawn((5, 8), 1).double(), t).requires_grad_()
    level = chain.alphas_cumprod[t][:, None]
    density = torch.distributions.Normal(level.sqrt() * clean, (1 - level).sqrt())
    (expected,) = torch.autograd.grad(density.log_prob(noisy).sum(), noisy)
    torch.testing.assert_close(chain.score_of_clean(clean, noisy, t), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_single_precision_suffices_at_the_least_noise(shape: tuple[int, ...]) -> None:
    chain = Chain.linear(*DISPLACEMENT)
    t = torch.zeros(5, dtype=torch.long)
    clean, noise = drawn(shape, 0), drawn(shape, 1)
    exact = chain.add_noise(clean.double(), noise.double(), t)
    assert (chain.add_noise(clean, noise, t) - exact).abs().max() < 1e-6
    torch.testing.assert_close(chain.score_of(noise, t).double(), chain.score_of(noise.double(), t), rtol=1e-6, atol=0)


@pytest.mark.parametrize("steps", [100, 25, 7, 1])
def test_reverse_steps_are_those_of_diffusers(steps: int) -> None:
    whole = Chain.linear(*HOMOGRAPHY)
    chain = whole.thinned(steps)
    kept = whole.alphas_cumprod.numpy()[chain.timesteps.numpy()]
    betas = 1 - kept / np.array([1, *kept[:-1]])
    theirs = DDPMScheduler(steps, trained_betas=betas.tolist(), variance_type="fixed_large", clip_sample=False)
    for place in {0, steps // 2, steps - 1}:
        noisy, said = drawn((3, 8), place), drawn((3, 8), place + 1)
        t = torch.full((3,), place)
        expected = theirs.step(said, place, noisy, generator=torch.Generator().manual_seed(7), return_dict=False)[0]
        found = chain.reverse_step(noisy, chain.score_of(said, t), t, drawn((3, 8), 7))
        torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-4)


def test_the_last_reverse_step_adds_no_noise() -> None:
    chain = Chain.linear(*HOMOGRAPHY)
    noisy, score, t = drawn((3, 8), 0), drawn((3, 8), 1), torch.tensor([0, 1, 99])
    quiet, loud = (chain.reverse_step(noisy, score, t, factor * drawn((3, 8), 2)) for factor in (0, 100))
    assert torch.equal(quiet[0], loud[0])
    deviations = (loud - quiet)[1:] / (100 * drawn((3, 8), 2)[1:])
    torch.testing.assert_close(deviations, chain.betas[[1, 99], None].sqrt().float().expand(2, 8), rtol=1e-3, atol=0)


@pytest.mark.parametrize("steps", [100, 20])
def test_ddim_steps_are_those_of_diffusers(steps: int) -> None:
    chain = Chain.linear(*HOMOGRAPHY).thinned(steps)
    theirs = scheduler(DDIMScheduler, *HOMOGRAPHY, prediction_type="sample", timestep_spacing="trailing")
    theirs.set_timesteps(steps)
    assert theirs.timesteps.tolist() == chain.timesteps.flip(0).tolist()
    for place in (0, steps // 2, steps - 1):
        noisy, said = drawn((3, 2, 4, 4), place), drawn((3, 2, 4, 4), place + 1)
        expected = theirs.step(said, int(chain.timesteps[place]), noisy, return_dict=False)[0]
        found = chain.ddim_step(noisy, said, torch.full((3,), place))
        torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("steps", [100, 13, 1])
def test_a_true_word_leads_to_the_truth_in_any_number_of_steps(steps: int) -> None:
    chain = Chain.linear(*HOMOGRAPHY).thinned(steps)
    clean, state = drawn((2, 8), 0), drawn((2, 8), 1)
    for place in reversed(range(steps)):
        state = chain.ddim_step(state, clean, torch.full((2,), place))
    assert torch.equal(state, clean)


@repeatable
@given(levels=st.integers(1, 120), data=st.data())
def test_a_thinned_chain_keeps_its_levels(levels: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, levels))
    chain = Chain.linear(levels, 1e-4, 0.1)
    thinned = chain.thinned(steps)
    kept = thinned.timesteps
    assert len(thinned) == len(kept) == steps
    assert kept[-1] == levels - 1
    gaps = np.diff([-1, *kept.tolist()])
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 2
    assert torch.equal(thinned.alphas_cumprod, chain.alphas_cumprod[kept])
    np.testing.assert_allclose(np.cumprod(1 - thinned.betas.numpy()), chain.alphas_cumprod[kept].numpy(), rtol=1e-9)


def test_all_levels_are_the_chain_itself_and_thinning_twice_tells_the_training_levels() -> None:
    chain = Chain.linear(*HOMOGRAPHY)
    same = chain.thinned(100)
    torch.testing.assert_close(same.betas, chain.betas, rtol=1e-9, atol=0)
    assert torch.equal(same.timesteps, chain.timesteps)
    assert chain.thinned(20).thinned(4).timesteps.tolist() == [24, 49, 74, 99]


@pytest.mark.parametrize("steps", [0, 101])
def test_a_chain_has_not_more_steps_than_levels(steps: int) -> None:
    with pytest.raises(InputError, match="steps must be at"):
        Chain.linear(*HOMOGRAPHY).thinned(steps)


@pytest.mark.parametrize(
    ("given_type", "result"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_types_and_gradients(given_type: torch.dtype, result: torch.dtype) -> None:
    chain = Chain.linear(*DISPLACEMENT)
    a, b, c = (drawn((1, 2, 3, 3), seed).to(given_type).requires_grad_() for seed in range(3))
    t = torch.tensor([250])
    for found, given_tensors in (
        (chain.add_noise(a, b, t), (a, b)),
        (chain.clean_of(a, b, t), (a, b)),
        (chain.noise_of(a, b, t), (a, b)),
        (chain.score_of(a, t), (a,)),
        (chain.score_of_clean(a, b, t), (a, b)),
        (chain.reverse_step(a, b, t, c), (a, b, c)),
        (chain.ddim_step(a, b, t), (a, b)),
    ):
        assert found.dtype == result
        assert found.shape == a.shape
        gradients = torch.autograd.grad(found.sum(), given_tensors)
        assert all(gradient.abs().min() > 0 for gradient in gradients)


def test_a_narrow_word_about_a_wide_state_is_wide() -> None:
    found = Chain.linear(*HOMOGRAPHY).clean_of(drawn((2, 8), 0).bfloat16(), drawn((2, 8), 1), torch.tensor([3, 50]))
    assert found.dtype == torch.float32


def test_chains_can_be_made_where_models_have_no_storage() -> None:
    with torch.device("meta"):
        chain = Chain.linear(*HOMOGRAPHY).thinned(10)
    assert chain.alphas_cumprod[-1] > 0
    assert chain.add_noise(drawn((1, 8), 0), drawn((1, 8), 1), torch.tensor([9])).isfinite().all()
