"""Metrics of homographies, flows and control points: analytic warps and values worked out by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from raylign.platform.evaluation.transforms import (
    end_point_error,
    flow_inside,
    homography_flow,
    homography_metrics,
    is_planar,
    point_errors,
)

TRUE = torch.tensor([[1.1, 0.02, 3.0], [0.01, 0.9, -2.0], [1e-4, 2e-4, 1.0]], dtype=torch.float64)


def shift(x: float, y: float) -> Tensor:
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[0, 2], matrix[1, 2] = x, y
    return matrix


def test_homography_errors() -> None:
    # Zero for any multiple; a pure (3, 4) shift has E2 = 5.
    for factor in (2.0, -0.3):
        assert homography_metrics(factor * TRUE, TRUE, (60, 80)) == pytest.approx(
            {"corner_error": 0, "e1": 0, "e2": 0}, abs=1e-9
        )
    found = homography_metrics(shift(3, 4), torch.eye(3), (60, 80))
    assert found == pytest.approx({"corner_error": 5, "e1": 5, "e2": 5})


def test_homography_errors_against_opencv_and_numpy() -> None:
    other = TRUE + torch.tensor([[0.02, -0.01, 2.0], [0.03, 0.01, 1.0], [1e-5, -2e-5, 0.0]])
    corners = np.array([[[0, 0], [79, 0], [0, 59], [79, 59]]], dtype=np.float64)
    moved = [cv2.perspectiveTransform(corners, matrix.numpy())[0] for matrix in (TRUE, other)]
    found = homography_metrics(other, TRUE, (60, 80))
    assert found["corner_error"] == pytest.approx(np.linalg.norm(moved[0] - moved[1], axis=1).mean(), abs=1e-9)
    a, b = (matrix.numpy() / np.cbrt(np.linalg.det(matrix.numpy())) for matrix in (TRUE, other))
    assert found["e1"] == pytest.approx(np.linalg.norm(a - b), abs=1e-9)


def test_a_singular_homography_has_no_e1() -> None:
    found = homography_metrics(torch.diag(torch.tensor([1.0, 0.0, 1.0])), torch.eye(3), (60, 80))
    assert set(found) == {"corner_error", "e2"}
    assert found["corner_error"] == pytest.approx(29.5)


def test_flow_of_a_homography_against_opencv() -> None:
    flow = homography_flow(TRUE, (60, 80)).numpy()
    pixels = np.stack(np.meshgrid(np.arange(80.0), np.arange(60.0)), axis=-1)
    theirs = cv2.perspectiveTransform(pixels, TRUE.numpy()) - pixels
    np.testing.assert_allclose(flow, theirs.transpose(2, 0, 1), atol=1e-4)
    inside = flow_inside(torch.from_numpy(flow), (40, 50)).numpy()
    x, y = (theirs + pixels).transpose(2, 0, 1)
    lands = (x >= 0) & (x <= 49) & (y >= 0) & (y <= 39)
    assert lands.any()
    assert not lands.all()
    np.testing.assert_array_equal(np.isfinite(inside), np.stack([lands, lands]))
    np.testing.assert_array_equal(inside[:, lands], flow[:, lands])


def test_end_point_error_where_the_truth_is_known() -> None:
    true = torch.zeros(2, 4, 5)
    found = torch.zeros(2, 4, 5)
    found[0], found[1] = 3, 4
    assert end_point_error(found, true) == pytest.approx(5)
    true[:, :2] = torch.nan
    found[:, 2] = 0
    assert end_point_error(found, true) == pytest.approx(2.5)
    for component in (0, 1):  # one that is unknown is enough
        half_known = true.clone()
        half_known[component] = torch.nan
        assert end_point_error(found, half_known) is None


def test_a_flow_that_is_a_homography_is_told_from_one_that_is_not() -> None:
    flow = homography_flow(TRUE, (60, 80))
    rounded = TRUE.float().double()
    assert is_planar(flow, rounded)
    bent = flow.clone()
    bent[0] += 0.5 * torch.sin(torch.arange(80) / 10)
    assert not is_planar(bent, rounded)
    # Beyond the horizon both are far outside, whatever the numbers.
    horizon = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1 / 40, 0, 1]], dtype=torch.float64)
    far = homography_flow(horizon, (60, 80))
    far[:, :, 41:] *= 2
    assert is_planar(far, horizon)


def control_points(moved: np.ndarray, points: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate([points, moved], axis=1))


def test_point_errors_of_a_homography_are_measured_in_the_reference() -> None:
    points = np.random.default_rng(0).uniform(0, 59, (10, 2))
    moved = cv2.perspectiveTransform(points[None], TRUE.numpy())[0]
    rows = control_points(moved, points)
    assert point_errors(rows, TRUE).numpy() == pytest.approx(0, abs=1e-9)
    # A zoom by 2: an error of (6, 8) pixels in the source is 5 pixels in the reference.
    zoom = torch.diag(torch.tensor([2.0, 2.0, 1.0], dtype=torch.float64))
    rows = control_points(2 * points + [6, 8], points)
    assert point_errors(rows, zoom).numpy() == pytest.approx(5)
    # Against OpenCV's inverse.
    other = TRUE + torch.tensor([[0.02, -0.01, 2.0], [0.03, 0.01, 1.0], [1e-5, -2e-5, 0.0]])
    back = cv2.perspectiveTransform(moved[None], np.linalg.inv(other.numpy()))[0]
    theirs = np.linalg.norm(back - points, axis=1)
    assert point_errors(control_points(moved, points), other).numpy() == pytest.approx(theirs, abs=1e-9)


def test_a_singular_homography_loses_all_points() -> None:
    rows = torch.ones(3, 4, dtype=torch.float64)
    assert bool(point_errors(rows, torch.zeros(3, 3)).isinf().all())


def warp(points: np.ndarray, scale: float) -> np.ndarray:
    """A smooth map that no homography is."""
    x, y = points[..., 0], points[..., 1]
    return scale * np.stack([x + 4 * np.sin(y / 20) + 3, y + 0.1 * x + 3 * np.cos(x / 25) - 2], axis=-1)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_a_flow_is_inverted_at_the_points(scale: float) -> None:
    pixels = np.stack(np.meshgrid(np.arange(100.0), np.arange(80.0)), axis=-1)
    flow = torch.from_numpy((warp(pixels, scale) - pixels).transpose(2, 0, 1)).float()
    points = np.random.default_rng(0).uniform([0, 0], [99, 79], (60, 2))
    points[:3] = [[0, 0], [99, 79], [98.7, 0.2]]
    errors = point_errors(control_points(warp(points, scale), points), flow)
    assert float(errors.max()) < 0.01
    # A true point 5 pixels beside it is 5 pixels of error, however far that is in the source.
    errors = point_errors(control_points(warp(points, scale), points + np.array([3, 4])), flow)
    assert errors.numpy() == pytest.approx(5, abs=0.01)


def test_a_point_where_no_pixel_lands_is_lost() -> None:
    flow = torch.zeros(2, 50, 60)
    rows = torch.tensor(
        [[20.0, 20, 20, 20], [61, 20, 60.5, 20], [70, 20, 70, 20], [20, 20, -40, 20]], dtype=torch.float64
    )
    # The second lies a little beside the picture: the flow goes on as it is there.
    assert point_errors(rows, flow).tolist() == pytest.approx([0, 0.5, np.inf, np.inf])
    # So it does at three times the size, where a little is more.
    flow = torch.from_numpy(2 * np.stack(np.meshgrid(np.arange(60.0), np.arange(50.0))))
    rows = torch.tensor([[60.2, 20, 180.6, 60], [66, 20, 198, 60]], dtype=torch.float64)
    assert point_errors(rows, flow).tolist() == pytest.approx([0, np.inf])


def test_a_flow_that_cannot_be_inverted_answers_with_its_nearest_pixel() -> None:
    # Everything lands on (30, 20) but one pixel, which lands on (10, 10).
    x, y = torch.meshgrid(torch.arange(60.0), torch.arange(50.0), indexing="xy")
    flow = torch.stack([30 - x, 20 - y])
    flow[:, 33, 44] = torch.tensor([10.0 - 44, 10.0 - 33])
    rows = torch.tensor([[44.0, 33, 10, 10.5], [0, 0, 30, 20]], dtype=torch.float64)
    assert point_errors(rows, flow).tolist() == [0, 0]
