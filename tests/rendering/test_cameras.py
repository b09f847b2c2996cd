"""Geometry against independent oracles: OpenCV's four-point homography and the facts about SIDAR."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from raylign.rendering.cameras import (
    CameraSpec,
    homography,
    intrinsics,
    plane_corners,
    project,
    reference_camera,
    rotation,
    sidar_correction,
    world_to_camera,
)
from raylign.rendering.sidar.config import SidarConfig
from raylign.rendering.sidar.sampling import sample_cameras

SIZES = [(64, 64), (96, 64), (313, 211)]


def cameras(width: int, height: int, scenes: int = 10) -> list[list[CameraSpec]]:
    return [sample_cameras(SidarConfig(frames=4), 0, index, width / height) for index in range(scenes)]


def move(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return moved[:, :2] / moved[:, 2:]


def area_corners(width: int, height: int) -> np.ndarray:
    return np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_frame_0_is_exactly_filled(width: int, height: int) -> None:
    aspect = width / height
    corners = project(reference_camera(aspect), plane_corners(aspect), width, height)
    np.testing.assert_allclose(corners, area_corners(width, height), atol=1e-9)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_homographies_map_the_corners_of_frame_0_to_the_painting(width: int, height: int) -> None:
    aspect = width / height
    for scene in cameras(width, height):
        for camera in scene:
            matrix = homography(scene[0], camera, width, height)
            painted = project(camera, plane_corners(aspect), width, height)
            np.testing.assert_allclose(move(matrix, area_corners(width, height)), painted, atol=1e-6)
            assert np.linalg.det(matrix) == pytest.approx(1)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_homographies_agree_with_opencv(width: int, height: int) -> None:
    for scene in cameras(width, height):
        for camera in scene[1:]:
            painted = project(camera, plane_corners(width / height), width, height)
            solved = cv2.getPerspectiveTransform(
                area_corners(width, height).astype(np.float32), painted.astype(np.float32)
            )
            ours = homography(scene[0], camera, width, height)
            np.testing.assert_allclose(ours / ours[2, 2], solved / solved[2, 2], rtol=1e-3, atol=1e-4)


def test_homographies_compose() -> None:
    for scene in cameras(64, 64):
        composed = homography(scene[1], scene[2], 64, 64) @ homography(scene[0], scene[1], 64, 64)
        np.testing.assert_allclose(composed, homography(scene[0], scene[2], 64, 64), atol=1e-9)


def test_projection_agrees_with_opencv() -> None:
    points = np.random.default_rng(0).uniform(-3, 3, (50, 3)) * [1, 1, 0.5]
    for scene in cameras(96, 64):
        for camera in scene:
            outer = world_to_camera(camera)
            turn, _ = cv2.Rodrigues(outer[:, :3])
            theirs, _ = cv2.projectPoints(points, turn, outer[:, 3], intrinsics(camera, 96, 64), None)
            np.testing.assert_allclose(project(camera, points, 96, 64), theirs[:, 0], atol=1e-6)


def test_cameras_look_at_the_origin_by_the_smallest_rotation() -> None:
    for scene in cameras(64, 64):
        for camera in scene:
            turn = rotation(camera)
            np.testing.assert_allclose(turn.T @ turn, np.eye(3), atol=1e-12)
            direction = np.asarray(camera.position) / np.linalg.norm(camera.position)
            np.testing.assert_allclose(turn[:, 2], direction, atol=1e-12)
            # The angle of the rotation is the angle between the axes, so nothing is turned about the view itself.
            assert (np.trace(turn) - 1) / 2 == pytest.approx(direction[2])
            np.testing.assert_allclose(project(camera, [[0, 0, 0]], 64, 64), [[31.5, 31.5]], atol=1e-9)


def test_the_released_coordinates_are_corrected() -> None:
    points = np.array([[0.0, 0.0], [49.5, 49.5], [99.0, 99.0]])
    expected = [[-0.5, -0.5], [49.5, 49.5], [99.5, 99.5]]
    np.testing.assert_allclose(move(sidar_correction(100, 100), points), expected, atol=1e-12)


def test_the_released_homography_becomes_ours() -> None:
    """The released script's x = (W - 1) (u + 1) / 2 for the corners, solved for H and corrected by S, is our H."""
    width, height = 96, 64
    for scene in cameras(width, height):
        released = []
        for camera in (scene[0], scene[1]):
            pixels = project(camera, plane_corners(width / height), width, height)
            released.append((pixels + 0.5) / [width, height] * [width - 1, height - 1])
        theirs = cv2.getPerspectiveTransform(*(np.asarray(each, np.float32) for each in released))
        correction = sidar_correction(width, height)
        corrected = correction @ theirs @ np.linalg.inv(correction)
        ours = homography(scene[0], scene[1], width, height)
        corners = area_corners(width, height)
        np.testing.assert_allclose(move(corrected, corners), move(ours, corners), atol=0.01)
