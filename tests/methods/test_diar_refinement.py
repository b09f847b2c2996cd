"""Homographies refined on the pictures themselves."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from raylign.methods import geometry
from raylign.methods.diar.local_light import without_light
from raylign.methods.diar.refinement import REACH, correlation, refine_homography
from raylign.methods.jnd import luma
from tests.methods.small import picture

SIZE = (160, 200)


def scene(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Reference, source under another light and behind a patch, true homography, and one that is some pixels off."""
    generator = torch.Generator().manual_seed(seed)
    plane = picture(seed, (260, 300))
    corners = geometry.image_corners(SIZE)
    place = geometry.homography_from_points(corners[None], corners[None] + 45)
    moved = corners + 12 * (torch.rand(4, 2, generator=generator, dtype=torch.float64) - 0.5)
    truth = geometry.homography_from_points(corners[None], moved[None])
    reference = geometry.warp_by_homography(plane, place, SIZE)[0][0]
    source = geometry.warp_by_homography(plane, place @ torch.linalg.inv(truth), SIZE)[0][0]
    light = torch.linspace(0.35, 1.0, SIZE[1]) * torch.linspace(1.0, 0.6, SIZE[0])[:, None]
    source = (source * light + 0.05).clone()
    source[:, 40:90, 60:120] = torch.tensor([0.9, 0.2, 0.1])[:, None, None]
    off = moved + 2.5 * torch.randn(4, 2, generator=generator, dtype=torch.float64)
    return reference, source, truth[0], geometry.homography_from_points(corners[None], off[None])[0]


def corner_error(found: torch.Tensor, truth: torch.Tensor) -> float:
    corners = geometry.image_corners(SIZE)[None]
    off = geometry.transform_points(found[None], corners) - geometry.transform_points(truth[None], corners)
    return float(off.norm(dim=-1).mean())


def ecc(reference: torch.Tensor, source: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    greys = [luma(each[None])[0, 0].numpy() for each in (reference, source)]
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-7)
    try:
        _, warp = cv2.findTransformECC(
            greys[0], greys[1], start.numpy().astype(np.float32), cv2.MOTION_HOMOGRAPHY, criteria, None, 5
        )
    except cv2.error:
        return start
    return torch.from_numpy(warp.astype(np.float64))


def test_closer_to_the_truth_than_opencvs_ecc_under_a_light_and_behind_a_patch() -> None:
    ours, theirs = [], []
    for seed in range(4):
        reference, source, truth, start = scene(seed)
        ours.append(corner_error(refine_homography(reference, source, start), truth))
        theirs.append(corner_error(ecc(reference, source, start), truth))
    assert max(ours) < 0.3
    assert np.mean(ours) < np.mean(theirs)


def test_equal_pictures_stay_where_they_are() -> None:
    image = picture(7, SIZE)[0]
    eye = torch.eye(3, dtype=torch.float64)
    assert corner_error(refine_homography(image, image, eye), eye) < 1e-3


def test_nothing_moves_far_and_textureless_or_unrelated_pictures_gain_nothing() -> None:
    eye = torch.eye(3, dtype=torch.float64)
    flat = torch.full((3, *SIZE), 0.5)
    assert torch.equal(refine_homography(flat, flat, eye), eye)
    a, b = picture(8, SIZE)[0], picture(9, SIZE)[0]
    assert corner_error(refine_homography(a, b, eye), eye) <= REACH * max(SIZE)
    assert correlation(flat, flat, eye) == 0
    assert correlation(a, b, refine_homography(a, b, eye)) < 0.3
    assert correlation(a, a * 0.5 + 0.2, eye) > 0.95


def test_a_source_of_another_size_that_covers_a_part_only() -> None:
    reference, source, truth, start = scene(5)
    part = source[:, 20:, 30:]
    crop = torch.eye(3, dtype=torch.float64)
    crop[0, 2], crop[1, 2] = -30, -20
    found = refine_homography(reference, part, crop @ start)
    assert corner_error(torch.linalg.inv(crop) @ found, truth) < 0.4


def test_relative_levels_are_those_of_numpy_and_blind_to_gain_and_bias() -> None:
    grey = luma(picture(3, (20, 30)))
    relative, deviation = without_light(grey, 5, 2.0)
    window = grey[0, 0, 8:13, 10:15].double().numpy()
    assert abs(float(deviation[0, 0, 10, 12]) - window.std()) < 1e-2
    expected = (window[2, 2] - window.mean()) / np.sqrt(window.var() + 4)
    assert abs(float(relative[0, 0, 10, 12]) - expected) < 1e-3
    brighter, _ = without_light(0.5 * grey + 40, 5, 1.0)
    assert torch.allclose(relative, brighter, atol=1e-2)
