"""Random numbers that a sample keeps, whatever batch it is in."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from raylign.methods.draws import MOST, Draws


def all_of(draws: Draws) -> list[torch.Tensor]:
    return [
        draws.normal(2, 3),
        draws.uniform(dtype=torch.float64),
        draws.integers(1, 7),
        draws.order(5),
        draws.normal(4, 2, dtype=torch.float64),
    ]


@given(st.lists(st.integers(0, MOST - 1), min_size=2, max_size=5), st.integers(0, 2**32))
def test_a_sample_keeps_its_numbers_in_any_batch(seeds: list[int], other: int) -> None:
    torch.manual_seed(other)
    whole = {"seed": torch.tensor(seeds), "reference": torch.zeros(len(seeds), 3, 4, 4)}
    wanted = all_of(Draws(whole))
    for rows in (slice(0, 1), slice(1, None)):
        for found, every in zip(
            all_of(Draws({name: value[rows] for name, value in whole.items()})), wanted, strict=True
        ):
            assert torch.equal(found, every[rows])


def test_the_numbers_are_spread_as_they_are_named() -> None:
    draws = Draws({"seed": torch.arange(4000), "reference": torch.zeros(4000)})
    normal, uniform, whole = draws.normal(8), draws.uniform(8), draws.integers(2, 5)
    assert normal.shape == uniform.shape == (4000, 8)
    assert abs(float(normal.mean())) < 0.02
    assert abs(float(normal.std()) - 1) < 0.02
    assert abs(float(uniform.mean()) - 0.5) < 0.01
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
    assert whole.unique().tolist() == [2, 3, 4]
    assert torch.equal(draws.order(6).sort(dim=1).values, torch.arange(6).expand(4000, 6))
    # Neighbouring seeds have nothing in common.
    assert abs(float((normal[1:] * normal[:-1]).mean())) < 0.02


def test_without_seeds_the_global_generator_decides() -> None:
    batch = {"reference": torch.zeros(3, 1)}
    torch.manual_seed(1)
    first, second = Draws(batch).normal(2), Draws(batch).normal(2)
    torch.manual_seed(1)
    assert torch.equal(Draws(batch).normal(2), first)
    assert not torch.equal(first, second)
