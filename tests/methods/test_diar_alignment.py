"""Where each of a set of frames lies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from raylign.methods import geometry
from raylign.methods.diar import alignment
from raylign.methods.diar.alignment import FoundFrames, align_frames
from raylign.methods.diar.config import DiarConfig, DiarInference
from raylign.methods.diar.descriptors import Descriptors
from raylign.methods.diar.matching import resized
from tests.methods.small import picture

SIZE = (144, 176)
INFERENCE = DiarInference(side=176, scales=1)


@pytest.fixture(scope="module")
def descriptors() -> Descriptors:
    torch.manual_seed(0)
    return Descriptors(DiarConfig()).eval()


def shots(seed: int, count: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Frames of one flat thing, each under another light, and homographies from the first to each."""
    generator = torch.Generator().manual_seed(seed)
    # Detail of two sizes, as keypoints need.
    plane = 0.5 * picture(seed, (320, 320)) + 0.5 * resized(picture(seed + 50, (160, 160))[0], (320, 320))[None]
    corners = geometry.image_corners(SIZE)
    truth, frames = [torch.eye(3, dtype=torch.float64)], []
    for _ in range(count - 1):
        moved = corners + 30 * (torch.rand(4, 2, generator=generator, dtype=torch.float64) - 0.5)
        truth.append(geometry.homography_from_points(corners[None], moved[None])[0])
    place = geometry.homography_from_points(corners[None], corners[None] + 70)
    for homography in truth:
        frame = geometry.warp_by_homography(plane, place @ torch.linalg.inv(homography)[None], SIZE)[0][0]
        ends = 0.4 + 0.6 * torch.rand(2, generator=generator)
        frames.append(frame * torch.linspace(float(ends[0]), float(ends[1]), SIZE[1]))
    return frames, torch.stack(truth)


def corner_errors(found: FoundFrames, truth: torch.Tensor) -> torch.Tensor:
    corners = geometry.image_corners(SIZE).expand(len(truth), -1, -1)
    off = geometry.transform_points(found.homographies, corners) - geometry.transform_points(truth, corners)
    return off.norm(dim=-1).mean(1)


def test_frames_are_found_to_parts_of_a_pixel_and_refining_helps(descriptors: Descriptors) -> None:
    frames, truth = shots(0, 4)
    found = align_frames(descriptors, frames[0], frames[1:], INFERENCE)
    rough = align_frames(
        descriptors, frames[0], frames[1:], DiarInference(side=176, scales=1, bundle=False, refine=False)
    )
    assert found.found.all()
    assert (found.confidences > 0.5).all()
    assert found.homographies.dtype == torch.float64
    assert float(corner_errors(found, truth[1:]).max()) < 0.2
    assert float(corner_errors(found, truth[1:]).mean()) < float(corner_errors(rough, truth[1:]).mean())


def test_what_glass_reflects_is_not_taken_for_the_flat_thing_behind_it(descriptors: Descriptors) -> None:
    size = (240, 320)
    generator = torch.Generator().manual_seed(0)
    letters = torch.ones(1, 3, 360, 440)
    for _ in range(60):
        y, x, height, width = (torch.rand(4, generator=generator) * torch.tensor([340, 420, 40, 40])).int()
        letters[:, :, y : y + height + 8, x : x + width // 3 + 8] = 0.3 * torch.rand(1, generator=generator)
    branches = resized(torch.rand(3, 120, 147, generator=generator), (360, 440))[None]
    # They have most of the keypoints, and 40 % of the picture.
    branches[:, :, 156:] = 0.5
    corners = geometry.image_corners(size)[None]
    place = geometry.homography_from_points(corners, corners + 60)
    frames, truth = [], []
    for view in range(3):
        moves = [12.0 * view * (torch.rand(1, 4, 2, generator=generator, dtype=torch.float64) - 0.5) for _ in range(2)]
        flat, mirrored = (geometry.homography_from_points(corners, corners + move) for move in moves)
        mirrored = mirrored @ geometry.homography_from_points(corners, corners + 9.0 * view)
        layers = [
            geometry.warp_by_homography(plane, place @ geometry.invert_homography(homography), size)[0][0]
            for plane, homography in ((letters, flat), (branches, mirrored))
        ]
        frames.append(0.65 * layers[0] + 0.35 * layers[1])
        truth.append(flat[0])
    found = align_frames(descriptors, frames[0], frames[1:], replace(INFERENCE, side=320))
    off = geometry.transform_points(found.homographies, corners.expand(2, -1, -1)) - geometry.transform_points(
        torch.stack(truth[1:]), corners.expand(2, -1, -1)
    )
    assert float(off.norm(dim=-1).max()) < 1


def test_a_frame_that_does_not_match_the_reference_is_found_through_another(
    descriptors: Descriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, truth = shots(1, 3)
    match = alignment._match_reference

    def blind(reference: alignment._Frame, source: alignment._Frame) -> alignment._Pair:
        pair = match(reference, source)
        if source.picture is frames[2]:
            return alignment._Pair(pair.matches, pair.homography, 0.0, pair.scale)
        return pair

    monkeypatch.setattr(alignment, "_match_reference", blind)
    found = align_frames(descriptors, frames[0], frames[1:], INFERENCE)
    assert found.found.all()
    assert float(corner_errors(found, truth[1:]).max()) < 0.2
    alone = align_frames(descriptors, frames[0], frames[1:], DiarInference(side=176, scales=1, bundle=False))
    assert alone.found.tolist() == [True, False]
    assert torch.equal(alone.homographies[1], torch.eye(3, dtype=torch.float64))
    assert alone.confidences[1] == 0


def test_sources_of_other_sizes_and_large_ones_are_told_in_their_own_pixels(descriptors: Descriptors) -> None:
    frames, truth = shots(2, 2)
    large = resized(frames[1], (3 * SIZE[0], 3 * SIZE[1]))
    found = align_frames(descriptors, frames[0], [large], INFERENCE)
    to_large = geometry.resize_transform(SIZE, (3 * SIZE[0], 3 * SIZE[1]), "area")
    back = torch.linalg.inv(to_large) @ found.homographies
    told = FoundFrames(back, found.confidences, found.found)
    assert float(corner_errors(told, truth[1:]).max()) < 0.3


def test_unrelated_and_textureless_pictures_are_not_found(descriptors: Descriptors) -> None:
    frames, _ = shots(3, 1)
    others, _ = shots(4, 1)
    flat = torch.full((3, *SIZE), 0.5)
    found = align_frames(descriptors, frames[0], [others[0], flat, torch.zeros(3, 40, 1)], INFERENCE)
    assert not found.found.any()
    assert (found.confidences == 0).all()
    assert torch.equal(found.homographies, torch.eye(3, dtype=torch.float64).repeat(3, 1, 1))


def test_descriptors_alone_find_shots_that_lie_close(descriptors: Descriptors) -> None:
    frames, _ = shots(5, 1)
    shift = torch.eye(3, dtype=torch.float64)
    shift[0, 2], shift[1, 2] = 7, -5
    source = geometry.warp_by_homography(frames[0][None], torch.linalg.inv(shift)[None], SIZE)[0][0]
    found = align_frames(descriptors, frames[0], [source], replace(INFERENCE, keypoints=False))
    assert float(corner_errors(found, shift[None]).max()) < 0.3


def test_with_many_frames_the_number_of_pairs_grows_with_them() -> None:
    assert len(alignment._further_pairs(12)) == 55
    assert len(alignment._further_pairs(200)) < 3 * 200
    assert all(0 < i < j < 200 for i, j in alignment._further_pairs(200))
