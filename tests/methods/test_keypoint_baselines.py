"""SIFT, ORB, ASIFT and SIFT with ECC: known homographies, made by OpenCV, and no answer where there is none."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from raylign.methods import load
from raylign.methods.classical.affine_sift import CELL, AffineSift
from raylign.methods.classical.keypoints import KeypointAligner, agree
from raylign.methods.classical.orb import Orb, from_pyramid
from raylign.methods.classical.planar import PlanarAligner
from raylign.methods.classical.sift import Sift
from raylign.methods.classical.sift_ecc import SiftEcc
from tests.datasets import homography as random_homography
from tests.methods.test_classical import sharp_picture

NAMES = ["sift", "orb", "affine-sift", "sift-ecc"]
MATCHING: list[type[KeypointAligner]] = [Sift, Orb, AffineSift]
Array = NDArray[Any]


def small(name: str) -> PlanarAligner:
    """A baseline; the slow one with few keypoints."""
    aligner = AffineSift(features=120) if name == "affine-sift" else load(name)
    assert isinstance(aligner, PlanarAligner)
    return aligner


def tensor(picture: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float()


def sharp(seed: int, size: tuple[int, int]) -> Array:
    return sharp_picture(seed, size)[0].permute(1, 2, 0).numpy()


def smooth(seed: int, size: int) -> Array:
    """Blobs of several sizes without any edge."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((size, size, 3), np.float32)
    for side, weight in ((60, 1.0), (25, 0.7), (12, 0.6), (6, 0.4)):
        noise = rng.random((size // side + 1, size // side + 1, 3), dtype=np.float32)
        picture += weight * cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    return (picture - picture.min()) / (picture.max() - picture.min())


def seen(source: Array, true: Array, size: tuple[int, int]) -> Array:
    """What the reference shows if `true` leads from it into the source; OpenCV's warp."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.clip(cv2.warpPerspective(source, true, size[::-1], flags=flags), 0, 1)


def corner_error(found: Tensor, true: Array, size: tuple[int, int]) -> float:
    """Mean distance in source pixels of the moved corners of the reference."""
    height, width = size
    corners = np.array([[[0, 0]], [[width - 1, 0]], [[0, height - 1]], [[width - 1, height - 1]]], np.float64)
    moved = [cv2.perspectiveTransform(corners, each) for each in (found.numpy(), true)]
    return float(np.linalg.norm(moved[0] - moved[1], axis=-1).mean())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("name", "bound"), [("sift", 0.4), ("orb", 2.5), ("affine-sift", 0.6), ("sift-ecc", 0.2)])
def test_a_random_homography_is_recovered(name: str, bound: float, seed: int) -> None:
    true = random_homography(np.random.default_rng(seed), 200, 25.0)
    source, size = sharp(seed, (200, 200)), (190, 170)
    found, confidence = small(name).estimate(tensor(seen(source, true, size)), tensor(source))
    assert corner_error(found, true, size) < bound
    assert confidence > 0.5
    assert found.dtype == torch.float64
    assert float(found[2, 2]) == 1


@pytest.mark.parametrize("name", NAMES)
def test_reduced_pictures_of_unequal_size(name: str) -> None:
    """A source of three times the size, both larger than `max_side`."""
    source, size = sharp(3, (480, 560)), (160, 180)
    true = np.array([[3.0, 0.1, 4.0], [-0.08, 2.9, 6.0], [1e-5, -2e-5, 1.0]])
    blurred = cv2.GaussianBlur(source, (0, 0), 1.2)
    aligner = small(name)
    for part in (aligner, getattr(aligner, "sift", aligner)):
        part.max_side = 150  # type: ignore[attr-defined]
    found, confidence = aligner.estimate(tensor(seen(blurred, true, size)), tensor(source))
    assert confidence > 0.5
    assert corner_error(found, true, size) < 8.0  # two pixels of the reduced source


def test_sift_is_opencv_step_by_step() -> None:
    """The same calls, one after the other, give the same numbers to the last bit."""
    source, size = sharp(5, (180, 220)), (170, 200)
    true = random_homography(np.random.default_rng(5), 180, 15.0)
    detector = cv2.SIFT_create(nfeatures=4000, enable_precise_upscale=True)
    points, descriptors = [], []
    for picture in (seen(source, true, size), source):
        grey = cv2.cvtColor((picture.astype(np.float32) * 255).round().astype(np.uint8), cv2.COLOR_RGB2GRAY)
        found, described = detector.detectAndCompute(grey, None)
        points.append(np.array([each.pt for each in found], np.float32))
        descriptors.append(np.sqrt(described / described.sum(1, keepdims=True)))
    nearest = cv2.BFMatcher(cv2.NORM_L2).knnMatch(*descriptors, k=2)
    good = [a for a, b in nearest if a.distance < 0.8 * b.distance]
    pairs = points[0][[each.queryIdx for each in good]], points[1][[each.trainIdx for each in good]]
    expected, mask = cv2.findHomography(*pairs, cv2.USAC_MAGSAC, 3.0, maxIters=10_000, confidence=0.9999)
    matches = Sift().matches(tensor(seen(source, true, size)), tensor(source))
    assert matches.homography is not None
    assert np.array_equal(matches.homography.numpy(), expected)
    assert np.array_equal(matches.inliers, mask[:, 0] > 0)
    assert np.array_equal(matches.reference, pairs[0])
    assert np.array_equal(matches.source, pairs[1])
    strength = mask.sum() / (8 + 0.3 * len(good))
    assert matches.confidence == pytest.approx(strength**2 / (1 + strength**2))


@pytest.mark.parametrize("method", MATCHING)
def test_matches_lie_in_pixels_of_the_full_pictures(method: type[KeypointAligner]) -> None:
    true = np.array([[1.02, 0.06, 5.0], [-0.05, 0.97, 8.0], [1e-5, -2e-5, 1.0]])
    source, size = sharp(7, (300, 360)), (280, 330)
    aligner = method(max_side=200, features=80 if method is AffineSift else 1000)
    found = aligner.matches(tensor(seen(source, true, size)), tensor(source))
    assert found.reference.dtype == found.source.dtype == np.float64
    assert found.reference.shape == found.source.shape == (len(found.inliers), 2)
    assert found.inliers.dtype == np.bool_
    assert 8 <= found.inliers.sum() <= len(found.inliers)
    moved = cv2.perspectiveTransform(found.reference[found.inliers][:, None], true)[:, 0]
    distance = np.linalg.norm(moved - found.source[found.inliers], axis=1)
    assert np.median(distance) < 2.0
    # A systematic shift, as of pixels counted from their corners, would show in the mean.
    assert np.abs((moved - found.source[found.inliers]).mean(0)).max() < 0.5


def test_affine_sift_sees_what_sift_does_not_under_a_strong_tilt() -> None:
    """A plane turned by 70 degrees: foreshortened to a third."""
    height, width = size = (160, 220)
    focal, angle, turn = 4.0 * width, np.deg2rad(70), np.deg2rad(20)
    lens = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    tilt = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    spin = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    frontal, tilted = (lens @ np.column_stack([*each[:, :2].T, [0, 0, focal]]) for each in (np.eye(3), tilt @ spin))
    true = frontal @ np.linalg.inv(tilted)
    true /= true[2, 2]
    source = sharp(0, size)
    # Four times the resolution first, so that the narrow picture is not aliased.
    finer = np.array([[0.25, 0, -0.375], [0, 0.25, -0.375], [0, 0, 1]])
    large = seen(source, true @ finer, (4 * height, 4 * width))
    reference = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
    back = np.linalg.inv(true)
    errors = {}
    for aligner in (Sift(), AffineSift(features=150)):
        found = aligner.matches(tensor(reference), tensor(source))
        errors[aligner.name] = np.inf
        if found.homography is not None:
            errors[aligner.name] = corner_error(torch.linalg.inv(found.homography), back, size)
    assert errors["affine-sift"] < 1.0
    assert errors["sift"] > 10.0


@pytest.mark.parametrize(("method", "features"), [(Sift, 4000), (Orb, 4000), (AffineSift, 150)])
def test_a_picture_upside_down_shows_no_shift(method: type[KeypointAligner], features: int) -> None:
    """Points that are counted from anywhere but the centre of the top-left pixel move apart under half a turn."""
    source = sharp(4, (240, 321))
    found = method(features=features).matches(tensor(source[::-1, ::-1]), tensor(source))
    off = found.source - (np.array([320, 239]) - found.reference)
    near = np.linalg.norm(off, axis=1) < 5
    assert near.sum() > 100
    assert np.abs(off[near].mean(0)).max() < 0.1


def test_orb_finds_its_way_up_the_pyramid() -> None:
    """The levels are made by OpenCV's resize, of the size that it rounds to in float32 (645 / 1.2 to 538)."""
    size, level = (480, 645), (400, 538)
    told = np.array([[30.0, 50.0], [536.0, 398.0]], np.float32)
    found = from_pyramid(told * np.float32(1.2), np.array([1, 1]), size)
    ramp = np.broadcast_to(np.arange(645, dtype=np.float32), size)
    seen = cv2.resize(ramp, level[::-1], interpolation=cv2.INTER_LINEAR)
    assert found[:, 0] == pytest.approx([seen[50, 30], seen[398, 536]], abs=0.01)
    assert found[:, 1] == pytest.approx((told[:, 1] + 0.5) * 1.2 - 0.5, abs=0.01)
    assert np.array_equal(from_pyramid(told, np.array([0, 0]), size), told)


def test_affine_sift_gives_a_pair_of_places_once() -> None:
    source = sharp(2, (100, 120))
    found = AffineSift(features=60).matches(tensor(source), tensor(source))
    places = np.floor(np.concatenate([found.reference, found.source], axis=1) / CELL)
    assert len(places) > 50
    assert len(np.unique(places, axis=0)) == len(places)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ecc_is_finer_than_sift_on_smooth_pictures(seed: int) -> None:
    """Also under another light and noise, which ECC's correlation does not mind."""
    true = random_homography(np.random.default_rng(seed), 256, 12.0)
    source, size = smooth(seed, 256), (256, 256)
    noise = np.random.default_rng(seed).normal(0, 0.01, source.shape)
    reference = np.clip(0.7 * seen(source, true, size) + 0.1 + noise, 0, 1)
    coarse, confidence = Sift().estimate(tensor(reference), tensor(source))
    fine, fine_confidence = SiftEcc().estimate(tensor(reference), tensor(source))
    assert fine_confidence == confidence > 0
    assert corner_error(fine, true, size) < 0.2
    assert corner_error(fine, true, size) < 0.5 * corner_error(coarse, true, size)


class Start(Sift):
    """Gives the answer of SIFT that a test wants."""

    def __init__(self, homography: Tensor, confidence: float) -> None:
        super().__init__()
        self.answer = homography, confidence

    def estimate(self, reference: Tensor, source: Tensor) -> tuple[Tensor, float]:
        return self.answer


def started(start: Array, confidence: float = 0.7) -> SiftEcc:
    aligner = SiftEcc()
    aligner.sift = Start(torch.from_numpy(start), confidence)
    return aligner


SHIFT = np.array([[1.0, 0, 1.5], [0, 1.0, -1.0], [0, 0, 1.0]])


def test_ecc_starts_at_the_homography_of_sift() -> None:
    source = smooth(0, 128)
    near = SHIFT + np.array([[0, 0, 0.8], [0, 0, -0.6], [0, 0, 0]])
    found, confidence = started(near).estimate(tensor(seen(source, SHIFT, (128, 128))), tensor(source))
    assert confidence == 0.7
    assert corner_error(torch.from_numpy(near), SHIFT, (128, 128)) == pytest.approx(1.0)
    assert corner_error(found, SHIFT, (128, 128)) < 0.3


@pytest.mark.parametrize("case", ["no convergence", "no confidence", "no overlap", "flat"])
def test_ecc_leaves_the_result_of_sift(case: str) -> None:
    source = smooth(0, 128)
    reference, start, confidence = seen(source, SHIFT, (128, 128)), np.eye(3), 0.7
    if case == "no convergence":
        reference = 1 - reference  # the correlation is negative
    elif case == "no confidence":
        confidence = 0.0
    elif case == "no overlap":
        start = np.array([[1.0, 0, 500.0], [0, 1.0, 0], [0, 0, 1.0]])
    else:
        reference = np.full_like(reference, 0.5)
    found, kept = started(start, confidence).estimate(tensor(reference), tensor(source))
    assert np.array_equal(found.numpy(), start)
    assert kept == confidence


@pytest.mark.parametrize(
    "worse", [np.array([[1.0, 0, 4.5], [0, 1, -1], [0, 0, 1]]), np.full((3, 3), np.nan), np.diag([-1.0, 1.0, 1.0])]
)
def test_a_worse_answer_of_ecc_is_dropped(monkeypatch: pytest.MonkeyPatch, worse: Array) -> None:
    monkeypatch.setattr(cv2, "findTransformECC", lambda *_: (0.9, worse.astype(np.float32)))
    source = smooth(0, 128)
    found, _ = started(SHIFT).estimate(tensor(seen(source, SHIFT, (128, 128))), tensor(source))
    assert np.array_equal(found.numpy(), SHIFT)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_without_keypoints_have_no_answer(name: str) -> None:
    rng = np.random.default_rng(0)
    flat = np.full((40, 50, 3), 0.5, np.float32)
    tiny = [rng.random((*size, 3), dtype=np.float32) for size in ((1, 1), (1, 60), (60, 1), (3, 5), (8, 8))]
    textured = sharp(0, (40, 60))
    for reference, source in [(flat, flat), (flat, textured), (textured, flat), *((each, each) for each in tiny)]:
        found = small(name).align(tensor(reference)[None], tensor(source)[None, None])
        assert found.homography is not None
        assert torch.equal(found.homography[0, 0], torch.eye(3))
        assert found.confidence is not None
        assert found.confidence.tolist() == [0.0]
        assert found.image.shape[-2:] == reference.shape[:2]


@pytest.mark.parametrize("name", NAMES)
def test_grey_pictures(name: str) -> None:
    source = sharp(4, (120, 150))
    source = np.repeat(source.mean(2, keepdims=True), 3, axis=2)
    found, confidence = small(name).estimate(tensor(seen(source, SHIFT, (120, 150))), tensor(source))
    assert confidence > 0.5
    assert corner_error(found, SHIFT, (120, 150)) < 2.5


@pytest.mark.parametrize("name", NAMES)
def test_unrelated_pictures_have_little_confidence(name: str) -> None:
    _, confidence = small(name).estimate(tensor(sharp(1, (110, 140))), tensor(sharp(2, (110, 140))))
    assert confidence < 0.5


@pytest.mark.parametrize("name", NAMES)
def test_the_same_answer_each_time(name: str) -> None:
    true = random_homography(np.random.default_rng(8), 120, 10.0)
    source = sharp(8, (120, 120))
    reference = tensor(seen(source, true, (120, 120)))
    aligner = small(name)
    first, confidence = aligner.estimate(reference, tensor(source))
    assert confidence > 0
    cv2.setRNGSeed(99)
    for again in (aligner, small(name)):
        assert torch.equal(again.estimate(reference, tensor(source))[0], first)


def test_orb_in_the_dark() -> None:
    source = sharp(6, (160, 200))
    found, confidence = Orb().estimate(tensor(0.1 * seen(source, SHIFT, (160, 200))), tensor(source))
    assert confidence > 0.5
    assert corner_error(found, SHIFT, (160, 200)) < 3.0


def test_points_that_agree_on_a_mirrored_picture_are_no_match() -> None:
    points = np.random.default_rng(0).random((40, 2)).astype(np.float32) * 100
    mirrored = points * np.array([-1, 1], np.float32) + np.array([100, 0], np.float32)
    sizes = ((100, 100), (100, 100))
    assert agree(points, points, sizes, sizes, 3.0).homography is not None
    found = agree(points, mirrored, sizes, sizes, 3.0)
    assert found.homography is None
    assert found.confidence == 0
    assert not found.inliers.any()
    assert len(found.reference) == 40
