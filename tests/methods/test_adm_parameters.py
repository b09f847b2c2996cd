"""Parameters of homographies, against OpenCV and kornia."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.geometry.conversions import normalize_homography
from torch import Tensor

from raylign.methods import geometry
from raylign.methods.adm.parameters import to_homography, to_matrix, to_parameters
from raylign.methods.errors import InputError
from tests.methods.test_properties import homographies, repeatable, seeds

sizes = st.tuples(st.integers(2, 700), st.integers(2, 700))


def drawn(batch: int, seed: int = 0, spread: float = 0.1) -> Tensor:
    return spread * torch.randn(batch, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@repeatable
@given(size=sizes, source_size=sizes, seed=seeds, batch=st.integers(1, 3))
def test_a_homography_comes_back_from_its_parameters(
    size: geometry.Size, source_size: geometry.Size, seed: int, batch: int
) -> None:
    homography = homographies(seed, size, batch)
    parameters = to_parameters(homography, size, source_size)
    assert parameters.shape == (batch, 8)
    assert parameters.dtype == torch.float64
    torch.testing.assert_close(to_homography(parameters, size, source_size), homography, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("size", "source_size"), [((64, 64), (64, 64)), ((48, 80), (33, 120))])
def test_matrix_is_that_of_kornia_and_opencv(size: geometry.Size, source_size: geometry.Size) -> None:
    homography = homographies(3, size, 2)
    found = to_matrix(to_parameters(homography, size, source_size))
    expected = normalize_homography(homography, size, source_size)
    torch.testing.assert_close(found, expected / expected[:, 2:, 2:], rtol=1e-5, atol=1e-5)
    points = torch.rand(1, 9, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 40
    normalised = geometry.normalise_points(points, size).numpy()
    for matrix, pixels in zip(found, homography, strict=True):
        there = geometry.denormalise_points(
            torch.from_numpy(cv2.perspectiveTransform(normalised, matrix.numpy())), source_size
        )
        np.testing.assert_allclose(there.numpy(), cv2.perspectiveTransform(points.numpy(), pixels.numpy()), atol=1e-9)


def test_parameters_are_the_residuals_in_reading_order() -> None:
    residuals = torch.arange(1.0, 9)[None] / 10
    expected = torch.tensor([[1.1, 0.2, 0.3], [0.4, 1.5, 0.6], [0.7, 0.8, 1.0]])
    torch.testing.assert_close(to_matrix(residuals)[0], expected)


@given(size=sizes)
@repeatable
def test_zero_is_the_identity(size: geometry.Size) -> None:
    zero = torch.zeros(1, 8)
    torch.testing.assert_close(to_homography(zero, size, size), torch.eye(3, dtype=torch.float64)[None])
    assert to_parameters(torch.eye(3)[None], size, size).abs().max() < 1e-12


@given(size=sizes, source_size=sizes)
@repeatable
def test_zero_maps_corners_onto_corners(size: geometry.Size, source_size: geometry.Size) -> None:
    homography = to_homography(torch.zeros(1, 8), size, source_size)
    moved = geometry.transform_points(homography, geometry.image_corners(size)[None])[0]
    torch.testing.assert_close(moved, geometry.image_corners(source_size), rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [-3.0, 0.01, 200.0])
def test_the_scale_of_a_homography_counts_nothing(scale: float) -> None:
    homography = homographies(1, (40, 60), 2)
    found = to_parameters(homography * scale, (40, 60), (50, 50))
    torch.testing.assert_close(found, to_parameters(homography, (40, 60), (50, 50)))


def test_parameters_do_not_depend_on_the_size_of_the_pictures() -> None:
    homography = homographies(2, (65, 97), 1)
    sizes_a, sizes_b = ((65, 97), (129, 193)), ((65, 97), (33, 49))
    larger = geometry.rescale_homography(homography, size_a=sizes_a, size_b=sizes_b, rule="align_corners")
    torch.testing.assert_close(to_parameters(larger, (129, 193), (33, 49)), to_parameters(homography, *sizes_a[:1] * 2))


def test_a_shift_by_half_the_picture_is_one() -> None:
    homography = torch.eye(3)[None].clone()
    homography[0, 0, 2] = 20  # of 40 pixels from the first to the last centre
    found = to_parameters(homography, (31, 41), (31, 41))
    torch.testing.assert_close(found, torch.tensor([[0, 0, 1.0, 0, 0, 0, 0, 0]], dtype=torch.float64))


def test_gradients_flow_both_ways() -> None:
    homography = homographies(0, (30, 50), 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: to_parameters(h, (30, 50), (40, 44)), (homography,))
    parameters = drawn(2).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: to_homography(p, (30, 50), (40, 44)), (parameters,))
    assert torch.autograd.gradcheck(to_matrix, (parameters,))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_matrix_keeps_its_type_and_pixels_are_double(dtype: torch.dtype) -> None:
    parameters = drawn(2).to(dtype)
    assert to_matrix(parameters).dtype == dtype
    assert to_homography(parameters, (9, 9), (9, 9)).dtype == torch.float64
    assert to_parameters(to_matrix(parameters), (9, 9), (9, 9)).dtype == torch.float64


def test_autocast_rounds_nothing() -> None:
    homography = homographies(0, (300, 500), 2)
    plain = to_parameters(homography, (300, 500), (300, 400))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(to_parameters(homography, (300, 500), (300, 400)), plain)
        back = to_homography(plain, (300, 500), (300, 400))
    assert torch.equal(back, to_homography(plain, (300, 500), (300, 400)))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(B, 3, 3\)"):
        to_parameters(torch.eye(3), (9, 9), (9, 9))
    with pytest.raises(InputError, match=r"\(B, 8\)"):
        to_matrix(torch.zeros(2, 9))
    with pytest.raises(InputError, match=r"\(B, 8\)"):
        to_homography(torch.zeros(8), (9, 9), (9, 9))
