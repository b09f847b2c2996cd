"""The classical baselines: identity and SIFT."""

from __future__ import annotations

import pytest
import torch

from raylign.methods import Alignment, geometry, load
from raylign.methods.classical.identity import Identity
from raylign.methods.classical.sift import Sift
from raylign.methods.errors import InputError
from tests.methods.small import picture


def sharp_picture(seed: int, size: tuple[int, int]) -> torch.Tensor:
    """Rectangles of random colours: corners for SIFT at many scales."""
    generator = torch.Generator().manual_seed(seed)
    image = picture(seed, size)
    for _ in range(150):
        y, x, h, w = (torch.rand(4, generator=generator) * torch.tensor([size[0], size[1], 40, 40])).int().tolist()
        image[0, :, y : y + h + 3, x : x + w + 3] = torch.rand(3, 1, 1, generator=generator)
    return image


def corner_error(found: Alignment, true: torch.Tensor, size: tuple[int, int]) -> float:
    assert found.homography is not None
    corners = geometry.image_corners(size)[None]
    difference = geometry.transform_points(found.homography[:, 0].double(), corners)
    return float((difference - geometry.transform_points(true, corners)).norm(dim=-1).mean())


def known_pair(size: tuple[int, int], source_size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A source, its view as reference, and the true homography, which also changes the scale."""
    source = sharp_picture(0, source_size)
    height, width = source_size
    corners = torch.tensor([[0.1, 0.08], [0.92, 0.03], [0.05, 0.94], [0.95, 0.88]], dtype=torch.float64)
    target = corners * torch.tensor([width, height], dtype=torch.float64)
    true = geometry.homography_from_points(geometry.image_corners(size)[None], target[None])
    reference, _ = geometry.warp_by_homography(source, true, size)
    return reference, source, true


@pytest.mark.parametrize(("size", "source_size"), [((313, 471), (313, 471)), ((313, 471), (245, 399))])
def test_sift_recovers_a_known_homography(size: tuple[int, int], source_size: tuple[int, int]) -> None:
    reference, source, true = known_pair(size, source_size)
    found = Sift().align(reference, source[:, None])
    assert corner_error(found, true, size) < 0.5
    assert found.confidence is not None
    assert float(found.confidence) > 0.5
    inside = found.mask.bool().expand_as(found.image)
    assert inside.float().mean() > 0.9
    assert (found.image - reference).abs()[inside].mean() < 0.02


def test_sift_on_reduced_pictures() -> None:
    reference, source, true = known_pair((313, 471), (313, 471))
    assert corner_error(Sift(max_side=300).align(reference, source[:, None]), true, (313, 471)) < 1.0


def test_sift_gives_the_same_answer_twice() -> None:
    reference, source, _ = known_pair((313, 471), (245, 399))
    first, second = (Sift().align(reference, source[:, None]) for _ in range(2))
    assert first.homography is not None
    assert second.homography is not None
    assert torch.equal(first.homography, second.homography)


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_sift_without_keypoints_is_the_identity_without_confidence(level: float) -> None:
    blank = torch.full((1, 3, 60, 80), level)
    for reference, source in ((blank, blank), (sharp_picture(0, (60, 80)), blank)):
        found = Sift().align(reference, source[:, None])
        assert found.homography is not None
        assert torch.equal(found.homography[0, 0], torch.eye(3))
        assert found.confidence is not None
        assert float(found.confidence) == 0


def test_sift_of_unrelated_pictures_has_little_confidence() -> None:
    found = Sift().align(sharp_picture(1, (200, 300)), sharp_picture(2, (200, 300))[:, None])
    assert found.confidence is not None
    assert float(found.confidence) < 0.5


def test_sift_of_a_batch_is_pair_by_pair() -> None:
    reference, source, _ = known_pair((150, 200), (150, 200))
    blank = torch.zeros_like(source)
    found = Sift().align(torch.cat([reference, reference]), torch.cat([blank, source])[:, None])
    assert found.confidence is not None
    assert float(found.confidence[0]) == 0
    assert float(found.confidence[1]) > 0.5
    assert found.homography is not None
    assert found.homography.shape == (2, 1, 3, 3)


def test_identity() -> None:
    reference, source = picture(0, (37, 53)), picture(1, (37, 53))
    found = Identity().align(reference, source[:, None])
    assert torch.allclose(found.image, source, atol=1e-5)
    assert (found.mask == 1).all()
    assert found.flow is not None
    assert found.flow.shape == (1, 1, 2, 37, 53)
    assert (found.flow == 0).all()
    assert found.confidence is not None
    assert found.confidence.tolist() == [1.0]


def test_identity_of_a_smaller_source_covers_its_corner() -> None:
    found = Identity().align(picture(0, (40, 50)), picture(1, (30, 20))[:, None])
    assert found.mask[..., :30, :20].all()
    assert found.mask.sum() == 30 * 20


@pytest.mark.parametrize("name", ["identity", "sift"])
def test_wrong_shapes_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        load(name).align(picture(0, (40, 50)), picture(1, (40, 50)))
