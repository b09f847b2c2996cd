"""Active sampling: both chains with networks that know the answer, guidance, restarts, early ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raylign.methods.adm import Adm, AdmInference
from raylign.methods.adm.displacement import Displacement
from raylign.methods.adm.encoder import Encoded
from raylign.methods.adm.losses import windowed_ncc
from raylign.methods.adm.parameters import to_parameters
from raylign.methods.adm.sampling import _Turn, run_chains
from raylign.methods.adm.spatial_transformer import spatial_transform
from tests.methods.adm_small import corner_errors, moved_pairs, small_adm

SIDE = 64
SCALE = (*[0.3] * 6, 0.1, 0.1)


class Knows(nn.Module):
    """A score network that knows the true parameters, wherever the chain is."""

    def __init__(self, model: Adm, clean: Tensor) -> None:
        super().__init__()
        self.chain, self.clean, self.calls = model.homography_chain, clean, 0

    def forward(self, source: Encoded, reference: Encoded, parameters: Tensor, timesteps: Tensor) -> Tensor:
        self.calls += 1
        return self.chain.noise_of(self.clean, parameters, timesteps)


class Bends(nn.Module):
    """A field's network that says the same field at every level."""

    def __init__(self, field: Tensor) -> None:
        super().__init__()
        self.field, self.calls = field, 0

    def forward(self, moving: Tensor, fixed: Tensor, noisy: Tensor, timesteps: Tensor) -> Displacement:
        self.calls += 1
        return Displacement(torch.zeros_like(noisy), self.field.expand(len(noisy), -1, -1, -1))


def knowing(homography: Tensor, field: Tensor | None = None, **choices: Any) -> Adm:
    """A model whose networks know the answer in the first iteration."""
    model = small_adm(homography_scale=SCALE)
    clean = (to_parameters(homography, (SIDE, SIDE), (SIDE, SIDE)) / torch.tensor(SCALE)).float()
    model.score = model.student = Knows(model, clean)  # type: ignore[assignment]
    model.displacement = Bends(torch.zeros(1, 2, SIDE, SIDE) if field is None else field)  # type: ignore[assignment]
    defaults = {"steps": 20, "displacement_steps": 20, "iterations": 1, "guidance": 0.0, "start": "noise"}
    model.inference = AdmInference(**{**defaults, **choices})
    return model


@pytest.mark.parametrize("solver", ["ancestral", "ddim", "dpm", "student"])
@pytest.mark.parametrize("steps", [1, 3, 20])
def test_chains_end_where_their_networks_lead(solver: str, steps: int) -> None:
    reference, source, true = moved_pairs(3, SIDE, 0.1)
    field = torch.full((1, 2, SIDE, SIDE), 1.5)
    model = knowing(true, field, solver=solver, steps=steps, displacement_steps=steps)
    with torch.no_grad():
        found = run_chains(model, reference, source, [0, 1, 2])
    # A student's answer near the clean end is in part what it is given.
    assert corner_errors(found.homography, true, SIDE).max() < (0.05 if solver == "student" else 1e-3)
    assert found.field is not None
    torch.testing.assert_close(found.field, field.expand(3, -1, -1, -1), atol=1e-4, rtol=0)
    assert found.steps == model.score.calls == model.displacement.calls == steps
    assert found.restarts.tolist() == [0, 0, 0]


def test_steps_of_the_field_are_shared_out_and_may_be_none() -> None:
    reference, source, true = moved_pairs(1, SIDE, 0.1)
    for wanted in (0, 3, 7, 20):
        model = knowing(true, steps=5, displacement_steps=wanted)
        with torch.no_grad():
            found = run_chains(model, reference, source, [0])
        assert model.displacement.calls == wanted
        assert (found.field is None) == (wanted == 0)


def test_the_true_homography_correlates_better_than_none() -> None:
    reference, source, true = moved_pairs(4, SIDE, 0.08, seed=4)
    with torch.no_grad():
        right = run_chains(knowing(true), reference, source, [0] * 4)
        wrong = run_chains(knowing(torch.eye(3).double().expand(4, 3, 3)), reference, source, [0] * 4)
    assert (right.correlation > wrong.correlation).all()
    assert right.correlation.mean() > 2 * wrong.correlation.mean()


def test_a_chain_without_a_start_sees_the_pictures_as_they_are() -> None:
    reference, source, true = moved_pairs(2, SIDE, 0.05)
    model = knowing(true)
    none = torch.full((2, 3, 3), torch.nan, dtype=torch.float64)
    with torch.no_grad():
        plain = run_chains(model, reference, source, [5, 6])
        started = run_chains(model, reference, source, [5, 6], none)
        mixed = run_chains(
            knowing(torch.eye(3).double().expand(2, 3, 3)),
            reference,
            source,
            [5, 6],
            none.where(torch.tensor([True, False])[:, None, None], true),
        )
    torch.testing.assert_close(started.homography, plain.homography)
    torch.testing.assert_close(started.correlation, plain.correlation)
    # A network that says "nothing has moved" leaves the second at its start, and the first where it is.
    assert corner_errors(mixed.homography, true, SIDE)[1] < 1e-6
    assert corner_errors(mixed.homography, torch.eye(3).double().expand(2, 3, 3), SIDE)[0] < 1e-3


def test_a_chain_does_not_depend_on_its_neighbours() -> None:
    reference, source, _ = moved_pairs(3, SIDE, 0.05)
    model = small_adm()
    model.inference = AdmInference(solver="ancestral", steps=4, displacement_steps=4, iterations=2, guidance=0.05)
    with torch.no_grad():
        together = run_chains(model, reference, source, [5, 6, 7])
        alone = run_chains(model, reference[1:2], source[1:2], [6])
        other = run_chains(model, reference[1:2], source[1:2], [8])
    # Not to the last bit: the vessel filter has thresholds, where rounding may fall to either side.
    assert corner_errors(alone.homography, together.homography[1:2], SIDE).max() < 0.2
    assert together.field is not None
    assert alone.field is not None
    assert (alone.field - together.field[1:2]).abs().mean() < 0.1
    assert corner_errors(other.homography, alone.homography, SIDE).max() > 0.5


def test_an_iteration_goes_on_from_what_was_found_and_never_makes_it_worse() -> None:
    reference, source, true = moved_pairs(2, SIDE, 0.06, seed=2)
    # The network says "a third of the way": what it knows is added up by iterations.
    part = torch.eye(3).double() + (true - torch.eye(3).double()) / 3
    with torch.no_grad():
        once = run_chains(knowing(part, iterations=1), reference, source, [0, 0])
        thrice = run_chains(knowing(part, iterations=3), reference, source, [0, 0])
        many = run_chains(knowing(part, iterations=8), reference, source, [0, 0])
    assert (corner_errors(thrice.homography, true, SIDE) < 0.6 * corner_errors(once.homography, true, SIDE)).all()
    # Five more would go far beyond; what correlates best is kept.
    assert (many.correlation >= thrice.correlation).all()
    assert (corner_errors(many.homography, true, SIDE) < corner_errors(once.homography, true, SIDE)).all()


def turn_for(model: Adm, reference: Tensor, source: Tensor) -> _Turn:
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(reference))]
    return _Turn(model, reference, source, model.vessel_maps(reference), generators)


def test_guidance_moves_the_homography_alone_and_uphill() -> None:
    """Acceptance: a guided step of small weight does not lower the correlation on 90 % of random pairs."""
    reference, source, true = moved_pairs(40, SIDE, 0.05, seed=1)
    model = knowing(true, guidance=0.02)
    with torch.no_grad():
        turn = turn_for(model, reference, source)
        bend = torch.randn(40, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 0.3
        turn.bend = bend.clone()
        values = model.score.clean + 0.05 * torch.randn(40, 8, generator=torch.Generator().manual_seed(1))

        def correlation(at: Tensor) -> Tensor:
            brought, seen = spatial_transform(turn.moving, turn._homography(at), turn.bend, (SIDE, SIDE))
            return windowed_ncc(brought, turn.fixed, seen)

        guided = turn._guided(values, 10)
        assert torch.equal(turn.bend, bend)
        assert not torch.equal(guided, values)
        reach = (guided - values).norm(dim=1)
        torch.testing.assert_close(reach, torch.full((40,), 0.02 * float(model.homography_chain.betas[10]) ** 0.5))
        assert (correlation(guided) >= correlation(values)).float().mean() >= 0.9


def test_guidance_has_nothing_to_say_where_there_are_no_vessels() -> None:
    model = knowing(torch.eye(3).double().expand(2, 3, 3), guidance=1.0)
    flat = torch.full((2, 3, SIDE, SIDE), 0.5)
    with torch.no_grad():
        turn = turn_for(model, flat, flat)
        values = torch.full((2, 8), 0.1)
        assert torch.equal(turn._guided(values, 10), values)
        assert run_chains(model, flat, flat, [0, 1]).correlation.tolist() == [0, 0]


def test_chains_that_diverge_are_taken_back() -> None:
    reference, source, true = moved_pairs(2, SIDE, 0.05)
    model = knowing(true)
    mirror = torch.zeros(8)
    # x is mirrored: no camera does that.
    mirror[0] = -2 / 0.3 * 0.6
    knows = model.score.clean.clone()
    model.score.clean = torch.stack([mirror, knows[1]])
    with torch.no_grad():
        found = run_chains(model, reference, source, [0, 1])
    assert found.restarts.tolist() == [20, 0]
    assert corner_errors(found.homography, true, SIDE)[1] < 1e-3
    assert torch.linalg.det(found.homography).min() > 0


def test_it_stops_when_it_has_settled() -> None:
    reference, source, true = moved_pairs(1, SIDE, 0.1)
    model = knowing(true, settle=0.01)
    with torch.no_grad():
        found = run_chains(model, reference, source, [0])
    assert found.steps == 2
    assert corner_errors(found.homography, true, SIDE).max() < 1e-3
    assert found.field is not None
    assert found.field.abs().max() < 1e-4
    # A network that says the same field at every level is asked for all of them, the last ones at once.
    assert model.displacement.calls == 20
    model.inference = replace(model.inference, settle=0.0)
    with torch.no_grad():
        assert run_chains(model, reference, source, [0]).steps == 20
