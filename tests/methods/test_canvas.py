"""Canvases: where the pictures lie, what is shown of them, and transforms that reach too far."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from raylign.methods import geometry
from raylign.methods.canvas import Blend, canvas_frame, seam, stitch
from raylign.methods.crossscale.resolution import MeshTransform
from raylign.methods.cubic_field import CubicField
from raylign.methods.errors import InputError
from raylign.methods.transform import HomographyTransform, Transform
from tests.methods.small import picture

BLENDS: tuple[Blend, ...] = ("linear", "seam")
WHOLE = picture(0, (120, 200))[0]


def shift(x: float, y: float, source_size: tuple[int, int]) -> HomographyTransform:
    """A source whose pixel (0, 0) lies at (x, y) of the reference."""
    homography = torch.tensor([[[1.0, 0, -x], [0, 1, -y], [0, 0, 1]]], dtype=torch.float64)
    return HomographyTransform(homography, source_size)


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize(
    ("reference", "source"),
    [
        ((20, 0, 120, 90), (60, 30, 140, 90)),
        ((60, 30, 140, 90), (20, 0, 120, 90)),
        ((0, 0, 100, 80), (110, 90, 60, 30)),
        ((0, 0, 200, 120), (50, 40, 30, 20)),
        ((50, 40, 30, 20), (0, 0, 200, 120)),
    ],
    ids=["right", "left", "apart", "inside", "around"],
)
def test_two_windows_make_the_whole(
    reference: tuple[int, int, int, int], source: tuple[int, int, int, int], blend: Blend
) -> None:
    (x, y, w, h), (u, v, p, q) = reference, source
    transform = shift(u - x, v - y, (q, p))
    found = stitch(WHOLE[:, y : y + h, x : x + w], WHOLE[:, v : v + q, u : u + p], transform, blend)
    left, top = min(x, u), min(y, v)
    right, bottom = max(x + w, u + p), max(y + h, v + q)
    assert found.reference_offset == (x - left, y - top)
    assert found.image.shape == (3, bottom - top, right - left)
    expected = torch.zeros(120, 200, dtype=torch.bool)
    expected[y : y + h, x : x + w] = True
    expected[v : v + q, u : u + p] = True
    expected = expected[top:bottom, left:right]
    assert torch.equal(found.mask, expected)
    assert (found.image - WHOLE[:, top:bottom, left:right] * expected).abs().max() < 1e-5


@pytest.mark.parametrize("blend", BLENDS)
def test_pixels_of_the_reference_alone_are_kept_to_the_last_bit(blend: Blend) -> None:
    reference, source = torch.rand(3, 60, 80), torch.rand(3, 50, 70)
    found = stitch(reference, source, shift(40.5, 20.25, (50, 70)), blend)
    assert found.reference_offset == (0, 0)
    assert torch.equal(found.image[:, :20, :80], reference[:, :20])
    assert torch.equal(found.image[:, :60, :40], reference[:, :, :40])


def test_linear_weights_are_the_distances_from_the_borders() -> None:
    # Black reference, white source: the canvas shows the source's share.
    found = stitch(torch.zeros(3, 41, 100), torch.ones(3, 41, 100), shift(60, 0, (41, 100)), "linear")
    row = found.image[0, 20]
    x = np.arange(60, 100)
    own = np.minimum(100 - x, 21)
    other = np.minimum(x - 60 + 1, 21)
    np.testing.assert_allclose(row[60:100].numpy(), other / (own + other), atol=1e-5)
    assert (row[:60] == 0).all()
    assert (row[100:] == 1).all()


def test_a_seam_goes_where_the_pictures_agree() -> None:
    # They differ everywhere in the overlap but in one vertical strip.
    reference, source = torch.full((3, 60, 120), 0.5), torch.full((3, 60, 120), 0.5)
    reference[:, :, 40:] = 0.9
    source[:, :, :80] = 0.1
    reference[:, :, 70:74] = source[:, :, 30:34] = 0.5
    found = stitch(reference, source, shift(40, 0, (60, 120)), "seam")
    assert torch.equal(found.image[:, :, :67], reference[:, :, :67])
    assert torch.allclose(found.image[:, :, 78:120], source[:, :, 38:80], atol=1e-6)
    assert found.mask.all()


def test_a_seam_is_cut_once_and_mixed_in_a_narrow_strip() -> None:
    reference, source = torch.zeros(3, 60, 120), torch.ones(3, 60, 120)
    found = stitch(reference, source, shift(40, 0, (60, 120)), "seam")
    share = found.image[0]
    assert (share.diff(dim=1) >= -1e-6).all()
    mixed = (share > 0) & (share < 1)
    assert mixed.float().sum(1).max() < 14
    assert share[:, 40].max() < 0.35
    assert share[:, 119].min() > 0.8


def test_the_cut_is_the_cheapest_of_all_straight_ones() -> None:
    random = np.random.default_rng(0)
    base = random.uniform(60, 200, (16, 24, 3)).astype(np.float32)
    other = base + random.uniform(20, 60, (16, 24, 3)).astype(np.float32)
    other[:, 11:13] = base[:, 11:13]
    masks = np.zeros((2, 16, 24), np.uint8)
    masks[0, :, :18] = masks[1, :, 6:] = 255
    label = seam((base, other), (masks[0], masks[1]))
    assert set(np.unique(label)) == {0.0, 1.0}
    assert (label[:, :6] == 0).all()
    assert (label[:, 18:] == 1).all()
    cost = [np.abs(base[:, c : c + 2] - other[:, c : c + 2]).sum() for c in range(6, 17)]
    assert (label.argmax(1) == 6 + int(np.argmin(cost)) + 1).all()


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("kind", ["bent", "mesh"])
def test_bent_transforms_reach_as_far_as_their_source(kind: str, blend: Blend) -> None:
    size, source_size = (90, 120), (100, 110)
    generator = torch.Generator().manual_seed(3)
    turn = torch.tensor([[[0.95, 0.1, -40.0], [-0.1, 0.97, 12.0], [1e-4, 2e-4, 1.0]]], dtype=torch.float64)
    transform: Transform
    if kind == "bent":
        control = torch.rand(1, 9, 11, 2, generator=generator) * 8 - 4
        transform = HomographyTransform(turn, source_size, CubicField(control, size, "spline"))
    else:
        regular = geometry.regular_mesh(5, 5, (96, 96))[None]
        moved = geometry.transform_points(geometry.invert_homography(turn), regular)
        wobble = torch.rand(1, 5, 5, 2, generator=generator) * 4
        transform = MeshTransform(moved + wobble, (96, 96), size, source_size)
    found = stitch(picture(1, size)[0], picture(2, source_size)[0], transform, blend)
    # An exhaustive look at a far larger plane finds nothing beyond the canvas.
    xs, ys = torch.arange(-150.0, 300), torch.arange(-150.0, 300)
    covered = geometry.coverage(transform.positions(xs, ys)[0], source_size) >= 0.999
    columns, rows = xs[covered.any(0)], ys[covered.any(1)]
    (x, y), (height, width) = found.reference_offset, found.mask.shape
    assert (-x, -y) == (int(min(columns[0], 0)), int(min(rows[0], 0)))
    assert (width - x - 1, height - y - 1) == (int(max(columns[-1], 119)), int(max(rows[-1], 89)))
    expected = covered.clone()
    expected[150 : 150 + 90, 150 : 150 + 120] = True
    assert torch.equal(found.mask, expected[150 - y : 150 - y + height, 150 - x : 150 - x + width])
    assert found.image.isfinite().all()
    assert 0 <= found.image.min() <= found.image.max() <= 1
    # Bilinear weights may sum to more than 1 by a rounding, which white pictures show.
    white = stitch(torch.ones(3, *size), torch.ones(3, *source_size), transform, blend)
    assert white.image.max() == 1


def perspective(strength: float) -> Tensor:
    return torch.tensor([[[1.0, 0, 0], [0, 1, 0], [strength, 0, 1]]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("homography", "message"),
    [
        # The source's right border lies at x / (1 - x / 90) of the reference.
        (perspective(1 / 90), "horizon"),
        (perspective(1 / 104), "would have"),
        (torch.diag(torch.tensor([0.1, 0.1, 1.0], dtype=torch.float64))[None], "would have 9"),
    ],
    ids=["horizon", "near the horizon", "enlarged"],
)
def test_a_source_that_reaches_too_far_is_refused(homography: Tensor, message: str) -> None:
    transform = HomographyTransform(homography, (100, 100))
    with pytest.raises(InputError, match=message):
        stitch(torch.rand(3, 100, 100), torch.rand(3, 100, 100), transform)
    with pytest.raises(InputError, match="take another method"):
        canvas_frame((100, 100), transform)


def test_a_magnified_source_is_not_refused() -> None:
    homography = torch.diag(torch.tensor([0.4, 0.4, 1.0], dtype=torch.float64))[None]
    found = stitch(torch.rand(3, 100, 100), torch.rand(3, 100, 100), HomographyTransform(homography, (100, 100)))
    assert found.image.shape == (3, 248, 248)


def test_the_seam_of_large_pictures_is_sought_at_a_reduced_size(monkeypatch: pytest.MonkeyPatch) -> None:
    import raylign.methods.canvas as module

    whole = picture(5, (300, 500))[0]
    transform = shift(150, 20, (260, 300))
    parts = whole[:, :260, :300], whole[:, 20:280, 150:450]
    shapes = []
    monkeypatch.setattr(module, "SEAM_PIXELS", 5000)
    monkeypatch.setattr(module, "seam", lambda looks, masks: shapes.append(looks[0].shape) or seam(looks, masks))
    found = stitch(*parts, transform, "seam")
    assert shapes[0][0] * shapes[0][1] <= 5100
    expected = whole[:, : found.mask.shape[0], : found.mask.shape[1]]
    assert ((found.image - expected) * found.mask).abs().max() < 1e-5


@pytest.mark.parametrize(("blend", "size"), itertools.product(BLENDS, [(1, 1), (1, 40), (33, 1)]))
def test_pictures_of_one_pixel(blend: Blend, size: tuple[int, int]) -> None:
    found = stitch(torch.ones(3, *size), torch.ones(3, *size), shift(0, 0, size), blend)
    assert torch.equal(found.image, torch.ones(3, *size))
