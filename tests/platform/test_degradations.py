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


def test_training_degrades_the_share_it_is_told_to() -> None:
    from dataclasses import replace

    from raylign.platform.data.augment import ALL_DEGRADATIONS, AugmentOptions, change_inputs, draw_changes

    plain = AugmentOptions(brightness=0.0, colour=0.0)
    options = replace(plain, degradation=0.5)
    changes = draw_changes(200, 2, options, torch.Generator().manual_seed(3)).map(lambda each: each.flatten(0, 1))
    share = (changes.degradation >= 0).float().mean()
    assert 0.4 < share < 0.6
    assert set(changes.degradation.tolist()) == {-1, *range(len(ALL_DEGRADATIONS))}
    pictures = torch.rand(24, 3, 128, 128, generator=torch.Generator().manual_seed(4))
    few = changes.map(lambda each: each[:24])
    changed = change_inputs(pictures, few, options)
    untouched = (changed == pictures).flatten(1).all(1)
    assert (untouched == (few.degradation < 0)).all()
    assert (changed == change_inputs(pictures, few, options)).all()
    # Turning it on moves no other random number.
    without = draw_changes(200, 2, plain, torch.Generator().manual_seed(3)).map(lambda each: each.flatten(0, 1))
    assert (without.seed == changes.seed).all()
    assert (without.gain == changes.gain).all()
    assert (without.degradation == -1).all()
