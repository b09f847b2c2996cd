"""Thin-plate splines against a dense float64 evaluation, SciPy and finite differences."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from scipy.interpolate import RBFInterpolator

from raylign.methods import geometry, tps


def random_mesh(seed: int, move: float, batch: int = 1, size: int = 512) -> tuple[torch.Tensor, torch.Tensor]:
    """Control points moved by up to `move` pixels, and the regular 13 x 13 mesh, both in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    regular = geometry.regular_mesh(13, 13, (size, size)).reshape(1, -1, 2).expand(batch, -1, -1)
    moved = regular + (torch.rand(regular.shape, generator=generator, dtype=torch.float64) * 2 - 1) * move
    frame = (size, size)
    return geometry.normalise_points(moved, frame), geometry.normalise_points(regular, frame)


def test_spline_interpolates() -> None:
    # DCS fact 5: within 1e-3 pixels for a random mesh with offsets up to 20 pixels.
    points, values = random_mesh(0, 20.0)
    error = (tps.fit(points, values).at(points) - values).abs().max() * 255.5
    assert error < 1e-6


def test_spline_agrees_with_scipy() -> None:
    # SciPy's kernel r^2 ln r is half of ours, and has no epsilon.
    points, values = random_mesh(1, 20.0)
    where = torch.rand(1, 200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    theirs = RBFInterpolator(points[0].numpy(), values[0].numpy(), kernel="thin_plate_spline")(where[0].numpy())
    ours = tps.fit(points, values).at(where)[0]
    assert (ours - torch.from_numpy(theirs)).abs().max() * 255.5 < 0.05


def test_affine_maps_are_reproduced_everywhere() -> None:
    points, _ = random_mesh(3, 10.0)
    values = points @ torch.tensor([[0.9, 0.1], [-0.2, 1.1]], dtype=torch.float64) + 0.05
    spline = tps.fit(points, values)
    assert spline.weights.abs().max() < 1e-8
    assert torch.allclose(spline.at(2 * points), 2 * points @ torch.tensor([[0.9, 0.1], [-0.2, 1.1]]).double() + 0.05)


@pytest.mark.parametrize("block", [1, 200_000])
def test_grid_agrees_with_dense_evaluation(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tps.BLOCK_ELEMENTS, "cpu", block)
    spline = tps.fit(*random_mesh(4, 20.0, batch=2))
    xs, ys = torch.linspace(-1.01, 1, 37), torch.linspace(-1, 1.02, 23)
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1).reshape(1, -1, 2).expand(2, -1, -1)
    dense = spline.at(grid).view(2, 23, 37, 2)
    # A fiftieth of a pixel at 512 on this crumpled mesh, from float32 sums of large weights that nearly cancel.
    assert (spline.on_grid(xs, ys) - dense).abs().max() * 255.5 < 0.02


@pytest.mark.parametrize(
    ("size", "mean", "most"), [((512, 384), 1e-3, 0.05), ((97, 97), 0.01, 0.1), ((5, 2), 0.01, 0.02)]
)
def test_a_picture_is_the_grid_of_its_pixels(size: geometry.Size, mean: float, most: float) -> None:
    generator = torch.Generator().manual_seed(0)
    regular = geometry.regular_mesh(13, 13, size)[None]
    moved = regular + size[0] / 500 * torch.randn(regular.shape, generator=generator)
    ends = (geometry.normalise_points(each, size).flatten(1, 2) for each in (moved, regular))
    spline = tps.fit(*ends)
    ys, xs = (torch.linspace(-1, 1, side) for side in size)
    exact, found = (
        geometry.denormalise_points(each, size) for each in (spline.on_grid(xs, ys), spline.on_picture(size))
    )
    assert (found - exact).abs().mean() < mean
    assert (found - exact).abs().max() < most


def test_a_picture_of_an_affine_map_and_its_gradients() -> None:
    points, values = random_mesh(7, 2.0)
    size = (161, 147)
    ys, xs = (torch.linspace(-1, 1, side) for side in size)
    affine = tps.fit(points, points @ torch.tensor([[0.9, 0.1], [-0.2, 1.1]], dtype=torch.float64) + 0.05)
    assert torch.allclose(affine.on_picture(size), affine.on_grid(xs, ys), atol=1e-6)
    weight = F.avg_pool2d(torch.randn(2, 1, 171, 157, generator=torch.Generator().manual_seed(6)), 11, 1).permute(
        1, 2, 3, 0
    )
    gradients = []
    for interpolated in (True, False):
        p, q = points.clone().requires_grad_(), values.clone().requires_grad_()
        spline = tps.fit(p, q)
        out = spline.on_picture(size) if interpolated else spline.on_grid(xs, ys)
        gradients.append(torch.autograd.grad((out * weight).sum(), (p, q)))
    for ours, exact in zip(*gradients, strict=True):
        assert (ours - exact).norm() / exact.norm() < 0.05


def test_gradients_of_the_grid_agree_with_those_of_the_dense_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tps.BLOCK_ELEMENTS, "cpu", 5000)
    points, values = random_mesh(5, 20.0)
    xs, ys = torch.linspace(-1, 1, 19), torch.linspace(-1, 1, 17)
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1).reshape(1, -1, 2)
    weight = torch.randn(1, 17, 19, 2, generator=torch.Generator().manual_seed(6))
    gradients = []
    for blockwise in (True, False):
        p, q = points.clone().requires_grad_(), values.clone().requires_grad_()
        spline = tps.fit(p, q)
        out = spline.on_grid(xs, ys) if blockwise else spline.at(grid).view(1, 17, 19, 2)
        gradients.append(torch.autograd.grad((out * weight).sum(), (p, q)))
    for ours, exact in zip(*gradients, strict=True):
        assert (ours - exact).norm() / exact.norm() < 1e-3


def test_radial_sum_passes_gradcheck() -> None:
    generator = torch.Generator().manual_seed(7)
    points = (torch.rand(2, 5, 2, dtype=torch.float64, generator=generator) * 2 - 1).requires_grad_()
    weights = torch.randn(2, 5, 2, dtype=torch.float64, generator=generator).requires_grad_()
    xs, ys = torch.linspace(-1, 1, 6).double(), torch.linspace(-1, 1, 4).double()
    assert torch.autograd.gradcheck(lambda p, w: tps._RadialSum.apply(p, w, xs, ys), (points, weights))


_BATCH = """
import torch
from raylign.methods import geometry, tps
torch.set_num_threads(2)
mesh = geometry.regular_mesh(13, 13, (512, 512)).reshape(1, -1, 2).expand(2, -1, -1).double() / 256 - 1
mesh = (mesh + 0.01 * torch.rand(mesh.shape, dtype=mesh.dtype)).requires_grad_(True)
found = tps.fit(mesh, mesh.detach() * 2)
found.affine.sum().backward()
print(float((found.affine[:, 1, 0] - 2).abs().max()) < 1e-9, bool(mesh.grad.isfinite().all()))
"""


def test_a_batch_of_large_meshes_on_two_threads_comes_back() -> None:
    # It did not: within a process of its own, which can be ended.
    done = subprocess.run([sys.executable, "-c", _BATCH], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True", "True"], done.stderr
