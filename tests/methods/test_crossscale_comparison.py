"""The paper's comparison modules, the rearranged convolution of correlations, and the cost of all of them."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from raylign.methods.crossscale import CrossScale, CrossScaleConfig
from raylign.methods.crossscale.comparison import cost_volume, feature_flow
from raylign.methods.crossscale.fsc import (
    convolved_correlation,
    correlation,
    on_grid,
    relative,
    transposed,
    unit_map,
    unit_vectors,
    vectors_of,
)
from raylign.methods.errors import InputError
from tests.methods.small import picture, set_global_offsets, small_network

MODULES = ("fsc", "cl", "ccl", "cv")
NARROW: dict[str, Any] = {"comparison_channels": (8, 8, 16, 16), "comparison_linear": (32, 16)}


def features(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_rearranged_convolution_is_that_of_the_correlations() -> None:
    a, b = features(0, 2, 16, 6, 5), features(1, 2, 16, 4, 3)
    filters = features(2, 7, 12, 3, 3)
    vectors, others = unit_vectors(a), unit_vectors(b)
    explicit = F.conv2d(on_grid(correlation(vectors, others), (6, 5)), filters, padding=1)
    found = convolved_correlation(vectors, others, filters, (6, 5))
    assert found.shape == (2, 7, 6, 5)
    assert torch.allclose(found, explicit, atol=1e-5)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_unit_vectors_and_their_gradient_by_the_formula(layout: torch.memory_format, centred: bool) -> None:
    maps = features(0, 2, 16, 6, 5).contiguous(memory_format=layout).requires_grad_()
    weight = features(1, 2, 30, 16)
    found = unit_vectors(maps, centred=centred)
    (gradient,) = torch.autograd.grad((found * weight).sum(), maps)
    assert gradient.is_contiguous(memory_format=layout)
    vectors = maps.flatten(2).transpose(1, 2).double()
    vectors = vectors - vectors.mean(1, keepdim=True) if centred else vectors
    expected = vectors / vectors.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    (exact,) = torch.autograd.grad((expected * weight).sum(), maps)
    torch.testing.assert_close(gradient, exact, rtol=1e-4, atol=1e-6)
    assert torch.equal(vectors_of(unit_map(maps, centred=centred)), found)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = unit_vectors(maps, centred=centred)
    assert coarse.dtype is torch.bfloat16
    (rounded,) = torch.autograd.grad((coarse * weight.bfloat16()).sum(), maps)
    assert (rounded - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize("correlation_module", ["fsc", "cl"])
def test_network_and_gradients_do_not_depend_on_the_arrangement(correlation_module: str) -> None:
    found = []
    for explicit in (False, True):
        network = small_network(correlation=correlation_module, explicit_correlation=explicit, **NARROW)
        for module in (network.coarse, network.intra, *network.cross.values()):
            torch.nn.init.normal_(module.offsets.weight, std=0.1, generator=torch.Generator().manual_seed(0))
        local = network(picture(0, (96, 96)), picture(1, (96, 96)))[1]
        local.square().sum().backward()
        assert network.backbone.stem[0].weight.grad is not None
        found.append((local.detach(), network.backbone.stem[0].weight.grad))
    (first, first_gradient), (second, second_gradient) = found
    assert first.abs().max() > 0.02
    assert torch.allclose(first, second, rtol=1e-3, atol=1e-4)
    assert (first_gradient - second_gradient).norm() < 1e-3 * second_gradient.norm()


def test_transposed_pairs_and_their_gradient() -> None:
    pairs = features(0, 2, 70, 90).double().requires_grad_()
    weight = features(1, 2, 90, 70).double()
    turned = transposed(pairs)
    assert torch.equal(turned, pairs.transpose(1, 2))
    assert turned.is_contiguous()
    (gradient,) = torch.autograd.grad((turned * weight).sum(), pairs)
    assert torch.equal(gradient, weight.transpose(1, 2))


@pytest.mark.parametrize(("grid", "other"), [((4, 6), (4, 6)), ((4, 6), (2, 3)), ((2, 3), (4, 6))])
def test_relative_pairs_by_their_definition(grid: tuple[int, int], other: tuple[int, int]) -> None:
    pairs = features(0, 2, grid[0] * grid[1], other[0] * other[1]).double().requires_grad_()
    seen = relative(pairs, grid, other)
    table = pairs.detach().view(2, *grid, *other)
    for y in range(grid[0]):
        for x in range(grid[1]):
            here = (y * other[0] // grid[0], x * other[1] // grid[1])
            for row in range(other[0]):
                for column in range(other[1]):
                    there = (here[0] + row - other[0] // 2) % other[0], (here[1] + column - other[1] // 2) % other[1]
                    found = seen[:, y * grid[1] + x, row * other[1] + column]
                    assert torch.equal(found.detach(), table[:, y, x, there[0], there[1]])
    # Each pair is there once, so its gradient is that of its new place.
    (gradient,) = torch.autograd.grad((seen * seen.detach()).sum(), pairs)
    assert torch.equal(gradient, pairs.detach())


@pytest.mark.parametrize("module", ["fsc", "cl"])
def test_relative_correlation_shows_the_same_motion_alike_everywhere(module: str) -> None:
    network = small_network(correlation=module, relative_correlation=True, **NARROW)
    units = unit_map(features(0, 1, 128, 12, 12))
    # Around the rim, so that every position has moved by (2, 1).
    moved = units.roll((1, 2), dims=(2, 3)).contiguous(memory_format=torch.channels_last)
    seen: list[torch.Tensor] = []
    branch = network.intra.reference_branch if module == "fsc" else network.intra.branch
    branch[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.intra(units, moved)
    best = seen[0].argmax(dim=1)
    assert best.shape == (1, 12, 12)
    assert (best == (6 + 1) * 12 + 6 + 2).all()


def test_cost_volume_by_its_definition() -> None:
    a, b = features(0, 1, 8, 5, 6), features(1, 1, 8, 5, 6)
    volume = cost_volume(unit_map(a), unit_map(b), 2)
    assert volume.shape == (1, 5, 6, 25)
    a, b = F.normalize(a, dim=1)[0], F.normalize(b, dim=1)[0]
    for y in range(5):
        for x in range(6):
            for k in range(25):
                row, column = y + k // 5 - 2, x + k % 5 - 2
                inside = 0 <= row < 5 and 0 <= column < 6
                expected = float(a[:, y, x] @ b[:, row, column]) if inside else 0.0
                assert float(volume[0, y, x, k]) == pytest.approx(expected, abs=1e-5)


def test_feature_flow_by_its_definition() -> None:
    # As its papers put it: the target's zero-padded 3 x 3 patches are filters that the reference is convolved with.
    a, b = features(0, 1, 8, 5, 6), features(1, 1, 8, 4, 3)
    unit_a, unit_b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    patches = F.unfold(unit_b, 3, padding=1)[0].T.reshape(12, 8, 3, 3)
    shares = torch.softmax(10 * F.conv2d(unit_a, patches, padding=1), dim=1)[0]
    expected = torch.zeros(2, 5, 6)
    for k in range(12):
        # Cells of the target's 4 x 3 grid in those of the reference's 5 x 6.
        x, y = (k % 3 + 0.5) * 6 / 3 - 0.5, (k // 3 + 0.5) * 5 / 4 - 0.5
        expected[0] += shares[k] * (x - torch.arange(6))
        expected[1] += shares[k] * (y - torch.arange(5)[:, None])
    assert torch.allclose(feature_flow(unit_map(a), unit_map(b), 10.0)[0], expected, atol=1e-4)


def test_feature_flow_of_a_shifted_map() -> None:
    whole = features(0, 1, 64, 12, 12)
    flow = feature_flow(unit_map(whole[..., 2:10, 3:11]), unit_map(whole[..., 1:9, 1:9]), 10.0)
    # What lies at x in the first window lies 2 to the right and 1 below in the second.
    assert torch.allclose(flow[0, 0, 1:6, 1:5], torch.full((5, 4), 2.0), atol=0.1)
    assert torch.allclose(flow[0, 1, 1:6, 1:5], torch.full((5, 4), 1.0), atol=0.1)


@pytest.mark.parametrize("module", MODULES[1:])
@pytest.mark.parametrize("levels", [0, 3])
@pytest.mark.parametrize("options", [{}, {"correlation_temperature": 0.05, "centred_correlation": True}])
def test_untrained_networks_are_the_identity_at_any_number_of_levels(
    module: str, levels: int, options: dict[str, Any]
) -> None:
    network = small_network(correlation=module, levels=levels, smallest_map=2, head_norm="batch", **options, **NARROW)
    assert len(network.cross) == levels**2 + levels
    global_offsets, local_offsets = network(picture(0, (96, 96), 2), picture(1, (96, 96), 2))
    assert global_offsets.shape == (2, 4, 2)
    assert local_offsets.shape == (2, 5, 4, 2)
    assert (global_offsets == 0).all()
    assert (local_offsets == 0).all()


@pytest.mark.parametrize("module", MODULES[1:])
def test_modules_see_both_pictures_and_can_be_trained(module: str) -> None:
    network = small_network(correlation=module, **NARROW)
    set_global_offsets(network, torch.rand(4, 2, generator=torch.Generator().manual_seed(0)))
    torch.nn.init.normal_(network.intra.offsets.weight, std=0.1)
    reference, source = picture(0, (96, 96)), picture(1, (96, 96))
    first = network(reference, source)[1]
    assert not torch.allclose(first, network(reference, picture(2, (96, 96)))[1], atol=1e-4)
    assert not torch.allclose(first, network(picture(2, (96, 96)), source)[1], atol=1e-4)
    first.square().sum().backward()
    assert all(weight.grad is not None for weight in network.intra.parameters())
    assert network.backbone.layer2[0].conv1.weight.grad.abs().max() > 0


@functools.cache
def counted(**changes: Any) -> dict[str, float]:
    """GFLOP by operator: two per multiplication and addition, batch 4, 512 x 512, as the paper's tables count."""
    with FakeTensorMode():
        network = CrossScale(CrossScaleConfig(**changes), initialise=False)
        pictures = torch.empty(4, 3, 512, 512)
        with FlopCounterMode(display=False) as counter:
            network(pictures, pictures)
    return {str(name): count / 1e9 for name, count in counter.get_flop_counts()["Global"].items()}


@pytest.mark.parametrize(("levels", "gflop"), [(0, 442.7), (1, 526.9), (2, 562.8)])
def test_cost_of_the_paper_configuration(levels: int, gflop: float) -> None:
    assert sum(counted(explicit_correlation=True, levels=levels).values()) == pytest.approx(gflop, rel=2e-3)


def test_cost_of_the_correlation_layer() -> None:
    assert sum(counted(correlation="cl", explicit_correlation=True).values()) == pytest.approx(556.2, rel=2e-3)


def test_cost_of_contextual_correlation() -> None:
    # The paper's 1396.8 lies between the head on the reference's grid, which is ours, and that on the smaller one.
    assert sum(counted(correlation="ccl").values()) == pytest.approx(1402.8, rel=2e-3)


def test_cost_of_the_cost_volume() -> None:
    # The paper's number leaves out the products of the volume, which are the only batched matrix products here.
    counts = counted(correlation="cv")
    assert sum(counts.values()) - counts["aten.bmm"] == pytest.approx(432.1, rel=2e-3)


def test_rearranging_saves_three_tenths() -> None:
    # What is computed by default: 387 instead of 563, of which the backbone is 274.
    assert sum(counted().values()) < 0.7 * sum(counted(explicit_correlation=True, levels=2).values())


def test_unknown_module_is_refused() -> None:
    with pytest.raises(InputError, match="correlation must be"):
        CrossScaleConfig(correlation="pairs")  # type: ignore[arg-type]
