"""Refinement of adm's homographies by the correlation of vessel maps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from raylign.methods.adm import AdmInference, sampling
from raylign.methods.adm.refinement import refined
from raylign.methods.adm.sampling import run_chains
from raylign.methods.adm.spatial_transformer import spatial_transform
from raylign.methods.geometry import homography_from_points, image_corners, invert_homography
from tests.methods.adm_small import corner_errors, moved_pairs, small_adm

SIDE = 128


def maps(count: int, share: float) -> tuple[Tensor, Tensor, Tensor]:
    """Lines in all directions: of the sources, of the references, and the homographies between them."""
    fixed = torch.cat([moved_pairs(count, SIDE, 0.0, seed)[0][:, :1] for seed in range(4)], dim=1)
    fixed = (0.8 - fixed).amax(1, keepdim=True).clamp(0, 1)
    corners = image_corners((SIDE, SIDE)).double().expand(count, 4, 2)
    moved = 2 * torch.rand(count, 4, 2, generator=torch.Generator().manual_seed(9), dtype=torch.float64) - 1
    true = homography_from_points(corners, corners + share * SIDE * moved)
    moving, _ = spatial_transform(fixed, invert_homography(true), None, (SIDE, SIDE))
    return moving, fixed, true


@pytest.fixture
def identity() -> Tensor:
    return torch.eye(3, dtype=torch.float64).expand(4, 3, 3)


def test_corners_that_are_a_few_pixels_off_are_brought_to_their_places(identity: Tensor) -> None:
    moving, fixed, true = maps(4, 0.05)
    assert corner_errors(identity, true, SIDE).min() > 4
    errors = corner_errors(refined(moving, fixed, identity, None, 60), true, SIDE)
    assert errors.median() < 0.5
    assert (errors < corner_errors(identity, true, SIDE)).all()


def test_more_steps_come_nearer(identity: Tensor) -> None:
    moving, fixed, true = maps(4, 0.05)
    few, many = (corner_errors(refined(moving, fixed, identity, None, steps), true, SIDE) for steps in (6, 60))
    assert (many < few / 2).float().mean() >= 0.75


def test_a_field_is_seen_and_stays(identity: Tensor) -> None:
    moving, fixed, _ = maps(4, 0.0)
    field = torch.zeros(4, 2, SIDE, SIDE)
    field[:, 0] = 3.0
    found = refined(moving, fixed, identity, field, 60)
    brought, _ = spatial_transform(moving, found, field, (SIDE, SIDE))
    middle = (slice(None), slice(None), slice(16, -16), slice(16, -16))
    assert (brought - fixed)[middle].abs().mean() < 0.3 * (moving - moving.roll(3, -1))[middle].abs().mean()
    assert (field[:, 0] == 3).all()


def test_where_nothing_is_seen_nothing_moves(identity: Tensor) -> None:
    nothing = torch.zeros(4, 1, SIDE, SIDE)
    torch.testing.assert_close(refined(nothing, nothing, identity, None, 12), identity)
    moving, fixed, _ = maps(4, 0.05)
    away = identity.clone()
    away[:, 0, 2] = 1e4
    assert refined(moving, fixed, away, None, 12).isfinite().all()
    assert torch.equal(refined(moving, fixed, identity, None, 0), identity)


def test_a_chain_is_what_it_is_alone(identity: Tensor) -> None:
    moving, fixed, _ = maps(4, 0.05)
    together = refined(moving, fixed, identity, None, 12)
    alone = refined(moving[2:3], fixed[2:3], identity[2:3], None, 12)
    torch.testing.assert_close(together[2:3], alone, atol=1e-4, rtol=1e-4)


def test_what_refinement_makes_worse_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_adm(working_size=SIDE)
    reference, source, _ = moved_pairs(2, SIDE, 0.03)
    choices = {"steps": 1, "displacement_steps": 1, "iterations": 1, "guidance": 0.0}
    model.inference = AdmInference(**choices)
    start = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    with torch.no_grad():
        plain = run_chains(model, reference, source, [0, 1], start)
        model.inference = AdmInference(**choices, refinement=30)
        better = run_chains(model, reference, source, [0, 1], start)
        assert (better.correlation > plain.correlation).all()
        far = start.clone()
        far[:, 0, 2] = SIDE / 2
        monkeypatch.setattr(sampling, "refined", lambda *_: far)
        same = run_chains(model, reference, source, [0, 1], start)
    assert torch.equal(same.homography, plain.homography)
    assert torch.equal(same.correlation, plain.correlation)
