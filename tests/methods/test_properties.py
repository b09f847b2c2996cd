"""Whatever the sizes, types and batches: results are finite, or the input is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from raylign.methods import Aligner, geometry
from raylign.methods.canvas import stitch
from raylign.methods.crossscale.resolution import MeshTransform
from raylign.methods.cubic_field import CubicField
from raylign.methods.errors import InputError
from raylign.methods.registry import load
from raylign.methods.transform import HomographyTransform, Transform, warp
from tests.methods.small import picture, small_network

repeatable = settings(
    derandomize=True,
    deadline=None,
    max_examples=25,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
few = settings(repeatable, max_examples=8)

sides = st.one_of(st.integers(1, 4), st.integers(5, 300))
sizes = st.tuples(sides, sides)
seeds = st.integers(0, 2**16)


def homographies(seed: int, size: geometry.Size, batch: int) -> Tensor:
    """Of corners that move by up to a tenth of the picture, or by 2 pixels in small ones."""
    generator = torch.Generator().manual_seed(seed)
    size = (max(size[0], 20), max(size[1], 20))
    corners = geometry.image_corners(size).expand(batch, 4, 2)
    moved = torch.rand(batch, 4, 2, generator=generator, dtype=torch.float64) * 0.2 - 0.1
    return geometry.homography_from_points(corners, corners + moved * min(size))


@st.composite
def transforms(draw: st.DrawFn) -> tuple[Transform, geometry.Size, int]:
    """A transform, the size of its references, and of its batch."""
    size, source_size, batch, seed = draw(sizes), draw(sizes), draw(st.integers(1, 3)), draw(seeds)
    generator = torch.Generator().manual_seed(seed)
    shape = draw(st.tuples(st.integers(4, 12), st.integers(4, 12)))
    control = torch.rand(batch, *shape, 2, generator=generator) * 4 - 2
    kind = draw(st.sampled_from(["plane", "spline", "convolution", "mesh", "adapted mesh"]))
    plane = homographies(seed, size, batch)
    if kind == "plane":
        return HomographyTransform(plane, source_size), size, batch
    if kind in ("spline", "convolution"):
        field = CubicField(control, size, kernel="spline" if kind == "spline" else "convolution")
        return HomographyTransform(plane, source_size, field), size, batch
    working = draw(st.tuples(st.integers(16, 128), st.integers(16, 128)))
    regular = geometry.regular_mesh(5, 4, working).expand(batch, -1, -1, -1)
    mesh = regular + torch.rand(batch, 5, 4, 2, generator=generator)
    added = control if kind == "adapted mesh" else None
    return MeshTransform(mesh, working, size, source_size, added), size, batch


@repeatable
@given(sizes, sizes, st.integers(1, 3), seeds, st.sampled_from([torch.float32, torch.float64]))
def test_homographies(size: geometry.Size, other: geometry.Size, batch: int, seed: int, dtype: torch.dtype) -> None:
    homography = homographies(seed, size, batch).to(dtype)
    both = geometry.invert_homography(geometry.invert_homography(homography))
    assert torch.allclose(both, homography, rtol=1e-3, atol=1e-3)
    resized = geometry.rescale_homography(homography, size_a=(size, other), size_b=(size, other), rule="area")
    back = geometry.rescale_homography(resized, size_a=(other, size), size_b=(other, size), rule="area")
    assert torch.allclose(back, homography.double(), rtol=1e-5, atol=1e-6)
    image = torch.rand(batch, 3, *other, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    warped, mask = geometry.warp_by_homography(image, homography, size)
    assert warped.shape == (batch, 3, *size)
    assert warped.dtype == dtype
    assert warped.isfinite().all()
    assert 0 <= mask.min() <= mask.max() <= 1


@repeatable
@given(sizes, seeds)
def test_normalised_points_come_back(size: geometry.Size, seed: int) -> None:
    points = torch.rand(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 400 - 50
    back = geometry.denormalise_points(geometry.normalise_points(points, size), size)
    assert torch.allclose(back, points)


@repeatable
@given(transforms(), st.integers(1, 40), seeds)
def test_warps_are_finite_and_the_same_by_any_bands(
    drawn: tuple[Transform, geometry.Size, int], rows: int, seed: int
) -> None:
    transform, size, batch = drawn
    source = torch.rand(batch, 3, *transform.source_size, generator=torch.Generator().manual_seed(seed))
    whole, cut = warp(source, transform, size, rows=size[0]), warp(source, transform, size, rows=rows)
    for name in ("image", "mask", "flow"):
        assert getattr(whole, name).isfinite().all()
        assert torch.equal(getattr(whole, name), getattr(cut, name))
    assert set(whole.mask.unique().tolist()) <= {0.0, 1.0}
    assert 0 <= whole.image.min() <= whole.image.max() <= 1 + 1e-6


@repeatable
@given(transforms())
def test_outlines_lie_on_the_border(drawn: tuple[Transform, geometry.Size, int]) -> None:
    transform, _, batch = drawn
    outline = transform.outline()
    assert outline.shape[::2] == (batch, 2)
    x, y = transform.at(outline[outline.isfinite().all(-1)].view(batch, -1, 2) if batch == 1 else outline).unbind(-1)
    height, width = transform.source_size
    inside = (x > -1) & (x < width) & (y > -1) & (y < height)
    # Where the map folds or ends, a border point may have no origin.
    assert inside[x.isfinite()].float().mean() > 0.5


@repeatable
@given(transforms(), st.sampled_from(["linear", "seam"]), seeds)
def test_canvases_are_finite_or_refused(drawn: tuple[Transform, geometry.Size, int], blend: str, seed: int) -> None:
    transform, size, batch = drawn
    if batch > 1:
        return
    generator = torch.Generator().manual_seed(seed)
    reference, source = torch.rand(3, *size, generator=generator), torch.rand(3, *transform.source_size)
    try:
        found = stitch(reference, source, transform, blend)
    except InputError:
        return
    (x, y), (height, width) = found.reference_offset, found.mask.shape
    assert found.image.isfinite().all()
    assert 0 <= found.image.min() <= found.image.max() <= 1 + 1e-6
    assert found.mask[y : y + size[0], x : x + size[1]].all()
    assert height <= 8 * max(size[0] * size[1], transform.source_size[0] * transform.source_size[1]) // width + 1 + 16


@pytest.fixture(scope="module")
def network() -> Aligner:
    return small_network()


def _check(aligner: Aligner, size: geometry.Size, source_size: geometry.Size, batch: int, seed: int) -> None:
    reference, source = picture(seed, size, batch), picture(seed, source_size, batch)
    try:
        found = aligner.align(reference, source[:, None])
    except InputError:
        return
    assert found.image.shape == (batch, 3, *size)
    assert found.mask.shape == (batch, 1, *size)
    assert found.flow is not None
    assert found.flow.shape == (batch, 1, 2, *size)
    for told in (found.image, found.mask, found.flow, found.homography, found.confidence):
        assert told is not None
        assert told.isfinite().all()


@few
@given(sizes, sizes, st.integers(1, 2), seeds)
@pytest.mark.parametrize("name", ["identity", "sift"])
def test_alignments_of_any_size(
    name: str, size: geometry.Size, source_size: geometry.Size, batch: int, seed: int
) -> None:
    _check(load(name), size, source_size, batch, seed)


@few
@given(sizes, sizes, st.integers(1, 2), seeds)
def test_alignments_of_the_network(
    network: Aligner, size: geometry.Size, source_size: geometry.Size, batch: int, seed: int
) -> None:
    _check(network, size, source_size, batch, seed)
