"""The classical start of `crossscale`, and the choice between two starts."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from raylign.methods import geometry
from raylign.methods.crossscale.start import choose_start, classical_start, explained_share

SIZE = (192, 192)
IDENTITY = torch.eye(3, dtype=torch.float64)[None]


def scene(seed: int) -> Tensor:
    """Rectangles of random colours, `(1, 3, H, W)`: corners for SIFT."""
    random = np.random.default_rng(seed)
    image = np.full((*SIZE, 3), 0.5, np.float32)
    for _ in range(400):
        x, y = random.integers(0, SIZE[1]), random.integers(0, SIZE[0])
        w, h = random.integers(3, 24, 2)
        image[y : y + h, x : x + w] = random.random(3)
    return torch.from_numpy(cv2.GaussianBlur(image, (0, 0), 0.8)).permute(2, 0, 1)[None]


def homography(shift: float = 25.0) -> Tensor:
    """A shift along x, with a little tilt, `(1, 3, 3)`."""
    corners = geometry.image_corners(SIZE)[None]
    moved = corners + torch.tensor([[[shift, 4.0], [shift - 6, 7.0], [shift + 2, -5.0], [shift, -3.0]]]).double()
    return geometry.homography_from_points(corners, moved)


def seen(source: Tensor, matrix: Tensor) -> Tensor:
    """The reference: OpenCV's warp of the source."""
    picture = cv2.warpPerspective(
        source[0].permute(1, 2, 0).numpy(), matrix[0].numpy(), SIZE[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return torch.from_numpy(picture).permute(2, 0, 1)[None]


def test_classical_start_of_a_batch() -> None:
    source = scene(0)
    flat = torch.full_like(source, 0.5)
    found, confidence = classical_start(torch.cat([seen(source, homography()), flat]), torch.cat([source, source]))
    corners = geometry.image_corners(SIZE)[None]
    distance = geometry.transform_points(found[:1], corners) - geometry.transform_points(homography(), corners)
    assert distance.norm(dim=-1).max() < 1.0
    assert found.dtype == torch.float64
    assert torch.equal(found[1:], IDENTITY)
    assert confidence[0] > 0.5
    assert confidence[1] == 0


def test_the_pictures_choose() -> None:
    source, true = scene(1), homography()
    reference = seen(source, true)
    near = homography(27.0)
    small_overlap = homography(150.0)
    batch = reference.expand(5, -1, -1, -1), source.expand(5, -1, -1, -1)
    network = torch.cat([IDENTITY, true, small_overlap, IDENTITY, true])
    classical = torch.cat([true, small_overlap, true, true, IDENTITY])
    confidence = torch.tensor([0.9, 0.9, 0.9, 0.0, 0.9])
    chosen, taken = choose_start(*batch, network, classical, confidence)
    # Without a classical homography the network's stays, whatever the pictures say.
    assert taken.tolist() == [True, False, True, False, False]
    assert torch.equal(chosen, torch.where(taken[:, None, None], classical, network))
    # Equal ones are the network's.
    assert not choose_start(reference, source, true, true, torch.ones(1))[1]
    shares = [float(explained_share(reference, source, each)) for each in (true, near, IDENTITY, small_overlap)]
    assert shares[0] > shares[1] > 2 * shares[2]
    assert shares[0] > 4 * shares[3]


def test_explained_share_is_the_mean_correlation_of_windows() -> None:
    source = scene(2)
    reference = seen(source, homography(0.0))
    small = [
        cv2.resize(
            cv2.cvtColor(each[0].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY), (48, 48), interpolation=cv2.INTER_AREA
        )
        for each in (reference, source)
    ]
    correlations = []
    for y in range(0, 48 - 16, 8):
        for x in range(0, 48 - 16, 8):
            a, b = (each[y : y + 17, x : x + 17].ravel() for each in small)
            correlations.append(max(0.0, np.corrcoef(a, b)[0, 1]))
    assert abs(float(explained_share(reference, source, IDENTITY)) - np.mean(correlations)) < 1e-3


def test_explained_share_does_not_depend_on_light_but_on_overlap() -> None:
    source = scene(3)
    assert abs(float(explained_share(source, source, IDENTITY)) - 1) < 1e-4
    assert abs(float(explained_share(0.6 * source + 0.2, source, IDENTITY)) - 1) < 1e-4
    assert explained_share(1 - source, source, IDENTITY) == 0
    half = geometry.homography_from_points(
        geometry.image_corners(SIZE)[None], geometry.image_corners(SIZE)[None] + torch.tensor([96.0, 0.0]).double()
    )
    # One of four columns of windows lies wholly within the left half.
    assert abs(float(explained_share(seen(source, half), source, half)) - 0.25) < 1e-4
    flat = torch.full_like(source, 0.5)
    assert explained_share(flat, source, IDENTITY) == 0
