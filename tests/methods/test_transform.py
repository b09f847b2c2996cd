"""Transforms beyond the frame, against OpenCV, SciPy and torch; and warping by bands."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.interpolate import BSpline
from torch import Tensor

from raylign.methods import geometry
from raylign.methods.classical.mesh import CubicLattice
from raylign.methods.crossscale.losses import fit_mesh
from raylign.methods.crossscale.resolution import MeshTransform
from raylign.methods.cubic_field import CubicField
from raylign.methods.registry import load
from raylign.methods.transform import HomographyTransform, Transform, bands, source_border, warp
from tests.methods.small import picture, small_network

SIZE, SOURCE = (90, 130), (110, 100)
PLANE = torch.tensor([[[0.9, 0.05, 8.0], [-0.04, 1.1, -3.0], [2e-4, -3e-4, 1.0]]], dtype=torch.float64)


def wavy(seed: int, shape: tuple[int, int], length: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(1, *shape, 2, generator=generator) * 2 - 1) * length


def spline_field(size: tuple[int, int] = SIZE) -> CubicField:
    return CubicField(wavy(0, (9, 11)), size, "spline")


def mesh() -> Tensor:
    """M^f `(1, 5, 6, 2)` of pictures of 96 x 96."""
    regular = geometry.regular_mesh(5, 6, (96, 96))[None]
    moved = geometry.transform_points(geometry.invert_homography(PLANE), regular)
    return moved + wavy(1, (5, 6), 1.5)


TRANSFORMS: dict[str, Transform] = {
    "plane": HomographyTransform(PLANE, SOURCE),
    "spline": HomographyTransform(PLANE, SOURCE, spline_field()),
    "convolution": HomographyTransform(PLANE, SOURCE, CubicField(wavy(2, (7, 9), 2.0), SIZE, "convolution")),
    "mesh": MeshTransform(mesh(), (96, 96), SIZE, SOURCE),
    "adapted mesh": MeshTransform(mesh(), (96, 96), SIZE, SOURCE, wavy(3, (9, 9), 2.0)),
}
each_transform = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())


def test_a_plane_is_opencvs_perspective_also_outside_of_the_frame() -> None:
    xs, ys = torch.arange(-40.0, 200, 7), torch.arange(-60.0, 150, 11)
    found = TRANSFORMS["plane"].positions(xs, ys)[0]
    grid = np.stack(np.meshgrid(xs.numpy(), ys.numpy()), axis=-1)
    expected = cv2.perspectiveTransform(grid.reshape(1, -1, 2).astype(np.float64), PLANE[0].numpy())
    np.testing.assert_allclose(found.numpy(), expected.reshape(grid.shape), atol=1e-4)


def test_a_spline_field_is_scipys() -> None:
    field = spline_field()
    control = field.control[0].double().numpy()
    xs, ys = torch.arange(SIZE[1]).float(), torch.tensor([0.0, 17.25, SIZE[0] - 1.0])
    found = field.on_grid(xs, ys)[0].numpy()
    # SciPy's knots: control point i of a cubic spline on cells of length 1 is centred at knot i + 2.
    rows, columns = ((np.asarray(c) + 0.5) * (n / s) for c, n, s in ((ys, 6, SIZE[0]), (xs, 8, SIZE[1])))
    down = BSpline(np.arange(-3, 10), np.eye(9), 3)(rows)
    across = BSpline(np.arange(-3, 12), np.eye(11), 3)(columns)
    np.testing.assert_allclose(found, np.einsum("hu,wv,uvc->hwc", down, across, control), atol=1e-5)


def test_a_spline_field_is_that_of_its_lattice() -> None:
    field = spline_field()
    found = field.on_grid(*geometry.pixel_axes(SIZE))[0]
    assert torch.allclose(found, CubicLattice(6, 8).on_pixels(field.control[0], SIZE), atol=1e-5)


def test_a_convolution_field_is_torchs_bicubic() -> None:
    control = wavy(4, (7, 9))
    found = CubicField(control, SIZE, "convolution").on_grid(*geometry.pixel_axes(SIZE))
    expected = F.interpolate(control.permute(0, 3, 1, 2), SIZE, mode="bicubic", align_corners=True)
    assert torch.allclose(found, expected.permute(0, 2, 3, 1), atol=1e-5)


@pytest.mark.parametrize("kernel", ["spline", "convolution"])
def test_a_field_fades_out_smoothly_and_stays_bounded(kernel: str) -> None:
    field = replace(spline_field(), kernel=kernel)
    xs, ys = torch.arange(-200.0, 400, 0.5), torch.tensor([-30.0, 40.0, 95.0])
    values = field.on_grid(xs, ys)[0]
    assert values.abs().max() <= field.control.abs().max() * (1 if kernel == "spline" else 1.5)
    # As steep as within the frame at most, and nowhere a jump.
    assert values.diff(dim=1).abs().max() < 0.4
    assert values[:, 0].abs().max() == values[:, -1].abs().max() == 0
    border = (xs - (SIZE[1] - 1)).abs().argmin()
    assert values[1, border].abs().max() > 0.1
    assert values[1, border + 40].abs().max() > 0.01


def test_what_bends_along_the_border_is_gone_sooner_than_what_does_not() -> None:
    size = (160, 160)
    even, odd = torch.ones(1, 19, 19, 2), torch.ones(1, 19, 19, 2)
    odd[:, ::2] = -1
    xs, ys = torch.tensor([159.0 + 30]), torch.arange(60.0, 100)
    constant, alternating = (CubicField(each, size, "spline").on_grid(xs, ys).abs().max() for each in (even, odd))
    assert constant > 0.3
    assert alternating < 0.02


@each_transform
def test_scattered_points_and_grids_agree(transform: Transform) -> None:
    xs, ys = torch.arange(-70.0, 200, 13), torch.arange(-50.0, 140, 17)
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)
    scattered = transform.at(grid.flatten(0, 1)[None].double())
    assert scattered.dtype == torch.float64
    assert (transform.positions(xs, ys).flatten(1, 2) - scattered).abs().max() < 5e-3


@each_transform
def test_the_outline_leads_to_the_border(transform: Transform) -> None:
    outline = transform.outline()
    assert (transform.at(outline) - source_border(SOURCE)).abs().max() < 1e-3


def test_the_border_goes_round_once() -> None:
    border = source_border(SOURCE)
    x, y = border.unbind(1)
    area = float((x * y.roll(-1) - x.roll(-1) * y).sum() / 2)
    assert area == pytest.approx((SOURCE[0] - 1) * (SOURCE[1] - 1))


def test_the_outline_beyond_the_horizon_is_unknown() -> None:
    # The line x = 60 of the source comes from infinity: w of the inverse is 1 - x / 60.
    inverse = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [-1 / 60, 0, 1]]], dtype=torch.float64)
    homography = geometry.invert_homography(inverse)
    outline = HomographyTransform(homography, SOURCE).outline()[0]
    assert torch.equal(outline[:, 0].isnan(), source_border(SOURCE)[:, 0] > 60 - 1e-6)


def test_the_mesh_at_the_working_size_is_the_losses_own() -> None:
    found = MeshTransform(mesh(), (96, 96), (96, 96), (96, 96)).positions(*geometry.pixel_axes((96, 96)))
    axis = torch.linspace(-1, 1, 96)
    exact = geometry.denormalise_points(fit_mesh(mesh(), (96, 96)).on_grid(axis, axis), (96, 96))
    assert (found - exact).abs().max() < 1e-3


def test_a_displacement_on_the_mesh_is_in_working_pixels() -> None:
    control = wavy(5, (9, 9), 2.0)
    reference, source = (192, 288), (48, 192)
    plain, adapted = (MeshTransform(mesh(), (96, 96), reference, source, each) for each in (None, control))
    axes = geometry.pixel_axes(reference)
    found = adapted.positions(*axes) - plain.positions(*axes)
    expected = CubicLattice(6, 6).on_pixels(control[0], reference) * torch.tensor([192 / 96, 48 / 96])
    assert (found - expected).abs().max() < 1e-4


@each_transform
def test_warping_samples_the_source_as_opencv_does(transform: Transform) -> None:
    source = picture(7, SOURCE)
    found = warp(source, transform, SIZE)
    positions = transform.positions(*geometry.pixel_axes(SIZE))[0].numpy()
    expected = cv2.remap(source[0].permute(1, 2, 0).numpy(), positions[..., 0], positions[..., 1], cv2.INTER_LINEAR)
    inside = (positions >= 0).all(-1) & (positions <= np.array(SOURCE)[::-1] - 1).all(-1)
    assert inside.mean() > 0.3
    assert (found.mask[0, 0].numpy() > 0)[inside].all()
    # OpenCV rounds positions to 1/32 of a pixel.
    assert np.abs(found.image[0].permute(1, 2, 0).numpy() - expected)[inside].max() < 0.02
    assert (found.image * (1 - found.mask) == 0).all()
    assert np.allclose(found.flow[0].permute(1, 2, 0) + geometry.pixel_grid(SIZE), positions, atol=1e-4)


@each_transform
def test_bands_of_any_height_change_no_bit(transform: Transform) -> None:
    source = picture(8, SOURCE)
    whole = warp(source, transform, SIZE, rows=SIZE[0])
    for rows in (1, 2, 7, 64, 89, None):
        cut = warp(source, transform, SIZE, rows=rows)
        for name in ("image", "mask", "flow"):
            assert torch.equal(getattr(whole, name), getattr(cut, name)), (rows, name)


def test_bands_cover_every_row_once() -> None:
    rows = [row for band in bands(7, 23, torch.device("cpu"), 5) for row in range(band.start, band.stop)]
    assert rows == list(range(23))
    assert next(band.stop - band.start for band in bands(7680, 4320, torch.device("cpu"))) * 7680 <= 1 << 18


@pytest.mark.parametrize("method", ["identity", "sift", "sift-mesh", "apap"])
def test_baselines_tell_their_transform(method: str) -> None:
    reference, source = picture(9, (80, 100), 2), picture(9, (80, 100), 2).roll(3, dims=-1)
    found = load(method).align(reference, source[:, None])
    assert found.transform is not None
    assert found.transform.source_size == (80, 100)
    assert found.flow is not None
    positions = found.transform.positions(*geometry.pixel_axes((80, 100)))
    flow = (positions - geometry.pixel_grid((80, 100))).permute(0, 3, 1, 2)
    assert torch.equal(flow, found.flow[:, 0])


MEMORY = """
import re, torch
from pathlib import Path
from raylign.methods import geometry
from raylign.methods.cubic_field import CubicField
from raylign.methods.crossscale.resolution import MeshTransform
from raylign.methods.transform import HomographyTransform, warp
size = (1080, 1920)
plane = torch.eye(3, dtype=torch.float64)[None]
control = torch.rand(1, 9, 11, 2)
mesh = geometry.regular_mesh(3, 3, (96, 96))[None] + torch.rand(1, 3, 3, 2)
transforms = [
    lambda s: HomographyTransform(plane, s, CubicField(control, s, "spline")),
    lambda s: MeshTransform(mesh, (96, 96), s, s, control),
]
def peak():  # a new program's own; ru_maxrss would begin with that of the process that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
torch.set_num_threads(1)
for make in transforms:
    warp(torch.rand(1, 3, 64, 64), make((64, 64)), (64, 64))
source = torch.rand(1, 3, *size)
before = peak()
for rows in (None, size[0]):
    for make in transforms:
        warped = warp(source, make(size), size, rows=rows)
        results = sum(each.nbytes for each in (warped.image, warped.mask, warped.flow))
        del warped
    print((peak() - before - results) / source.nbytes)
"""


def test_memory_beside_the_results_is_bounded() -> None:
    # In pictures of 1920 x 1080: beside a source and its three results.
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    banded, whole = map(float, run.stdout.split())
    assert banded < 1.5
    # The measurement sees what the bands save.
    assert whole > 2


def test_the_cross_scale_network_keeps_its_own_positions() -> None:
    network = small_network()
    reference, source = picture(0, (61, 83)), picture(1, (50, 47))
    found = network.align(reference, source[:, None])
    back = geometry.resize_transform((61, 83), network.size, "area")
    working = geometry.transform_points(back[None], found.extras["mesh"].double())
    transform = MeshTransform(working, network.size, (61, 83), (50, 47))
    flow = warp(source, transform, (61, 83)).flow
    assert found.flow is not None
    assert (flow - found.flow[:, 0]).abs().max() < 1e-2


def test_large_pictures_interpolate_the_spline_between_working_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    mesh = geometry.regular_mesh(7, 7, (96, 96))[None] + torch.randn(1, 7, 7, 2, generator=generator)
    size = (400, 640)
    large, exact = (MeshTransform(mesh, (96, 96), size, size) for _ in range(2))
    assert large.dense
    assert not MeshTransform(mesh, (96, 96), (180, 180), (180, 180)).dense
    exact.dense = False
    # Beyond the frame, too, where it stays exact.
    xs, ys = torch.arange(-50.0, 700.0), torch.arange(-40.0, 450.0)
    found, expected = large.positions(xs, ys), exact.positions(xs, ys)
    inside = (slice(None), slice(60, 420), slice(80, 660))
    assert (found - expected)[inside].abs().mean() < 0.05
    assert (found - expected).abs().max() < 0.5
    assert torch.equal(found[:, :30], expected[:, :30])
    # The same bits, whatever else is asked for.
    assert torch.equal(large.positions(xs, ys[100:107]), found[:, 100:107])
