"""Mutual best matches of DIAR's descriptors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raylign.methods import geometry
from raylign.methods.classical.keypoints import agree
from raylign.methods.diar import matching
from raylign.methods.diar.config import DiarConfig
from raylign.methods.diar.descriptors import Descriptors
from raylign.methods.diar.matching import Places, describe, mutual_matches, resized, scale_factors
from tests.methods.small import picture


def untrained() -> Descriptors:
    torch.manual_seed(0)
    return Descriptors(DiarConfig()).eval()


def random_places(seed: int, count: int) -> Places:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, 16, generator=generator)
    points = torch.arange(count).double()[:, None].repeat(1, 2)
    return Places(points, vectors / vectors.norm(dim=1, keepdim=True))


def test_seven_scales_are_those_of_ransac_flow() -> None:
    assert scale_factors(7) == pytest.approx([2, 5 / 3, 4 / 3, 1, 5 / 6, 2 / 3, 1 / 2])
    assert scale_factors(1) == [1.0]
    assert len(scale_factors(4)) == 4


@pytest.mark.parametrize("block", [7, 16, 4096])
def test_matches_are_those_of_the_whole_matrix(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(matching, "BLOCK", block)
    a, b = random_places(0, 40), random_places(1, 61)
    scores = a.descriptors.numpy() @ b.descriptors.numpy().T
    expected = [(i, int(j)) for i, j in enumerate(scores.argmax(1)) if scores[:, j].argmax() == i]
    found = mutual_matches(a, b)
    assert [(int(i), int(j)) for i, j in zip(found[0][:, 0], found[1][:, 0], strict=True)] == expected


def test_no_matrix_of_scores_is_larger_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "BLOCK", 16)
    shapes = []
    improve = matching._improve

    def watched(top: torch.Tensor, *rest: object) -> None:
        shapes.append(len(top))
        improve(top, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(matching, "_improve", watched)
    mutual_matches(random_places(0, 100), random_places(1, 90))
    assert max(shapes) == 16
    assert len(shapes) == 2 * 7 * 6


def test_a_picture_matches_itself_at_the_same_places_only() -> None:
    image = picture(3, (160, 200))[0]
    places = describe(untrained(), image)
    a, b = mutual_matches(places, places)
    assert torch.equal(a, b)
    assert len(a) > 200
    size = (160, 200)
    found = agree(a.float().numpy(), b.float().numpy(), (size, size), (size, size), 6.0)
    assert found.homography is not None
    corners = geometry.image_corners(size)[None]
    error = geometry.transform_points(found.homography[None], corners) - corners
    assert float(error.norm(dim=-1).max()) < 0.1


def test_a_source_of_half_the_size_is_found_at_twice_its_size() -> None:
    image = picture(4, (192, 256))[0]
    half = resized(image, (96, 128))
    a, b = mutual_matches(describe(untrained(), image), describe(untrained(), half, 3))
    expected = geometry.transform_points(geometry.resize_transform((192, 256), (96, 128), "area")[None], a[None])[0]
    off = (b - expected).norm(dim=1).numpy()
    assert np.median(off) < 2


def test_resizing_is_by_area() -> None:
    image = torch.rand(3, 8, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(resized(image, (8, 12)), image)
    means = image.unflatten(1, (4, 2)).unflatten(3, (6, 2)).mean((2, 4))
    assert torch.allclose(resized(means, (8, 12)).mean(), means.mean(), atol=0.02)
