"""Sums over frames: weights, coverage, the running form, and how much of each pixel is whose."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import block_reduce
from torch import Tensor

from raylign.methods.diar.aggregation import UNCOVERED, RunningAggregation, aggregate, coverage_logits, shares
from tests.methods.diar_network import shots
from tests.methods.test_properties import repeatable


def values_and_logits(count: int, channels: int = 3, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    values = torch.randn(2, count, 3, 5, 6, generator=generator)
    return values, torch.randn(2, count, channels, 5, 6, generator=generator) * scale


def test_the_weighted_sum_is_that_of_scipys_softmax() -> None:
    values, logits = values_and_logits(7)
    features, weights = aggregate(values, logits)
    expected = scipy.special.softmax(logits.double().numpy(), axis=1)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    np.testing.assert_allclose(features, (expected * values.double().numpy()).sum(axis=1), atol=1e-6)


def test_weights_are_between_the_frames_and_sum_to_one() -> None:
    values, logits = values_and_logits(5, scale=4)
    features, weights = aggregate(values, logits)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, 3, 5, 6))
    assert (features <= values.amax(dim=1) + 1e-6).all()
    assert (features >= values.amin(dim=1) - 1e-6).all()


@pytest.mark.parametrize("constant", [0.0, 3.5])
@pytest.mark.parametrize("channels", [1, 3])
def test_constant_logits_give_the_mean(constant: float, channels: int) -> None:
    values, _ = values_and_logits(6)
    features, weights = aggregate(values, torch.full((2, 6, channels, 5, 6), constant))
    torch.testing.assert_close(features, values.mean(dim=1), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 6))


@pytest.mark.parametrize("size", [(8, 12), (9, 15), (1, 3), (4, 1)])
def test_a_cell_is_covered_if_all_its_pixels_are_known(size: tuple[int, int]) -> None:
    _, known = shots(0, 3, size)
    height, width = (-(-side // 4) * 4 for side in size)
    padded = np.pad(known[0, :, 0].numpy(), ((0, 0), (0, height - size[0]), (0, width - size[1])), mode="edge")
    expected = block_reduce(padded, (1, 4, 4), np.min)
    logits = coverage_logits(known)
    assert logits.shape == (1, 3, 1, height // 4, width // 4)
    np.testing.assert_array_equal(logits[0, :, 0] == 0, expected)
    np.testing.assert_array_equal(logits[0, :, 0] == UNCOVERED, ~expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_not_covered_does_not_count_unless_nothing_is(channels: int) -> None:
    values, logits = values_and_logits(4, channels)
    coverage = torch.zeros(2, 4, 1, 5, 6)
    coverage[:, [0, 2], :, :, :3] = UNCOVERED  # two of the frames on the left,
    coverage[:, :, :, 0] = UNCOVERED  # all of them in the first row
    features, weights = aggregate(values, logits + coverage)
    kept, kept_weights = aggregate(values[:, 1::2], logits[:, 1::2])
    everything, all_weights = aggregate(values, logits)
    torch.testing.assert_close(features[..., 1:, :3], kept[..., 1:, :3])
    torch.testing.assert_close(weights[:, 1::2, :, 1:, :3], kept_weights[..., 1:, :3])
    assert (weights[:, ::2, :, 1:, :3] == 0).all()
    torch.testing.assert_close(features[..., 1:, 3:], everything[..., 1:, 3:])
    # Beside a thousand, a logit keeps four digits.
    torch.testing.assert_close(weights[..., 0, :], all_weights[..., 0, :], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(features[..., 0, :], everything[..., 0, :], atol=1e-3, rtol=1e-3)


@repeatable
@given(
    count=st.integers(1, 7),
    step=st.integers(1, 7),
    channels=st.sampled_from([1, 3]),
    scale=st.sampled_from([0.0, 1.0, 100.0]),
    masked=st.booleans(),
)
def test_frame_after_frame_equals_all_at_once(count: int, step: int, channels: int, scale: float, masked: bool) -> None:
    values, logits = values_and_logits(count, channels, scale)
    if masked:
        hidden = torch.rand(2, count, 1, 5, 6, generator=torch.Generator().manual_seed(step)) < 0.4
        logits = logits + hidden * UNCOVERED
    features, weights = aggregate(values[:1], logits[:1])
    running = RunningAggregation()
    for several in range(0, count, step):
        running.add(values[0, several : several + step], logits[0, several : several + step])
    torch.testing.assert_close(running.features(), features[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(running.weights(logits[0]), weights[0], atol=1e-5, rtol=1e-4)


def test_running_sums_neither_overflow_nor_forget() -> None:
    running = RunningAggregation()
    for logit in (-500.0, 300.0, 299.0, -800.0):
        running.add(torch.full((1, 1, 1, 1), logit), torch.full((1, 1, 1, 1), logit))
    expected = (300 + 299 / np.e) / (1 + 1 / np.e)
    assert running.features().item() == pytest.approx(expected, rel=1e-6)


def test_shares_interpolate_between_the_centres_of_cells() -> None:
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 1, 2)  # two frames, two cells side by side
    found = shares(weights, None, (3, 7))
    # Centres lie at 1.5 and 5.5; beyond them the weight stays.
    expected = torch.tensor([1, 1, 0.875, 0.625, 0.375, 0.125, 0])
    torch.testing.assert_close(found[0, 0, 0], expected.expand(3, 7))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(1, 1, 3, 7))


@repeatable
@given(size=st.tuples(st.integers(1, 70), st.integers(1, 70)), count=st.integers(1, 7), seed=st.integers(0, 2**16))
def test_pixels_are_shared_among_those_who_know_them(size: tuple[int, int], count: int, seed: int) -> None:
    _, known = shots(seed, count, size)
    logits = torch.randn(1, count, 4, -(-size[0] // 4), -(-size[1] // 4)) * 20 + coverage_logits(known)
    _, weights = aggregate(torch.zeros(1, count, 1, 1, 1), logits)
    found = shares(weights.mean(dim=2, keepdim=True), known, size)
    assert found.shape == known.shape
    torch.testing.assert_close(found.sum(dim=1), torch.ones(1, 1, *size))
    nobody = ~known.any(dim=1, keepdim=True)
    assert (found[~(known | nobody)] == 0).all()
