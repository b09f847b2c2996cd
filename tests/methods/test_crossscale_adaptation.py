"""Adaptation of `crossscale` to the pair at hand: by a displacement, and by the weights."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.interpolate import BSpline
from torch import Tensor

from raylign.methods import geometry
from raylign.methods.classical.mesh import CubicLattice
from raylign.methods.crossscale import losses
from raylign.methods.crossscale.adaptation import adapt
from raylign.methods.crossscale.displacement import BentPair, NormalEquations, descend, halved_cells
from raylign.methods.crossscale.weight_adaptation import adapt_weights
from tests.methods.small import picture, small_network

SIZE = (128, 128)
GRID = geometry.pixel_grid(SIZE)


def scene(seed: int) -> Tensor:
    """Texture at two scales `(1, 3, H, W)`: what is seen of it at an eighth of the size, too."""
    large = F.interpolate(picture(seed, (32, 32)), SIZE, mode="bicubic", align_corners=False)
    return (0.6 * large + 0.4 * picture(seed + 100, SIZE)).clamp(0, 1)


def seen_at(source: Tensor, positions: Tensor) -> Tensor:
    """The reference `(1, 3, H, W)` whose pixels lie at `positions (H, W, 2)` in the source."""
    x, y = positions.float().numpy().transpose(2, 0, 1)
    seen = cv2.remap(source[0].permute(1, 2, 0).numpy(), x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return torch.from_numpy(seen).permute(2, 0, 1)[None].clamp(0, 1)


def wavy() -> Tensor:
    """True positions `(H, W, 2)`: a shift and a displacement of up to 3 pixels."""
    bend = torch.stack([torch.sin(GRID[..., 1] / 22), torch.cos(GRID[..., 0] / 26)], dim=-1)
    return GRID + torch.tensor([2.0, -1.0]) + 3 * bend


def adapted(reference: Tensor, source: Tensor, positions: Tensor, steps: int = 80) -> Tensor:
    found = adapt(reference, source, positions, steps)
    return positions + torch.stack([found.lattice.on_pixels(each, SIZE) for each in found.control])


def covered(positions: Tensor) -> Tensor:
    return geometry.coverage(positions, SIZE) >= 0.999


def textured_pair(*, stiffness: float = 1e-3) -> tuple[BentPair, Tensor]:
    """A pair at 48 x 64 pixels with a lattice of 3 x 4 cells, some of it outside, and control points."""
    source = picture(2, (48, 64))
    positions = geometry.pixel_grid((48, 64))[None] + torch.tensor([3.0, -2.0])
    pair = BentPair(picture(3, (48, 64)), source, positions, CubicLattice(3, 4), 0.5, stiffness)
    control = torch.randn(pair.still.shape, generator=torch.Generator().manual_seed(0))
    return pair, control


def test_a_smooth_displacement_is_found() -> None:
    source = scene(0)
    reference = seen_at(source, wavy())
    found = adapted(reference, source, GRID[None])
    inner = (found - wavy()).norm(dim=-1)[0, 12:-12, 12:-12]
    assert inner.mean() < 0.15
    # Other light is compensated.
    darker = reference * torch.tensor([0.7, 0.8, 0.75])[:, None, None] + 0.1
    found = adapted(darker, source, GRID[None])
    assert (found - wavy()).norm(dim=-1)[0, 12:-12, 12:-12].mean() < 0.3


def test_no_steps_and_no_overlap_change_nothing() -> None:
    source = picture(0, SIZE, batch=2)
    start = GRID[None].expand(2, -1, -1, -1)
    assert torch.equal(adapted(source.flip(3), source, start, steps=0), start)
    away = start + 125.0
    assert torch.equal(adapted(source.flip(3), source, away), away)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_steps_are_shared_from_the_finest_level_on(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    taken: list[tuple[int, int]] = []

    def counting(pair: BentPair, state: object, share: int) -> object:
        taken.append((len(pair.positions[0]), share))
        return state

    monkeypatch.setattr("raylign.methods.crossscale.adaptation.descend", counting)
    adapt(picture(0, SIZE), picture(1, SIZE), GRID[None], steps)
    expected = {1: [(128, 1)], 2: [(64, 1), (128, 1)], 3: [(32, 1), (64, 1), (128, 1)]}
    assert taken == expected.get(steps, [(16, 1), (32, 1), (64, 1), (128, 2)])


def test_the_answer_is_no_worse_and_covers_as_much() -> None:
    # Unrelated pictures, and noise: whatever the descent does.
    source = picture(4, SIZE)
    noise = 0.1 * torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    start = GRID[None] + torch.tensor([30.0, -12.0])
    for reference in (picture(5, SIZE), (seen_at(source, start[0]) + noise).clamp(0, 1)):
        found = adapted(reference, source, start)
        assert covered(found).float().mean() >= 0.97 * covered(start).float().mean()
        pair = BentPair(reference, source, start, CubicLattice(16, 16), 1.0, 0.0)
        scale = pair.look(pair.still).view.scale
        errors = [pair.pictures.look(positions, scale).error() for positions in (found, start)]
        assert errors[0] <= 1.001 * errors[1]
        steps = found.diff(dim=1)[:, :, :-1], found.diff(dim=2)[:, :-1]
        area = steps[1][..., 0] * steps[0][..., 1] - steps[1][..., 1] * steps[0][..., 0]
        assert (area <= 0).float().mean() < 0.02


def test_the_same_answer_alone_and_in_a_batch() -> None:
    source = picture(6, SIZE)
    reference = seen_at(source, wavy())
    start = GRID[None].expand(2, -1, -1, -1)
    batch = adapt(torch.cat([reference, picture(7, SIZE)]), torch.cat([source, source]), start, 12)
    alone = adapt(reference, source, start[:1], 12)
    assert torch.equal(batch.control[:1], alone.control)
    assert batch.control.shape == (2, *batch.lattice.shape, 2)


def test_halved_cells_are_scipys_same_spline() -> None:
    control = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    halved = halved_cells(control)
    assert halved.shape == (2, 9, 13)

    def along(values: np.ndarray, cells: int) -> np.ndarray:
        return BSpline(np.arange(-3, cells + 4), values, 3)(np.linspace(0.01, 0.99, 50) * cells)

    for before, after in zip(control.numpy(), halved.numpy(), strict=True):
        a = along(along(before, 3).T, 5)
        b = along(along(after, 6).T, 10)
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_gradient_is_that_of_the_energy() -> None:
    pair, control = textured_pair()
    state = pair.look(control)
    assert (state.beyond != 0).any()
    gradient = NormalEquations(pair, state).gradient
    # In a step along it: single derivatives are smaller than float32 resolves.
    direction = gradient / gradient.norm()
    ahead, back = (pair.look(control + step * direction, state.view.scale).energy for step in (0.05, -0.05))
    assert (ahead - back) / 0.1 == pytest.approx(2 * float(gradient.norm()), rel=0.15)


def test_a_step_solves_the_system_that_is_never_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raylign.methods.crossscale.displacement.INNER_STEPS", 500)
    monkeypatch.setattr("raylign.methods.crossscale.displacement.INNER_SETTLED", 1e-12)
    pair, control = textured_pair(stiffness=1e-2)
    state = pair.look(control)
    equations = NormalEquations(pair, state)
    # The Hessian from the Jacobian of all weighted residuals, and from the bending's second derivative.
    basis = torch.kron(pair.down, pair.across).double()
    slopes = pair.unit * state.view.slopes.double() / pair.unit
    weights = (state.view.weights() / (3 * state.view.scale**2 * state.view.inside.sum())).double().flatten()
    out = (pair.holding * (state.beyond != 0)).double().flatten(1)
    blocks = [
        [
            basis.T @ ((weights * (slopes[i] * slopes[j]).sum(0).flatten())[:, None] * basis)
            + (basis.T @ (out[i][:, None] * basis) if i == j else 0)
            for j in range(2)
        ]
        for i in range(2)
    ]
    unknowns = pair.still[0].numel()
    bending = 1e-2 * CubicLattice(3, 4).bending()
    hessian = torch.cat([torch.cat(row, dim=1) for row in blocks]) + torch.block_diag(bending, bending)
    diagonal = torch.cat([hessian.diagonal()[:unknowns], hessian.diagonal()[unknowns:]])
    damped = hessian + 0.1 * diagonal.mean() * torch.eye(2 * unknowns, dtype=torch.float64)
    expected = -torch.linalg.solve(damped, equations.gradient.double().flatten())
    found = equations.step(0.1).double().flatten()
    assert (found - expected).norm() < 1e-3 * expected.norm()


def test_a_descent_never_climbs() -> None:
    pair, control = textured_pair()
    state = pair.look(control)
    energies = [descend(pair, state, steps).energy for steps in (0, 1, 2, 8)]
    assert energies[0] == state.energy
    assert energies == sorted(energies, reverse=True)
    assert energies[-1] < energies[0]


def test_positions_that_left_are_drawn_back() -> None:
    # Everything agrees everywhere: only the border speaks.
    grey = torch.full((1, 3, 48, 64), 0.5)
    pair = BentPair(grey, grey, geometry.pixel_grid((48, 64))[None], CubicLattice(3, 4), 1.0, 1e-3)
    pushed = pair.still + 0.5
    pair.least_inside = 0.0
    state = pair.look(pushed)
    back = descend(pair, state, 10)
    assert back.beyond.abs().max() < 0.5 * state.beyond.abs().max()


def mesh_term(mesh: Tensor, reference: Tensor, source: Tensor) -> float:
    positions = losses.mesh_positions(mesh, (96, 96))
    warped, mask = geometry.sample(source, positions), geometry.coverage(positions, (96, 96))[:, None]
    shift = ((warped - reference * mask).sum((2, 3), keepdim=True)) / mask.sum((2, 3), keepdim=True)
    return float(2 * ((reference + shift) * mask - warped).abs().mean())


def test_weights_are_adapted_on_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    # An untrained network needs larger steps.
    monkeypatch.setattr("raylign.methods.crossscale.weight_adaptation.LEARNING_RATE", 3e-3)
    network = small_network().eval()
    # Last layers of zeros would let no gradient through in the first step.
    with torch.no_grad():
        for weight in network.coarse.offsets.parameters():
            weight.copy_(0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    before = copy.deepcopy(network.state_dict())
    source = picture(8, (96, 96))
    reference = source.roll(3, dims=3)
    with torch.inference_mode():
        first = network.predict(reference, source)
        found = adapt_weights(network, reference, source, 6)
        none = adapt_weights(network, reference, source, 0)
    assert torch.equal(none.mesh, first.mesh)
    assert mesh_term(found.mesh, reference, source) < 0.98 * mesh_term(first.mesh, reference, source)
    assert not found.mesh.requires_grad
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(weight.grad is None for weight in network.parameters())
