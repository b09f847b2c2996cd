"""Geometry against OpenCV, kornia and torch; then its own invariants."""

from __future__ import annotations

import cv2
import kornia.geometry.transform as kornia_transform
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from raylign.methods import geometry


def random_homography(seed: int, size: tuple[int, int], move: float = 12.0, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = geometry.image_corners(size).expand(batch, 4, 2)
    moved = corners + (torch.rand(batch, 4, 2, generator=generator, dtype=torch.float64) * 2 - 1) * move
    return geometry.homography_from_points(corners, moved)


def random_image(seed: int, size: tuple[int, int], batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, size[0] // 8 + 2, size[1] // 8 + 2, generator=generator)
    return F.interpolate(coarse, size, mode="bilinear", align_corners=False)


def test_pixel_grid_has_pixel_centres_at_integers() -> None:
    grid = geometry.pixel_grid((3, 5))
    assert grid.shape == (3, 5, 2)
    assert grid[2, 4].tolist() == [4.0, 2.0]


def test_corners_are_pixel_centres_in_reading_order() -> None:
    assert geometry.image_corners((3, 5)).tolist() == [[0, 0], [4, 0], [0, 2], [4, 2]]


def test_normalised_coordinates_are_those_of_grid_sample() -> None:
    points = torch.tensor([[0.0, 0.0], [4.0, 2.0], [2.0, 1.0]])
    assert geometry.normalise_points(points, (3, 5)).tolist() == [[-1, -1], [1, 1], [0, 0]]
    image = torch.arange(15.0).view(1, 1, 3, 5)
    assert geometry.sample(image, points.view(1, 1, 3, 2)).flatten().tolist() == [0, 14, 7]


def test_normalising_can_be_undone() -> None:
    points = torch.rand(7, 2, dtype=torch.float64) * 100
    back = geometry.denormalise_points(geometry.normalise_points(points, (31, 57)), (31, 57))
    assert torch.allclose(back, points, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_homography_from_points_agrees_with_opencv(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = (np.array([[0, 0], [511, 0], [0, 383], [511, 383]]) + rng.uniform(-60, 60, (4, 2))).astype(np.float32)
    b = (a + rng.uniform(-80, 80, (4, 2))).astype(np.float32)
    ours = geometry.homography_from_points(torch.from_numpy(a)[None], torch.from_numpy(b)[None])[0]
    np.testing.assert_allclose(ours.numpy(), cv2.getPerspectiveTransform(a, b), rtol=1e-6, atol=1e-9)


def test_gradients_flow_through_homography_from_points() -> None:
    a = geometry.image_corners((64, 96))[None].requires_grad_()
    b = (geometry.image_corners((64, 96))[None] + torch.tensor([[3.0, -2], [1, 5], [-4, 2], [2, 2]])).requires_grad_()
    assert torch.autograd.gradcheck(geometry.homography_from_points, (a, b), atol=1e-6)


def test_collinear_points_do_not_raise() -> None:
    a = torch.tensor([[[0.0, 0], [1, 1], [2, 2], [3, 3]]])
    assert not geometry.homography_from_points(a, a + 1).isfinite().all()


def test_fit_homography_agrees_with_opencv() -> None:
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, (1, 40, 2))
    homography = torch.tensor([[[0.9, 0.1, 0.05], [-0.08, 1.1, -0.1], [0.03, -0.05, 1.0]]], dtype=torch.float64)
    exact = geometry.transform_points(homography, torch.from_numpy(a))
    fitted = geometry.fit_homography(torch.from_numpy(a), exact, torch.ones(1, 40))
    assert torch.allclose(fitted, homography, atol=1e-9)
    noisy = exact + torch.from_numpy(rng.normal(0, 0.002, (1, 40, 2)))
    theirs, _ = cv2.findHomography(a[0], noisy[0].numpy(), 0)
    ours = geometry.fit_homography(torch.from_numpy(a), noisy, torch.ones(1, 40))
    np.testing.assert_allclose(ours[0].numpy(), theirs, atol=1e-3)


def test_fit_homography_ignores_points_without_weight() -> None:
    a = torch.rand(2, 9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    b, weights = a.clone(), torch.ones(2, 9)
    b[:, 3] += 1
    weights[:, 3] = 0
    assert torch.allclose(geometry.fit_homography(a, b, weights), torch.eye(3, dtype=torch.float64), atol=1e-9)


def test_transform_points_agrees_with_opencv() -> None:
    homography = random_homography(3, (100, 140))
    points = torch.rand(1, 20, 2, dtype=torch.float64) * 100
    theirs = cv2.perspectiveTransform(points.numpy(), homography[0].numpy())
    np.testing.assert_allclose(geometry.transform_points(homography, points).numpy(), theirs, atol=1e-9)


def test_inverse_undoes_the_homography() -> None:
    homography = random_homography(4, (100, 140), batch=3)
    points = torch.rand(3, 6, 5, 2, dtype=torch.float64) * 100
    there = geometry.transform_points(homography, points)
    back = geometry.transform_points(geometry.invert_homography(homography), there)
    assert torch.allclose(back, points, atol=1e-9)


def test_warp_agrees_with_opencv() -> None:
    # OpenCV rounds positions to 1/32 pixel; on a smooth picture that is worth a few thousandths.
    image, homography = random_image(0, (73, 110)), random_homography(5, (60, 95))
    ours, mask = geometry.warp_by_homography(image, homography, (60, 95))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    theirs = cv2.warpPerspective(image[0].permute(1, 2, 0).numpy(), homography[0].numpy(), (95, 60), flags=flags)
    inside = mask[0, 0].numpy() >= 0.999
    assert inside.mean() > 0.5
    np.testing.assert_allclose(ours[0].permute(1, 2, 0).numpy()[inside], theirs[inside], atol=5e-3)


def test_warp_agrees_with_kornia() -> None:
    image, homography = random_image(1, (64, 80), batch=2), random_homography(6, (64, 80), batch=2)
    ours, _ = geometry.warp_by_homography(image, homography, (64, 80))
    forward = geometry.invert_homography(homography).float()
    theirs = kornia_transform.warp_perspective(image, forward, (64, 80), align_corners=True)
    assert torch.allclose(ours, theirs, atol=2e-4)


def test_coverage_is_the_warp_of_ones() -> None:
    homography = random_homography(7, (50, 60), move=30)
    positions = geometry.homography_positions(homography, (50, 60))
    expected = geometry.sample(torch.ones(1, 1, 44, 71), positions)[:, 0]
    assert torch.allclose(geometry.coverage(positions, (44, 71)), expected, atol=1e-4)


def test_pixels_beyond_the_horizon_are_not_covered() -> None:
    # Third coordinate 1 - x / 50: the picture's right half lies behind the observer, and would be mirrored back.
    homography = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [-0.02, 0, 1]]], dtype=torch.float64)
    _, mask = geometry.warp_by_homography(torch.ones(1, 1, 100, 100), homography, (100, 100))
    assert mask[..., :30].max() == 1
    assert mask[..., 51:].max() == 0


@pytest.mark.parametrize("rule", ["area", "align_corners"])
def test_resize_rules_are_those_of_torch(rule: geometry.ResizeRule) -> None:
    # A picture whose values are its own x coordinates shows where each pixel of the resized one comes from.
    size, resized = (37, 53), (80, 111)
    ramp = geometry.pixel_grid(size).permute(2, 0, 1)[None]
    seen = F.interpolate(ramp, resized, mode="bilinear", align_corners=rule == "align_corners")[0, 0, 40, 10:100]
    back = torch.linalg.inv(geometry.resize_transform(size, resized, rule))[None]
    expected = geometry.transform_points(back, geometry.pixel_grid(resized)[None])[0, 40, 10:100, 0]
    assert torch.allclose(seen.double(), expected, atol=1e-4)


def test_area_rule_is_that_of_opencv() -> None:
    ramp = np.tile(np.arange(64, dtype=np.float32), (64, 1))
    small = cv2.resize(ramp, (16, 16), interpolation=cv2.INTER_AREA)
    transform = geometry.resize_transform((64, 64), (16, 16), "area")
    expected = geometry.transform_points(torch.linalg.inv(transform)[None], torch.tensor([[[5.0, 5.0]]]).double())
    assert small[5, 5] == pytest.approx(float(expected[0, 0, 0]))


@pytest.mark.parametrize("rule", ["area", "align_corners"])
def test_rescaled_homography_connects_the_resized_pictures(rule: geometry.ResizeRule) -> None:
    homography = random_homography(8, (100, 140))
    sizes_a, sizes_b = ((100, 140), (333, 217)), ((90, 120), (41, 60))
    rescaled = geometry.rescale_homography(homography, size_a=sizes_a, size_b=sizes_b, rule=rule)
    points = torch.rand(1, 9, 2, dtype=torch.float64) * 80
    to_a = geometry.resize_transform(*sizes_a, rule)[None]
    to_b = geometry.resize_transform(*sizes_b, rule)[None]
    one_way = geometry.transform_points(rescaled, geometry.transform_points(to_a, points))
    other_way = geometry.transform_points(to_b, geometry.transform_points(homography, points))
    assert torch.allclose(one_way, other_way, atol=1e-9)
    assert rescaled[0, 2, 2] == 1


def test_positions_keep_their_precision_at_8k() -> None:
    homography = random_homography(9, (4320, 7680), move=300)
    rows = torch.tensor([0, 2000, 4319])
    dense = geometry.homography_positions(homography, (4320, 7680))[:, rows]
    points = geometry.pixel_grid((4320, 7680))[rows][None].double()
    assert (dense - geometry.transform_points(homography, points)).abs().max() < 5e-3
