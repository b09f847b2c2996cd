"""The baselines that bend a homography: APAP and photometric mesh refinement."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch import Tensor

from raylign.methods import Aligner, Alignment, geometry
from raylign.methods.classical.apap import Apap, moving_dlt
from raylign.methods.classical.keypoints import Matches
from raylign.methods.classical.mesh import CubicLattice, off_plane
from raylign.methods.classical.sift import Sift
from raylign.methods.classical.sift_mesh import PicturePair, SiftMesh, normal_equations, refine

SIZE = (180, 240)


def sharp_picture(seed: int, size: tuple[int, int]) -> Tensor:
    """Rectangles of random colours, slightly blurred, `(1, 3, H, W)`: corners for SIFT at many scales."""
    random = np.random.default_rng(seed)
    image = np.full((*size, 3), 0.5, np.float32)
    for _ in range(size[0] * size[1] // 90):
        x, y = random.integers(0, size[1]), random.integers(0, size[0])
        w, h = random.integers(3, 24, 2)
        image[y : y + h, x : x + w] = random.random(3)
    return torch.from_numpy(cv2.GaussianBlur(image, (0, 0), 0.8)).permute(2, 0, 1)[None]


def seen_at(source: Tensor, positions: Tensor) -> Tensor:
    """The reference `(1, 3, H, W)` whose pixels lie at `positions (H, W, 2)` in the source."""
    x, y = positions.float().numpy().transpose(2, 0, 1)
    seen = cv2.remap(source[0].permute(1, 2, 0).numpy(), x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return torch.from_numpy(seen).permute(2, 0, 1)[None].clamp(0, 1)


def plane(size: tuple[int, int] = SIZE) -> Tensor:
    """A homography `(1, 3, 3)` that moves, turns and tilts a little."""
    corners = geometry.image_corners(size)[None]
    moved = corners + torch.tensor([[[6.0, 4.0], [-3.0, 7.0], [2.0, -5.0], [-6.0, -3.0]]], dtype=torch.float64)
    return geometry.homography_from_points(corners, moved)


def two_planes() -> Tensor:
    """True positions `(H, W, 2)`: the right half is nearer, and slides over by 8 pixels within a narrow band."""
    positions = geometry.homography_positions(plane(), SIZE)[0].clone()
    across = torch.arange(SIZE[1])
    positions[..., 0] += 8 * torch.sigmoid((across - SIZE[1] / 2) / 5)
    return positions


def wavy() -> Tensor:
    """True positions `(H, W, 2)`: a homography and a smooth displacement of up to 4 pixels."""
    grid = geometry.pixel_grid(SIZE)
    bend = torch.stack([torch.sin(grid[..., 1] / 28), torch.cos(grid[..., 0] / 35)], dim=-1)
    return geometry.homography_positions(plane(), SIZE)[0] + 4 * bend


def errors(found: Alignment, true: Tensor) -> Tensor:
    """Distances in pixels of the reference's pixels, but for a margin."""
    assert found.flow is not None
    positions = found.flow[0, 0].permute(1, 2, 0) + geometry.pixel_grid(SIZE)
    return (positions - true).norm(dim=-1)[10:-10, 10:-10]


def difference(found: Alignment, reference: Tensor, mask: Tensor) -> float:
    return float(((found.image - reference).square() * mask).sum() / mask.sum())


def test_moving_dlt_of_one_place_is_a_weighted_svd() -> None:
    random = np.random.default_rng(0)
    a = random.uniform(0, 300, (40, 2))
    b = geometry.transform_points(plane(), torch.from_numpy(a)[None])[0].numpy() + random.normal(0, 3, (40, 2))
    place, sigma, gamma = np.array([80.0, 120.0]), 60.0, 0.05
    found = moving_dlt(*(torch.from_numpy(x) for x in (a, b, place[None])), sigma, gamma)[0].numpy()

    def conditioned(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centre = points.mean(0)
        scale = np.sqrt(2) / np.linalg.norm(points - centre, axis=1).mean()
        return (points - centre) * scale, np.array(
            [[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]]
        )

    (p, to_a), (q, to_b) = conditioned(a), conditioned(b)
    rows = []
    for (x, y), (u, v), original in zip(p, q, a, strict=True):
        weight = max(gamma, np.exp(-np.sum((original - place) ** 2) / sigma**2))
        rows.append(weight * np.array([0, 0, 0, -x, -y, -1, v * x, v * y, v]))
        rows.append(weight * np.array([x, y, 1, 0, 0, 0, -u * x, -u * y, -u]))
    smallest = np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3)
    expected = np.linalg.inv(to_b) @ smallest @ to_a
    np.testing.assert_allclose(found / found[2, 2], expected / expected[2, 2], rtol=1e-6, atol=1e-9)


def test_moving_dlt_without_width_is_one_homography_everywhere() -> None:
    a = torch.rand(30, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 200
    b = geometry.transform_points(plane(), a[None])[0]
    found = moving_dlt(a, b, a[:3], sigma=1.0, gamma=0.5)
    assert torch.allclose(found / found[:, 2:, 2:], plane().expand(3, 3, 3), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", [Apap, SiftMesh])
def test_one_plane_stays_one_plane(method: type[Aligner]) -> None:
    source = sharp_picture(0, SIZE)
    true = geometry.homography_positions(plane(), SIZE)[0]
    found = method().align(seen_at(source, true), source[:, None])
    assert found.homography is not None
    flat = geometry.homography_positions(found.homography[:, 0], SIZE)[0]
    assert errors(found, flat).mean() < 0.3
    assert errors(found, true).mean() < 0.3


@pytest.mark.parametrize("method", [Apap, SiftMesh])
@pytest.mark.parametrize("scene", [two_planes, wavy])
def test_parallax_is_followed(method: type[Aligner], scene: Callable[[], Tensor]) -> None:
    true = scene()
    source = sharp_picture(2, SIZE)
    reference = seen_at(source, true)
    start, found = (aligner.align(reference, source[:, None]) for aligner in (Sift(), method()))
    assert start.homography is not None
    assert found.homography is not None
    assert torch.equal(start.homography, found.homography)
    assert found.confidence is not None
    assert start.confidence is not None
    assert torch.equal(found.confidence, start.confidence)
    share = 0.6 if method is Apap else 0.25
    assert errors(found, true).mean() < share * errors(start, true).mean()
    both = found.mask * start.mask
    assert difference(found, reference, both) < 0.7 * difference(start, reference, both)


def test_apap_has_no_seams() -> None:
    source = sharp_picture(2, SIZE)
    found = Apap(vertices=9).align(seen_at(source, two_planes()), source[:, None])
    assert found.flow is not None
    # A seam would be a jump of the flow from one pixel to the next; 8 px over half a picture is a gentle slope.
    assert found.flow.diff(dim=-1).abs().max() < 0.7
    assert found.flow.diff(dim=-2).abs().max() < 0.7


@pytest.mark.parametrize("method", [Apap, SiftMesh])
def test_mesh_and_flow_tell_the_same(method: type[Aligner]) -> None:
    source = sharp_picture(3, SIZE)
    found = method().align(seen_at(source, wavy()), source[:, None])
    mesh = found.extras["mesh"]
    assert found.flow is not None
    corners = mesh[0][[0, 0, -1, -1], [0, -1, 0, -1]] - geometry.image_corners(SIZE)
    at_corners = found.flow[0, 0][:, [0, 0, -1, -1], [0, -1, 0, -1]].T
    assert torch.allclose(corners.float(), at_corners, atol=1e-3)


def test_sift_mesh_on_larger_pictures_of_unequal_size() -> None:
    source = sharp_picture(4, (260, 360))
    to_source = geometry.resize_transform(SIZE, (260, 360), "area")
    true = geometry.transform_points(to_source[None], wavy()[None])[0].float()
    reference = seen_at(source, true)
    start = Sift().align(reference, source[:, None])
    found = SiftMesh(max_side=160).align(reference, source[:, None])
    assert errors(found, true).mean() < 0.3 * errors(start, true).mean()


def test_sift_mesh_bears_other_light_and_is_never_worse() -> None:
    source = sharp_picture(5, SIZE)
    reference = seen_at(source, wavy())
    darker = reference * torch.tensor([0.7, 0.8, 0.75])[:, None, None] + 0.1
    found = SiftMesh().align(darker, source[:, None])
    assert errors(found, wavy()).mean() < 0.5
    # What moves by noise alone cannot be bent better than it is.
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    flat = seen_at(source, geometry.homography_positions(plane(), SIZE)[0])
    noisy = (flat + 0.1 * noise).clamp(0, 1)
    start, found = (aligner.align(noisy, source[:, None]) for aligner in (Sift(), SiftMesh()))
    both = found.mask * start.mask
    assert difference(found, noisy, both) <= 1.001 * difference(start, noisy, both)


def test_gradient_of_the_mesh_is_that_of_its_error() -> None:
    source = sharp_picture(6, (60, 80))
    source = torch.nn.functional.avg_pool2d(source, 9, 1, 4)
    reference = seen_at(source, geometry.pixel_grid((60, 80)) + 1.5)
    lattice = CubicLattice(2, 3)
    pictures = PicturePair(reference, source, torch.eye(3).double()[None], lattice, torch.tensor([1.0, 0.5]))
    control = 0.3 * torch.randn(*lattice.shape, 2, generator=torch.Generator().manual_seed(0))
    view = pictures.look(control)
    bending = 1e-3 * lattice.bending()
    hessian, descent = normal_equations(lattice, view, bending, control)
    assert torch.allclose(hessian, hessian.T)
    assert torch.linalg.eigvalsh(hessian)[0] > -1e-9

    def energy(moved: Tensor) -> float:
        flat = moved.double().flatten(0, 1)
        return pictures.look(moved, view.scale).error() + float((flat * (bending @ flat)).sum())

    # Half the gradient, x first. Compared in a step along it: single derivatives are smaller than float32 resolves.
    direction = (descent / descent.norm()).view(2, *lattice.shape).permute(1, 2, 0).float()
    slope = (energy(control + 0.05 * direction) - energy(control - 0.05 * direction)) / 0.1
    assert slope == pytest.approx(2 * float(descent.norm()), rel=0.15)


def test_the_plane_stays_where_bending_does_not_help() -> None:
    source = sharp_picture(8, (60, 80))
    lattice = CubicLattice(3, 4)
    still = torch.zeros(*lattice.shape, 2)
    same = PicturePair(source, source, torch.eye(3).double()[None], lattice, torch.ones(2))
    assert not same.agrees_better(still, still)
    assert not same.agrees_better(still + 2, still)
    shifted = PicturePair(source.roll(-2, dims=3), source, torch.eye(3).double()[None], lattice, torch.ones(2))
    right = still + torch.tensor([2.0, 0.0])
    assert shifted.agrees_better(right, still)
    # Where next to nothing overlaps, nothing disagrees.
    assert not same.agrees_better(still + torch.tensor([70.0, 0.0]), still)
    # Unrelated pictures: whatever the descent does, the answer is no worse than the plane.
    other = sharp_picture(9, (60, 80))
    start = 20 * torch.randn(*lattice.shape, 2, generator=torch.Generator().manual_seed(0))
    identity = torch.eye(3, dtype=torch.float64)[None]
    bent = refine(other, source, identity, lattice, start)
    pictures = PicturePair(other, source, identity, lattice, torch.ones(2))
    assert torch.equal(bent, still) or pictures.agrees_better(bent, still)


def test_cubic_lattice_is_scipys_spline_at_any_size() -> None:
    lattice = CubicLattice(3, 5)
    control = torch.randn(*lattice.shape, 2, generator=torch.Generator().manual_seed(0))
    field = lattice.on_pixels(control, (30, 40))

    def along(values: np.ndarray, cells: int, length: int) -> np.ndarray:
        knots = np.arange(-3, cells + 4)
        return BSpline(knots, values, 3)((np.arange(length) + 0.5) * cells / length)

    expected = along(np.moveaxis(along(control.numpy(), 3, 30), 1, 0), 5, 40)
    np.testing.assert_allclose(field.numpy(), np.moveaxis(expected, 0, 1), atol=1e-5)
    point = torch.tensor([[12.0, 7.0]], dtype=torch.float64)
    at = lattice.at(point, (30, 40)) @ control.double().flatten(0, 1)
    assert torch.allclose(at[0].float(), field[7, 12], atol=1e-5)
    # The centres of 2 x 2 pixels have the place of the pixel they reduce to.
    pooled = torch.nn.functional.avg_pool2d(lattice.on_pixels(control, (60, 80)).permute(2, 0, 1), 2)
    assert (pooled.permute(1, 2, 0) - field).abs().max() < 0.02
    affine = torch.stack(torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij"), dim=-1)
    flat = affine.double().flatten(0, 1)
    mixed = (flat[:, :1] * flat[:, 1:])[:, 0]
    # i j has mixed differences 1 and no others: 2 * 5 * 7 of them over 6 * 8 points.
    assert float(mixed @ lattice.bending() @ mixed) == pytest.approx(2 * 5 * 7 / 48)
    assert float((flat.T @ lattice.bending() @ flat).abs().max()) < 1e-12


def test_matches_off_the_plane_need_neighbours() -> None:
    random = np.random.default_rng(0)
    a = random.uniform(0, 200, (60, 2))
    b = a.copy()
    near = a[:, 0] > 140
    b[near] += (6.0, 0.0)
    b[:4] += random.uniform(30, 60, (4, 2))
    b[4:8] += random.uniform(-15, 15, (4, 2))
    inliers = np.linalg.norm(b - a, axis=1) < 1
    matches = Matches(a, b, inliers, torch.eye(3, dtype=torch.float64), 0.9)
    kept = off_plane(matches, torch.eye(3, dtype=torch.float64), (200, 200))
    expected = inliers | near
    expected[:8] = False
    order = np.lexsort(a[expected].T[::-1])
    np.testing.assert_allclose(kept.reference.numpy(), a[expected][order])
    np.testing.assert_allclose(kept.source.numpy(), b[expected][order])


@pytest.mark.parametrize("method", [Apap, SiftMesh])
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (60, 90)])
def test_nothing_found_is_the_identity_without_confidence(method: type[Aligner], size: tuple[int, int]) -> None:
    reference = torch.full((2, 3, *size), 0.5)
    found = method().align(reference, torch.zeros(2, 1, 3, 20, 30))
    assert found.confidence is not None
    assert found.confidence.tolist() == [0.0, 0.0]
    assert found.flow is not None
    assert (found.flow == 0).all()
    assert found.image.shape == reference.shape


@pytest.mark.parametrize("method", [Apap, SiftMesh])
def test_the_same_answer_twice_and_in_a_batch(method: type[Aligner]) -> None:
    source = sharp_picture(7, (100, 120))
    reference = source.roll((3, 5), dims=(2, 3))
    batch = method().align(torch.cat([reference, torch.zeros_like(reference)]), torch.cat([source, source])[:, None])
    alone = method().align(reference, source[:, None])
    assert batch.flow is not None
    assert alone.flow is not None
    assert torch.equal(batch.flow[:1], alone.flow)
