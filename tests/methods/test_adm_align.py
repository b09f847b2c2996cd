"""`Adm.align`: one answer for each pair, at full size, with a confidence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from raylign.methods import geometry
from raylign.methods.adm import Adm, AdmInference
from raylign.methods.adm.answer import chosen, confidence_of
from raylign.methods.adm.sampling import Estimate
from raylign.methods.classical.flow_aligner import resized
from raylign.methods.errors import InputError
from raylign.methods.transform import HomographyTransform
from tests.methods.adm_small import corner_errors, moved_pairs, small_adm
from tests.methods.small import picture
from tests.methods.test_adm_sampling import knowing

QUICK: dict[str, Any] = {"steps": 2, "displacement_steps": 2, "iterations": 1, "start": "noise"}


@pytest.fixture(scope="module")
def untrained() -> Adm:
    model = small_adm()
    model.inference = AdmInference(**QUICK)
    return model


def test_what_is_found_at_the_working_size_holds_at_full_size() -> None:
    reference, source, true = moved_pairs(2, 64, 0.08)
    field = torch.zeros(1, 2, 64, 64)
    field[:, 0] = 2 * torch.sin(torch.arange(64.0) / 20)
    model = knowing(true, field, chains=2)
    model.score.clean = model.score.clean.repeat_interleave(2, 0)
    size, source_size = (192, 128), (96, 256)
    found = model.align(resized(reference, size), resized(source, source_size)[:, None])
    assert found.homography is not None
    assert found.image.shape == (2, 3, *size)
    small = geometry.rescale_homography(
        found.homography[:, 0], size_a=(size, (64, 64)), size_b=(source_size, (64, 64)), rule="area"
    )
    assert corner_errors(small, true, 64).max() < 0.01
    # The field: what the transform says beyond the homography is W(H, x + D(x)) - W(H, x), at any size.
    transform = found.transform
    assert isinstance(transform, HomographyTransform)
    points = torch.tensor([[40.0, 60.0], [90.0, 150.0], [64.0, 96.0]], dtype=torch.float64).expand(2, 3, 2)
    working = torch.stack([(points[..., 0] + 0.5) / 2 - 0.5, (points[..., 1] + 0.5) / 3 - 0.5], -1)
    moved = working + torch.stack([2 * torch.sin(working[..., 0] / 20), torch.zeros(2, 3)], -1)
    wanted = (geometry.transform_points(true, moved) + 0.5) * torch.tensor([4.0, 1.5]) - 0.5
    assert (transform.at(points) - wanted).norm(dim=-1).max() < 0.15
    assert found.flow is not None
    at = transform.positions(*geometry.pixel_axes(size))
    torch.testing.assert_close(found.flow[:, 0].permute(0, 2, 3, 1), at - geometry.pixel_grid(size))


def test_the_same_seed_gives_the_same_answer(untrained: Adm) -> None:
    reference, source, _ = moved_pairs(2, 80, 0.05)
    first, again = (untrained.align(reference, source[:, None]) for _ in range(2))
    assert torch.equal(first.image, again.image)
    torch.manual_seed(99)
    assert torch.equal(untrained.align(reference, source[:, None]).image, first.image)
    alone = untrained.align(reference[1:], source[1:, None])
    torch.testing.assert_close(alone.image, first.image[1:], atol=1e-2, rtol=0)
    assert not untrained.training


def test_it_is_guided_within_an_inference_mode_too(untrained: Adm) -> None:
    reference, source, _ = moved_pairs(1, 64, 0.05)
    found = untrained.align(reference, source[:, None])
    with torch.inference_mode():
        again = untrained.align(reference.clone(), source[:, None].clone())
    assert untrained.inference.guidance > 0
    assert torch.equal(again.image, found.image)


def test_the_chain_that_correlates_best_is_taken_and_the_others_are_asked() -> None:
    homography = torch.eye(3).double().repeat(6, 1, 1)
    homography[:, 0, 2] = torch.tensor([0.0, 0.5, 30.0, 9.0, 9.0, 9.5])
    correlation = torch.tensor([0.2, 0.5, 0.1, 0.3, 0.2, 0.1])
    found = Estimate(homography, None, correlation, torch.zeros(6, dtype=torch.long), 4)
    best, agreement = chosen(found, 3, (64, 64))
    assert best.tolist() == [1, 0]
    assert agreement.tolist() == [0.5, 1.0]
    assert chosen(found, 1, (64, 64))[1].tolist() == [1.0] * 6


def test_chains_agree_where_both_pictures_are_seen() -> None:
    """A standard picture in an ultra-widefield one: what the chains say of the rest of the reference counts nothing."""
    homography = torch.diag(torch.tensor([3.0, 3.0, 1.0])).double().repeat(2, 1, 1)
    homography[:, :2, 2] = -64
    homography[1, 2, 0] = 2e-4
    found = Estimate(homography, None, torch.tensor([0.5, 0.4]), torch.zeros(2, dtype=torch.long), 4)
    corners = geometry.transform_points(homography, geometry.image_corners((64, 64)).expand(2, 4, 2))
    assert (corners[0] - corners[1]).norm(dim=1).max() > 0.02 * 64
    assert chosen(found, 2, (64, 64))[1].item() == 1
    homography[1, 0, 2] -= 12
    assert chosen(found, 2, (64, 64))[1].item() == 0
    homography[:, 0, 2] = -900
    assert chosen(found, 2, (64, 64))[1].item() == 0


def test_confidence_grows_with_correlation() -> None:
    found = confidence_of(torch.linspace(0, 1, 11))
    assert found[0] == 0
    assert (found.diff() >= 0).all()
    # Maps of two eyes reach .1 to .17 by chance, maps of one eye begin at .2.
    assert confidence_of(torch.tensor(0.15)) < 0.1 < Adm.min_confidence < confidence_of(torch.tensor(0.25))
    assert found[-1] > 0.999


def test_right_answers_are_believed_and_wrong_ones_are_not() -> None:
    reference, source, true = moved_pairs(4, 64, 0.08, seed=4)
    right = knowing(true, chains=1)
    right.inference = AdmInference(**QUICK)
    found = right.align(reference, source[:, None]).confidence
    others = right.align(reference, source.flip(0)[:, None]).confidence
    assert found is not None
    assert others is not None
    assert found.mean() > others.mean() + 0.3
    assert (others <= Adm.min_confidence).float().mean() >= 0.5


def test_keypoints_help_where_the_network_is_wrong() -> None:
    """Of its two chains the one that began at the keypoints' homography is kept, at the pictures' own size."""
    reference = picture(3, (160, 200))
    true = torch.tensor([[[1.05, 0.06, -9.0], [-0.04, 0.97, 6.0], [1e-4, 0.0, 1.0]]], dtype=torch.float64)
    source, _ = geometry.warp_by_homography(reference, geometry.invert_homography(true), (160, 200))
    model = knowing(torch.eye(3).double()[None])
    corners = geometry.image_corners((160, 200))[None]
    errors = {}
    for start in ("noise", "keypoints"):
        model.inference = AdmInference(**{**QUICK, "start": start})
        found = model.align(reference, source.clamp(0, 1)[:, None])
        assert found.homography is not None
        ends = (geometry.transform_points(each.double(), corners) for each in (found.homography[:, 0], true))
        errors[start] = float((next(ends) - next(ends)).norm(dim=-1).mean())
    assert errors["keypoints"] < 1 < 5 < errors["noise"]


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_pictures_without_content_are_not_believed(untrained: Adm, value: float) -> None:
    flat = torch.full((1, 3, 70, 90), value)
    found = untrained.align(flat, flat[:, None])
    assert found.confidence is not None
    assert found.confidence.item() == 0
    assert found.image.isfinite().all()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    source_size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    batch=st.integers(1, 2),
)
def test_any_size(untrained: Adm, size: tuple[int, int], source_size: tuple[int, int], batch: int) -> None:
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(batch, 3, *size, generator=generator)
    source = torch.rand(batch, 1, 3, *source_size, generator=generator)
    found = untrained.align(reference, source)
    assert found.image.shape == reference.shape
    assert found.mask.shape == (batch, 1, *size)
    assert found.image.isfinite().all()
    assert ((found.image >= 0) & (found.image <= 1)).all()
    assert found.confidence is not None
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    assert (found.image * (1 - found.mask)).abs().max() == 0


@pytest.mark.parametrize(
    ("reference", "source", "match"),
    [
        (torch.rand(1, 1, 64, 64), torch.rand(1, 1, 3, 64, 64), "must be"),
        (torch.rand(1, 3, 64, 64), torch.rand(1, 2, 3, 64, 64), "one source"),
        (torch.rand(0, 3, 64, 64), torch.rand(0, 1, 3, 64, 64), "no pixels"),
        (torch.rand(1, 3, 64, 64).double(), torch.rand(1, 1, 3, 64, 64), "float32"),
        (torch.full((1, 3, 64, 64), torch.nan), torch.rand(1, 1, 3, 64, 64), "finite"),
        (torch.rand(1, 3, 64, 64), torch.full((1, 1, 3, 64, 64), torch.inf), "finite"),
    ],
)
def test_wrong_tensors(untrained: Adm, reference: Tensor, source: Tensor, match: str) -> None:
    with pytest.raises(InputError, match=match):
        untrained.align(reference, source)


@pytest.mark.parametrize(
    "choices",
    [
        {"solver": "euler"},
        {"start": "network"},
        {"steps": 0},
        {"displacement_steps": -1},
        {"iterations": 0},
        {"guidance": -1.0},
        {"chains": 0},
        {"settle": 2.0},
        {"seed": -1},
    ],
)
def test_wrong_choices(choices: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(choices))):
        AdmInference(**choices)
