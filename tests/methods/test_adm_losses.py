"""Losses and schedules, against NumPy, SciPy and OpenCV."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raylign.methods.adm.losses import (
    falling,
    grid_points,
    p_norm_distance,
    rising,
    smoothness,
    windowed_ncc,
)
from raylign.methods.adm.parameters import to_matrix
from raylign.methods.errors import InputError
from tests.methods.test_properties import repeatable, seeds

NORMS = (1.0, 1.5, 2.0, 3.0, 8.0)


def matrices(seed: int, batch: int = 2, spread: float = 0.05) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return to_matrix(spread * torch.randn(batch, 8, generator=generator, dtype=torch.float64))


def shift(x: float, y: float) -> Tensor:
    return torch.tensor([[[1, 0, x], [0, 1, y], [0, 0, 1]]], dtype=torch.float64)


def pictures(seed: int, size: tuple[int, int] = (12, 15), batch: int = 2) -> Tensor:
    return torch.rand(batch, 1, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_points_are_the_middles_of_the_cells() -> None:
    middles = [-0.75, -0.25, 0.25, 0.75]
    expected = [[x, y] for y in middles for x in middles]
    assert grid_points(4, None).tolist() == expected
    assert grid_points(4, None).dtype == torch.float64


@repeatable
@given(side=st.integers(1, 40), seed=seeds)
def test_points_move_within_their_cells(side: int, seed: int) -> None:
    jitter = torch.rand(side * side, 2, generator=torch.Generator().manual_seed(seed))
    points = grid_points(side, jitter)
    moved = (points - grid_points(side, None)).numpy()
    np.testing.assert_allclose(moved, (jitter.double().numpy() - 0.5) * 2 / side, atol=1e-12)
    assert points.abs().max() <= 1


def test_jitter_of_another_grid_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(16, 2\)"):
        grid_points(4, torch.zeros(4, 2))


@pytest.mark.parametrize("p", NORMS)
def test_distance_is_that_of_opencvs_points(p: float) -> None:
    first, second, points = matrices(0), matrices(1), grid_points(7, None)
    expected = []
    for a, b in zip(first.numpy(), second.numpy(), strict=True):
        moved = [cv2.perspectiveTransform(points.numpy()[None], matrix)[0] for matrix in (a, b)]
        expected.append(np.mean((np.abs(moved[0] - moved[1]) ** p).sum(axis=1)) ** (1 / p))
    np.testing.assert_allclose(p_norm_distance(first, second, points, p).numpy(), expected, rtol=1e-9)


def test_distance_of_a_shift_is_its_length() -> None:
    points = grid_points(32, None)
    same = torch.eye(3, dtype=torch.float64)[None]
    assert p_norm_distance(shift(0.3, -0.4), same, points).item() == pytest.approx(0.5)
    assert p_norm_distance(shift(0.3, -0.4), same, points, 1.0).item() == pytest.approx(0.7)


@repeatable
@given(seed=seeds, p=st.sampled_from(NORMS), scale=st.floats(0.01, 50) | st.floats(-50, -0.01))
def test_distance_is_a_metric_and_knows_no_scale(seed: int, p: float, scale: float) -> None:
    a, b, c = (matrices(seed + number) for number in range(3))
    points = grid_points(6, torch.rand(36, 2, generator=torch.Generator().manual_seed(seed)))
    assert torch.equal(p_norm_distance(a, a, points, p), torch.zeros(2, dtype=torch.float64))
    there = p_norm_distance(a, b, points, p)
    assert (there > 0).all()
    torch.testing.assert_close(p_norm_distance(b, a, points, p), there)
    torch.testing.assert_close(p_norm_distance(scale * a, b, points, p), there)
    around = p_norm_distance(a, c, points, p) + p_norm_distance(c, b, points, p)
    assert (there <= around * (1 + 1e-9)).all()


@pytest.mark.parametrize("p", NORMS)
def test_gradients_are_right_and_zero_where_nothing_differs(p: float) -> None:
    points = grid_points(4, None)
    first = matrices(0).requires_grad_()
    second = matrices(1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: p_norm_distance(a, b, points, p), (first, second))
    (gradient,) = torch.autograd.grad(p_norm_distance(first, first.detach().clone(), points, p).sum(), first)
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_points_beyond_the_horizon_stay_finite() -> None:
    points = grid_points(32, None)
    parameters = torch.zeros(3, 8, dtype=torch.float64)
    # Third coordinates at the right border: 0, -1 and -9.
    parameters[:, 6] = torch.tensor([-1.0, -2.0, -10.0])
    parameters.requires_grad_()
    found = p_norm_distance(to_matrix(parameters), torch.eye(3, dtype=torch.float64).expand(3, 3, 3), points)
    (gradient,) = torch.autograd.grad(found.sum(), parameters)
    # No point moves further than its numerator times twenty.
    assert (found < 20 * math.sqrt(2) + 2).all()
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 1 / 0.05**2
    # What is hidden by the bound must not hide what is seen.
    assert (gradient[:, :6].abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distance_under_autocast_is_exact(dtype: torch.dtype) -> None:
    first, second = matrices(0).to(dtype), matrices(1).to(dtype)
    points = grid_points(8, None).to(dtype)
    plain = p_norm_distance(first, second, points)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(p_norm_distance(first, second, points), plain)
    assert plain.dtype == dtype
    assert plain.shape == (2,)


def slow_ncc(first: np.ndarray, second: np.ndarray, mask: np.ndarray, window: int) -> float:
    """Of one picture, pixel by pixel: the squared weighted correlation times what the epsilon leaves of it."""
    half, total = window // 2, 0.0
    for row in range(first.shape[0]):
        for column in range(first.shape[1]):
            inside = np.s_[max(row - half, 0) : row + half + 1, max(column - half, 0) : column + half + 1]
            weights = mask[inside].ravel()
            if mask[row, column] == 0:
                continue
            covariance = np.cov(first[inside].ravel(), second[inside].ravel(), aweights=weights, ddof=0)
            covariance *= weights.sum()
            product = covariance[0, 0] * covariance[1, 1] + 1e-2
            total += mask[row, column] * covariance[0, 1] ** 2 / product
    return total / mask.sum()


@pytest.mark.parametrize("window", [3, 9])
@pytest.mark.parametrize("masked", [False, True])
def test_correlation_is_that_of_numpy(window: int, masked: bool) -> None:
    first = pictures(0)
    second = 0.5 * first + 0.5 * pictures(1)
    mask = pictures(2).clamp(0.4, 0.7) / 0.7 if masked else None
    if mask is not None:
        mask[:, :, :6, :4] = 0
    found = windowed_ncc(first, second, mask, window)
    weights = torch.ones_like(first) if mask is None else mask
    expected = [
        slow_ncc(*(each[item, 0].numpy() for each in (first, second, weights)), window=window) for item in range(2)
    ]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_correlation_of_equal_pictures_is_one_whatever_their_brightness() -> None:
    first = pictures(0, (40, 50)).float()
    for second in (first, 0.5 * first + 0.4, 1 - first):
        torch.testing.assert_close(windowed_ncc(first, second, None), torch.ones(2), rtol=0, atol=2e-3)
    assert (windowed_ncc(first, pictures(1, (40, 50)).float(), None) < 0.1).all()


def test_what_the_mask_hides_counts_nothing() -> None:
    first, second = pictures(0, (30, 30)), pictures(1, (30, 30))
    mask = torch.ones_like(first)
    mask[..., 20:] = 0
    expected = windowed_ncc(first[..., :20], second[..., :20], None)
    torch.testing.assert_close(windowed_ncc(first * mask, second * (2 * mask - 1), mask), expected)


def test_flat_pictures_and_empty_masks_are_zero() -> None:
    first, flat = pictures(0).float(), torch.full((2, 1, 12, 15), 0.9)
    assert windowed_ncc(first, flat, None).abs().max() < 1e-5
    assert windowed_ncc(flat, flat, None).abs().max() < 1e-5
    assert torch.equal(windowed_ncc(first, first, torch.zeros_like(first)), torch.zeros(2))


def test_correlation_has_gradients_for_pictures_only() -> None:
    first, second = pictures(0, (5, 6)).requires_grad_(), pictures(1, (5, 6)).requires_grad_()
    mask = pictures(2, (5, 6)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: windowed_ncc(a, b, mask.detach(), 3), (first, second))
    assert torch.autograd.grad(windowed_ncc(first, second, mask).sum(), mask, allow_unused=True) == (None,)
    flat = torch.zeros(1, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(windowed_ncc(flat, flat, None).sum(), flat)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("given_type", [torch.bfloat16, torch.float32])
def test_losses_of_maps_are_single_precision(given_type: torch.dtype) -> None:
    first = pictures(0, batch=1).to(given_type)
    assert windowed_ncc(first, first, first).dtype == torch.float32
    assert windowed_ncc(first, first, first).shape == (1,)
    assert smoothness(first.expand(1, 2, -1, -1)).dtype == torch.float32


def test_even_windows_are_refused() -> None:
    with pytest.raises(InputError, match="odd"):
        windowed_ncc(pictures(0), pictures(1), None, window=8)


def test_smoothness_is_the_mean_square_of_differences() -> None:
    field = torch.randn(3, 2, 7, 9, generator=torch.Generator().manual_seed(0))
    expected = [
        np.mean(np.concatenate([np.diff(each, axis=axis).ravel() ** 2 for axis in (1, 2)])) for each in field.numpy()
    ]
    np.testing.assert_allclose(smoothness(field).numpy(), expected, rtol=1e-5)
    assert torch.equal(smoothness(torch.full((1, 2, 4, 4), 3.0)), torch.zeros(1))
    wide = field[:1].double().requires_grad_()
    assert torch.autograd.gradcheck(smoothness, (wide,))


def test_a_ramp_is_as_rough_as_it_is_steep() -> None:
    ramp = 3.0 * torch.arange(8.0).expand(1, 1, 8, 8)
    # Half of all differences, those along x, are 3 in one of the two channels.
    field = torch.cat([ramp, torch.zeros_like(ramp)], dim=1)
    assert smoothness(field).item() == pytest.approx(9 / 4)


def test_schedules_rise_and_fall_quadratically() -> None:
    t = torch.tensor([0, 25, 50, 100])
    assert rising(t, 100).tolist() == pytest.approx([1, 0.5625, 0.25, 0])
    assert falling(t, 100).tolist() == pytest.approx([0, 0.0625, 0.25, 1])
    torch.testing.assert_close(rising(t, 100), falling(100 - t, 100))
    assert rising(t, 100).dtype == torch.float32
