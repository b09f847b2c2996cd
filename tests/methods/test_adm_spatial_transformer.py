"""The spatial transformer: positions against OpenCV, pictures against SciPy, compositions against the way twice."""

from __future__ import annotations

import contextlib

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from raylign.methods import geometry
from raylign.methods.adm.spatial_transformer import composed, field_positions, resized_field, spatial_transform
from raylign.methods.classical.flow_aligner import resized
from raylign.methods.errors import InputError
from tests.methods.small import picture

SIZE = (48, 64)
Numbers = npt.NDArray[np.float64]


def homographies(seed: int, batch: int = 2, size: geometry.Size = SIZE, move: float = 0.15) -> Tensor:
    """Of corners that move by up to a share of the shorter side."""
    generator = torch.Generator().manual_seed(seed)
    corners = geometry.image_corners(size).expand(batch, 4, 2)
    moves = torch.rand(batch, 4, 2, generator=generator, dtype=torch.float64) * 2 - 1
    return geometry.homography_from_points(corners, corners + moves * move * min(size))


def fields(seed: int, batch: int = 2, size: geometry.Size = SIZE, most: float = 4.0) -> Tensor:
    """Smooth displacements of up to `most` pixels."""
    return (picture(seed, size, batch)[:, :2] * 2 - 1) * most


def waves(seed: int, size: geometry.Size, batch: int = 1) -> Tensor:
    """Slow waves `(B, 3, H, W)` in [0, 1], which bilinear samples show almost as they are."""
    phases = torch.rand(3, 1, 1, generator=torch.Generator().manual_seed(seed)) * 6
    ys, xs = ((torch.arange(side) + 0.5) / side for side in size)
    turns = torch.tensor([[3.0, 7.0], [9.0, -4.0], [1.0, 8.0]])[:, :, None, None]
    return (0.5 + 0.4 * torch.sin(turns[:, 0] * ys[:, None] + turns[:, 1] * xs + phases)).expand(batch, -1, -1, -1)


def applied(homography: Tensor, points: Numbers) -> Numbers:
    """Points (H, W, 2) under a homography, by OpenCV."""
    return cv2.perspectiveTransform(points.reshape(1, -1, 2), homography.double().numpy()).reshape(points.shape)


def pixels(size: geometry.Size) -> Numbers:
    ys, xs = np.mgrid[: size[0], : size[1]].astype(np.float64)
    return np.stack([xs, ys], axis=-1)


def displacement_at(field: Tensor, points: Numbers) -> Numbers:
    """A field (2, H, W) at points (H, W, 2), bilinear, its border repeated, by SciPy."""
    places = [points[..., 1], points[..., 0]]
    values = [ndimage.map_coordinates(part, places, order=1, mode="nearest") for part in field.double().numpy()]
    return np.stack(values, axis=-1)


def test_positions_are_those_of_opencv() -> None:
    homography, field = homographies(0), fields(1)
    found = field_positions(homography, field, SIZE)
    assert found.dtype == torch.float32
    assert found.shape == (2, *SIZE, 2)
    for item in range(2):
        moved = pixels(SIZE) + field[item].double().permute(1, 2, 0).numpy()
        np.testing.assert_allclose(found[item].numpy(), applied(homography[item], moved), atol=1e-4)


def test_far_away_positions_are_as_exact_as_without_a_field() -> None:
    # The sum of large terms in float32 would be off by hundredths of a pixel.
    homography = torch.tensor([[[1.02, 0.03, -4000.0], [-0.02, 0.98, -3000.0], [1e-6, -2e-6, 1.0]]])
    size = (4000, 8)
    field = torch.full((1, 2, *size), 0.25)
    moved = pixels(size) + 0.25
    found = field_positions(homography, field, size)[0].numpy()
    np.testing.assert_allclose(found, applied(homography[0], moved), atol=2e-3)


def test_no_field_is_a_field_of_zeros() -> None:
    homography = homographies(2)
    planar = geometry.homography_positions(homography, SIZE)
    assert torch.equal(field_positions(homography, None, SIZE), planar)
    assert torch.equal(field_positions(homography, torch.zeros(2, 2, *SIZE), SIZE), planar)


def test_beyond_the_horizon_is_far_outside_and_has_no_gradient() -> None:
    homography = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [-1 / 40, 0, 1]]], requires_grad=True)
    field = torch.zeros(1, 2, *SIZE)
    # The pixel at x = 35 is pushed beyond the horizon at x = 40, the one at x = 45 back before it.
    field[0, 0, :, 35], field[0, 0, :, 45] = 10, -10
    field.requires_grad_()
    found = field_positions(homography, field, SIZE)
    far = (found == geometry.FAR_OUTSIDE).all(dim=-1)[0, 0]
    assert [x for x in range(SIZE[1]) if far[x]] == [35, *range(40, 45), *range(46, SIZE[1])]
    warped, mask = spatial_transform(picture(0, SIZE), homography, field, SIZE)
    assert mask[..., far].max() == 0
    gradients = torch.autograd.grad(warped.sum(), (homography, field))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[1][..., far].abs().max() == 0


def test_gradients_are_those_of_the_formula() -> None:
    homography, field = homographies(3).requires_grad_(), fields(4).requires_grad_()
    weights = torch.rand(2, *SIZE, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found = (field_positions(homography, field, SIZE) * weights).sum()
    moved = geometry.pixel_grid(SIZE).double() + field.double().permute(0, 2, 3, 1)
    expected = (geometry.transform_points(homography, moved) * weights).sum()
    for ours, theirs in zip(
        torch.autograd.grad(found, (homography, field)),
        torch.autograd.grad(expected, (homography, field)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("with_field", [False, True])
def test_identity_gives_the_picture_back(with_field: bool) -> None:
    noise = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for source in (noise, picture(1, (256, 200), 2)):
        size = (source.shape[-2], source.shape[-1])
        field = torch.zeros(2, 2, *size) if with_field else None
        warped, mask = spatial_transform(source, torch.eye(3).expand(2, 3, 3), field, size)
        torch.testing.assert_close(warped, source, rtol=0, atol=1e-5)
        assert mask.shape == (2, 1, *size)
        assert mask.min() == 1


def test_pictures_and_coverage_are_those_of_scipy() -> None:
    source, homography, field = picture(6, (40, 56), 2), homographies(7), fields(8)
    warped, mask = spatial_transform(source, homography, field, SIZE)
    for item in range(2):
        places = applied(homography[item], pixels(SIZE) + field[item].double().permute(1, 2, 0).numpy())
        for channel, expected in ((mask[item, 0], torch.ones(40, 56)), *zip(warped[item], source[item], strict=True)):
            sampled = ndimage.map_coordinates(
                expected.double().numpy(), [places[..., 1], places[..., 0]], order=1, mode="grid-constant"
            )
            np.testing.assert_allclose(channel.numpy(), sampled, atol=2e-4)
    assert 0 < mask.mean() < 1


def test_without_a_field_it_is_the_warp_by_a_homography() -> None:
    source, homography = picture(9, (40, 56), 2), homographies(10)
    for found, expected in zip(
        spatial_transform(source, homography, None, SIZE),
        geometry.warp_by_homography(source, homography, SIZE),
        strict=True,
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(torch.float64, torch.float64), (torch.float32, torch.float32), (torch.bfloat16, torch.float32)],
)
def test_types(given: torch.dtype, expected: torch.dtype) -> None:
    source, homography, field = picture(11, SIZE), homographies(12, 1), fields(13, 1)
    exact, _ = spatial_transform(source.to(given).float(), homography, field, SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        warped, mask = spatial_transform(source.to(given), homography, field, SIZE)
        assert field_positions(homography, field, SIZE).dtype == torch.float32
    assert warped.dtype == expected
    assert mask.dtype == torch.float32
    torch.testing.assert_close(warped.float(), exact, rtol=0, atol=1e-5)


@settings(derandomize=True, deadline=None, max_examples=25, database=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    source_size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    batch=st.integers(1, 3),
    most=st.sampled_from([0.0, 3.0, 1e3, 1e7]),
    seed=st.integers(0, 99),
)
def test_whatever_the_sizes_all_is_finite(
    size: geometry.Size, source_size: geometry.Size, batch: int, most: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    source = torch.rand(batch, 2, *source_size, generator=generator)
    homography = torch.eye(3) + 0.3 * torch.randn(batch, 3, 3, generator=generator)
    field = most * torch.randn(batch, 2, *size, generator=generator)
    warped, mask = spatial_transform(source, homography, field, size)
    assert warped.shape == (batch, 2, *size)
    assert mask.shape == (batch, 1, *size)
    for values in (warped, mask):
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-5
    larger = resized_field(field, (size[0] + 3, 2 * size[1]))
    assert larger.shape == (batch, 2, size[0] + 3, 2 * size[1])
    assert larger.isfinite().all()


@pytest.mark.parametrize("shape", [(2, 2, 48, 63), (1, 2, 48, 64), (2, 3, 48, 64), (2, 48, 64, 2)])
def test_fields_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    homography, field = homographies(0), torch.zeros(shape)
    with pytest.raises(InputError, match=r"field must be \(2, 2, 48, 64\).*resized_field"):
        field_positions(homography, field, SIZE)
    with pytest.raises(InputError, match="field must be"):
        composed(homography, field, homography, None, SIZE)
    with pytest.raises(InputError, match="field must be"):
        composed(homography, None, homography, field, SIZE)


@pytest.mark.parametrize("full", [(192, 256), (130, 333), (24, 32)])
def test_a_resized_field_leads_to_the_same_places(full: geometry.Size) -> None:
    """At any place of the reference, where the field is linear and thus the same between all pixels."""
    working, source_working, source_full = (64, 64), (64, 64), (100, 150)
    homography = homographies(14, 2, working)
    xs, ys = (along / 63 for along in geometry.pixel_grid(working).unbind(-1))
    field = torch.stack([3 * xs - 2 * ys, 1 + 4 * ys - xs]).expand(2, -1, -1, -1)
    rescaled = geometry.rescale_homography(
        homography, size_a=(working, full), size_b=(source_working, source_full), rule="area"
    )
    enlarged = resized_field(field, full)
    found = field_positions(rescaled, enlarged, full)
    # The same by hand: from the full reference to the working one, over, and on to the full source.
    height, width = full
    at = (pixels(full) + 0.5) / np.array([width, height]) * 64 - 0.5
    for item in range(2):
        there = applied(homography[item], at + displacement_at(field[item], at))
        expected = (there + 0.5) / 64 * np.array([150, 100]) - 0.5
        # Outside of the outermost pixel centres of the smaller size the field ends.
        inner = ((at >= 0) & (at <= 63)).all(axis=-1)
        assert inner.mean() > 0.9
        np.testing.assert_allclose(found[item].numpy()[inner], expected[inner], atol=2e-3)


def test_pictures_at_full_and_at_working_size_agree() -> None:
    working, full = (64, 64), (256, 192)
    source = waves(15, full)
    homography, field = homographies(16, 1, working, 0.1), 4 * waves(17, working)[:, :2] - 2
    small, small_cover = spatial_transform(resized(source, working), homography, field, working)
    gaps = []
    rules: tuple[geometry.ResizeRule, ...] = ("area", "align_corners")
    for rule in rules:
        rescaled = geometry.rescale_homography(homography, size_a=(working, full), size_b=(working, full), rule=rule)
        large, cover = spatial_transform(source, rescaled, resized_field(field, full), full)
        seen = (small_cover > 0.999) & (resized(cover, working) > 0.999)
        assert seen.float().mean() > 0.5
        gaps.append((((resized(large, working) - small).abs() * seen).sum() / seen.sum()).item())
    assert gaps[0] < 0.003
    assert gaps[1] > 2 * gaps[0]


def test_a_field_of_its_size_is_left_alone() -> None:
    field = fields(18)
    assert torch.equal(resized_field(field, SIZE), field)


def test_the_second_homography_comes_first() -> None:
    twice = torch.tensor([[[2.0, 0, 0], [0, 2, 0], [0, 0, 1]]])
    shifted = torch.tensor([[[1.0, 0, 3], [0, 1, 0], [0, 0, 1]]])
    # A pixel (1, 5) of the reference shows (4, 5) of what the first brought over, which shows (8, 10) of the source.
    homography, field = composed(twice, None, shifted, None, SIZE)
    assert field is None
    assert homography.dtype == torch.float64
    point = torch.tensor([[1.0, 5.0]])
    assert geometry.transform_points(homography, point).tolist() == [[8.0, 10.0]]


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_a_composition_leads_where_the_way_twice_leads(first: bool, second: bool) -> None:
    one, two = homographies(19), homographies(20)
    one_field, two_field = fields(21) if first else None, fields(22) if second else None
    homography, field = composed(one, one_field, two, two_field, SIZE)
    assert (field is not None) == (first or second)
    np.testing.assert_allclose(homography[:, 2, 2].numpy(), 1)
    found = field_positions(homography, field, SIZE)
    for item in range(2):
        points = pixels(SIZE)
        outside = 0
        for plane, moves in ((two, two_field), (one, one_field)):
            if moves is not None:
                points = points + displacement_at(moves[item], points)
            points = applied(plane[item], points)
            outside += np.count_nonzero((points < 0) | (points > np.array([63, 47])))
        assert outside > 50
        np.testing.assert_allclose(found[item].numpy(), points, atol=1e-3)


def test_a_composition_shows_what_warping_twice_shows() -> None:
    source = waves(23, SIZE, 2)
    one, two = homographies(24, move=0.05), homographies(25, move=0.05)
    one_field, two_field = fields(26, most=1.5), fields(27, most=1.5)
    between, first_cover = spatial_transform(source, one, one_field, SIZE)
    twice, second_cover = spatial_transform(between, two, two_field, SIZE)
    behind, _ = spatial_transform(first_cover, two, two_field, SIZE)
    once, cover = spatial_transform(source, *composed(one, one_field, two, two_field, SIZE), SIZE)
    seen = (second_cover > 0.999) & (behind > 0.999) & (cover > 0.999)
    assert seen.float().mean() > 0.6
    # Interpolating twice blurs a little.
    assert ((once - twice).abs() * seen).max() < 0.01
    wrong, _ = spatial_transform(source, *composed(two, two_field, one, one_field, SIZE), SIZE)
    assert ((wrong - twice).abs() * seen).max() > 0.06


def test_a_composition_undoes_what_is_the_inverse() -> None:
    one = homographies(28)
    homography, field = composed(one, None, geometry.invert_homography(one), None, SIZE)
    assert field is None
    torch.testing.assert_close(homography, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    unmoved, field = composed(one, fields(29), torch.eye(3).expand(2, 3, 3), torch.zeros(2, 2, *SIZE), SIZE)
    torch.testing.assert_close(unmoved, one / one[:, 2:, 2:])
    torch.testing.assert_close(field, fields(29), rtol=0, atol=1e-4)


def test_a_composition_beyond_the_horizon_stays_finite() -> None:
    second = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [-1 / 40, 0, 1]]])
    one_field, two_field = fields(30, 1).requires_grad_(), fields(31, 1, most=1.0)
    _, field = composed(homographies(32, 1), one_field, second, two_field, SIZE)
    assert field is not None
    assert field.isfinite().all()
    assert torch.allclose(field[..., 45:], two_field[..., 45:], atol=1e-4)
    (gradient,) = torch.autograd.grad(field[..., :30].sum(), one_field)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def test_all_stays_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On torch's device without storage, which refuses tensors of another one, and knows no autocast."""
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **options: contextlib.nullcontext())
    homography, field = torch.eye(3, device="meta").expand(2, 3, 3), torch.zeros(2, 2, *SIZE, device="meta")
    source = torch.zeros(2, 3, 20, 30, device="meta")
    for found in (
        *spatial_transform(source, homography, field, SIZE),
        *spatial_transform(source, homography, None, SIZE),
        *composed(homography, field, homography, field, SIZE),
        resized_field(field, (10, 10)),
    ):
        assert found is not None
        assert found.is_meta
