"""Degradations of pictures: against their definitions and an independent filter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from raylign.methods.errors import InputError
from raylign.platform.data.degradations import BLUR, DEGRADATIONS, LIGHT, NOISE, STRENGTHS, degrade


def pictures(size: int = 128) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(3))


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_low_light_scales_all_values(strength: int) -> None:
    given = pictures()
    assert torch.equal(degrade(given, "low-light", strength, generator()), given * LIGHT[strength - 1])


@pytest.mark.parametrize("strength", STRENGTHS)
def test_noise_is_white_and_of_the_told_deviation(strength: int) -> None:
    given = torch.full((4, 3, 64, 64), 0.5)
    added = degrade(given, "noise", strength, generator()) - given
    assert added.mean().abs() < 0.002
    assert added.std() == pytest.approx(NOISE[strength - 1], rel=0.03)
    beside = (added[..., 1:] * added[..., :-1]).mean() / added.var()
    assert abs(beside) < 0.02


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("size", [128, 256])
def test_blur_is_a_gaussian_that_grows_with_the_picture(strength: int, size: int) -> None:
    given = pictures(size)
    sigma = BLUR[strength - 1] * size / 256
    expected = gaussian_filter(given.numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=3.0)
    found = degrade(given, "blur", strength, generator()).numpy()
    # The filters differ in where they are cut off.
    assert np.abs(found - expected).max() < 0.01


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_strength_rises_and_values_stay_in_range(kind: str) -> None:
    given = pictures()
    results = [degrade(given, kind, strength, generator()) for strength in STRENGTHS]
    distances = [float((each - given).square().mean()) for each in results]
    assert 0 < distances[0] < distances[1] < distances[2]
    for each in results:
        assert each.shape == given.shape
        assert each.min() >= 0
        assert each.max() <= 1


def test_the_same_generator_gives_the_same_picture() -> None:
    given = pictures()
    first, again = (degrade(given, "noise", 2, generator()) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, degrade(given, "noise", 2, generator(2)))


def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match="noise, blur, low-light"):
        degrade(pictures(), "rain", 1, generator())
    with pytest.raises(InputError, match="1, 2, 3"):
        degrade(pictures(), "blur", 4, generator())
