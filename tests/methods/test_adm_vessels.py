"""Vessels: the filter on drawn retinas and against scikit-image and SciPy, the network, its loss against NumPy."""

from __future__ import annotations

import contextlib
import math

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import black_tophat
from torch import Tensor

from raylign.methods.adm.vessel_filter import MARGIN, SIDE, field_of_view, vessel_map
from raylign.methods.adm.vessel_network import VesselNetwork, vessel_loss
from raylign.methods.errors import InputError

few = settings(derandomize=True, deadline=None, max_examples=20, database=None)
sides = st.one_of(st.integers(1, 12), st.integers(13, 90))
Mask = npt.NDArray[np.bool_]


def courses(side: int) -> list[tuple[npt.NDArray[np.float64], float]]:
    """Middle lines (N, 2) of drawn vessels, in pixels, and their widths."""
    along = np.linspace(0, 1, 200)
    lines = [
        (np.stack([0.1 + 0.8 * along, 0.3 + 0.25 * (along - 0.4) ** 2], 1), 8 / 512),
        (np.stack([0.15 + 0.7 * along, 0.75 - 0.2 * along**2], 1), 7 / 512),
        (np.stack([0.35 + 0.1 * np.sin(4 * along), 0.1 + 0.8 * along], 1), 5 / 512),
        (np.stack([0.7 - 0.08 * np.sin(5 * along), 0.15 + 0.7 * along], 1), 4 / 512),
        (np.stack([0.5 + 0.3 * along, 0.2 + 0.3 * along], 1), 4 / 512),
    ]
    return [(line * side, width * side) for line, width in lines]


def retina(side: int, seed: int = 0, light: float = 1.0) -> tuple[Tensor, Mask, Mask]:
    """A picture `(1, 3, S, S)`, its vessels and its field: dark lines on a textured disc, uneven light, black around.

    Drawn at 1024 pixels and reduced, so that it is the same at any size.
    """
    fine = 1024
    ys, xs = (np.mgrid[:fine, :fine] + 0.5) / fine
    disc = ((xs - 0.5) ** 2 + (ys - 0.5) ** 2 < 0.47**2).astype(np.float32)
    drawn = np.zeros((fine, fine), np.uint8)
    for line, width in courses(fine):
        points = (line * 8).round().astype(np.int32)
        cv2.polylines(drawn, [points], False, 255, round(width), cv2.LINE_AA, shift=3)
    noise = np.random.default_rng(seed).standard_normal((fine, fine)).astype(np.float32)
    slow = cv2.GaussianBlur(noise, (0, 0), 40)
    texture = 0.03 * slow / slow.std() + 0.01 * cv2.GaussianBlur(noise, (0, 0), 3) * 10
    uneven = 0.75 + 0.45 * (xs - ys) - 0.5 * ((xs - 0.5) ** 2 + (ys - 0.5) ** 2)
    ground = (0.5 + texture) * uneven * disc
    # Red shows no vessels, and blue next to nothing at all.
    colours = np.stack([1.5 * ground, ground * (1 - 0.35 * drawn / 255.0), 0.1 * ground]).clip(0, 1) * light
    step = fine // side

    def reduced(layer: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return layer.reshape(side, step, side, step).mean(axis=(1, 3))

    picture = np.stack([reduced(layer) for layer in colours])
    levels = (picture * 255).round() / 255
    vessels = reduced(drawn / 255.0 * disc) > 0.5
    return torch.from_numpy(levels).float()[None], vessels, reduced(disc.astype(np.float64)) > 0.5


def near(mask: Mask, reach: int) -> Mask:
    grown: Mask = ndimage.binary_dilation(mask, iterations=reach)
    return grown


@pytest.mark.parametrize("side", [128, 256, 512])
@pytest.mark.parametrize("light", [1.0, 0.25])
def test_drawn_vessels_are_found_and_little_else(side: int, light: float) -> None:
    picture, vessels, field = retina(side, light=light)
    found_map = vessel_map(picture)
    assert found_map.shape == (1, 1, side, side)
    assert found_map.dtype == torch.float32
    values = found_map[0, 0].numpy()
    # The blur leaves less than a half of a line of one pixel.
    found, seen = values > 0.3, ndimage.binary_erosion(field, iterations=round(1.5 * MARGIN * side / SIDE) + 1)
    assert (near(found, 1) & vessels & seen).sum() > 0.9 * (vessels & seen).sum()
    assert (found & near(vessels, 2)).sum() > 0.9 * found.sum()
    assert values[~field].max() < 0.05
    assert values[picture.amax(dim=1)[0].numpy() == 0].max() == 0


def test_it_has_the_steps_that_it_says() -> None:
    """Green, equalisation (OpenCV's, which no other library has), and then each step by SciPy or scikit-image."""
    picture, _, field = retina(256)
    # So much noise that there are small components, and some at the edge of the field.
    noise = 0.015 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    picture = (picture + noise).clamp(0, 1)
    found = vessel_map(picture, torch.from_numpy(field)[None, None])[0, 0].numpy()
    across = np.arange(-7, 8)
    small, large = (across**2 + across[:, None] ** 2 <= radius**2 for radius in (5, 7.5))
    # Less the margin; the borders of the picture are no edges.
    inside = ndimage.binary_erosion(field, small[2:-2, 2:-2], border_value=1)
    green = picture[0, 1].numpy()
    even = cv2.createCLAHE(2.0, (8, 8)).apply((green * 255).round().astype(np.uint8))
    dark = -black_tophat(even, large, mode="ignore").astype(np.float64)
    union = np.zeros_like(inside)
    for sigma in (0.75, 1.5):
        hessian = np.empty((*dark.shape, 2, 2))
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            order = [(row == axis) + (column == axis) for axis in (0, 1)]
            hessian[..., row, column] = ndimage.gaussian_filter(dark, sigma, order, mode="reflect", truncate=4)
        response = (np.linalg.eigvalsh(hessian)[..., -1] * sigma**2).clip(0)
        union |= (response > threshold_otsu(response[inside], 256)) & inside
    labels, count = ndimage.label(union, np.ones((3, 3)))
    areas = ndimage.sum_labels(union, labels, np.arange(1, count + 1))
    kept = np.isin(labels, 1 + np.flatnonzero(areas >= 10))
    expected = ndimage.gaussian_filter(kept.astype(np.float32), 1.0, mode="mirror") * field
    assert 0.03 < kept.mean() < 0.2
    # The thresholds differ a little.
    assert np.abs(found - expected).mean() < 0.003
    assert (np.abs(found - expected) > 0.1).mean() < 0.006


def test_twice_the_size_gives_the_same_map() -> None:
    small, large = (vessel_map(retina(side)[0]) for side in (256, 512))
    reduced = F.avg_pool2d(large, 2)
    assert torch.corrcoef(torch.stack([small.flatten(), reduced.flatten()]))[0, 1] > 0.9
    assert 0.8 < (large > 0.5).float().mean() / (small > 0.5).float().mean() < 1.2


def test_a_dark_picture_gives_the_same_map() -> None:
    bright, dark = (vessel_map(retina(256, light=light)[0]) for light in (1.0, 0.25))
    assert torch.corrcoef(torch.stack([bright.flatten(), dark.flatten()]))[0, 1] > 0.9


def test_small_spots_are_dropped_and_larger_ones_kept() -> None:
    picture = torch.full((1, 3, 512, 512), 0.5)
    picture += 0.004 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    picture[..., 100:102, 100:102] = 0.2
    picture[..., 300:303, 100:180] = 0.2
    found = vessel_map(picture)[0, 0]
    assert found[90:113, 90:113].max() == 0
    assert found[301, 110:170].min() > 0.9


def test_what_is_wider_than_the_disk_is_background() -> None:
    for width, seen in ((26, True), (36, False)):
        picture = torch.full((1, 3, 512, 512), 0.6)
        picture[..., 400:406, :] = 0.5
        picture[..., 100 : 100 + width, :] = 0.3
        found = vessel_map(picture)[0, 0]
        assert (found[90 : 110 + width].max() > 0.9) == seen
        assert found[403].min() > 0.9


def test_the_field_is_the_disc() -> None:
    for light in (1.0, 0.2):
        picture, _, field = retina(256, light=light)
        # Noise all over, and labels beside the disc.
        noise = 0.02 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(1))
        picture = (picture + light * noise).clamp(0, 1)
        picture[..., 4:16, 4:30] = picture[..., 240:250, 220:250] = light
        found = field_of_view(picture)
        assert found.dtype == torch.bool
        assert found.shape == (1, 1, 256, 256)
        inside = found[0, 0].numpy()
        assert (inside & field).sum() > 0.98 * (inside | field).sum()
        assert not inside[:20, :40].any()
        assert not inside[236:, 216:].any()


def test_a_picture_without_surround_is_all_field_and_has_vessels_at_its_border() -> None:
    picture, vessels, _ = retina(512)
    cut = picture[..., 128:384, 128:384]
    assert field_of_view(cut).all()
    found = vessel_map(cut)[0, 0].numpy() > 0.5
    border = np.ones((256, 256), bool)
    border[3:-3, 3:-3] = False
    wanted = vessels[128:384, 128:384] & border
    assert wanted.sum() > 50
    assert (near(found, 1) & wanted).sum() > 0.7 * wanted.sum()


def test_nothing_is_found_outside_of_a_given_field() -> None:
    picture, vessels, disc = retina(256)
    field = torch.zeros(1, 1, 256, 256, dtype=torch.bool)
    field[..., :, 100:] = True
    field &= torch.from_numpy(disc)
    found = vessel_map(picture, field)
    assert found[~field].max() == 0
    # Neither is the edge of the field a vessel.
    strip = found[0, 0, :, 100:110].numpy()
    assert (strip[~near(vessels, 3)[:, 100:110]] < 0.1).mean() > 0.97
    whole = vessel_map(picture)
    torch.testing.assert_close(found[..., 130:].mean(), whole[..., 130:].mean(), rtol=0.2, atol=0)
    assert vessel_map(picture, torch.zeros_like(field)).max() == 0


def test_a_batch_is_its_items() -> None:
    pictures = torch.cat([retina(128, seed, light)[0] for seed, light in ((0, 1.0), (1, 0.5), (2, 0.3))])
    pictures[2] = 0
    maps, fields = vessel_map(pictures), field_of_view(pictures)
    for item in range(3):
        assert torch.equal(maps[item : item + 1], vessel_map(pictures[item : item + 1]))
        assert torch.equal(fields[item : item + 1], field_of_view(pictures[item : item + 1]))
    assert maps[0].max() > 0.5
    assert maps[2].max() == 0
    assert not fields[2].any()


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_flat_picture_has_no_vessels(level: float) -> None:
    picture = torch.full((2, 3, 64, 64), level)
    assert torch.equal(vessel_map(picture), torch.zeros(2, 1, 64, 64))
    assert field_of_view(picture).all() == (level > 0)


@few
@given(
    size=st.tuples(
        st.one_of(st.integers(1, 12), st.integers(13, 90)), st.one_of(st.integers(1, 12), st.integers(13, 90))
    ),
    batch=st.integers(1, 2),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]),
    most=st.sampled_from([0.001, 1.0, 1.2]),
    seed=st.integers(0, 99),
)
def test_whatever_the_picture_there_is_a_map(
    size: tuple[int, int], batch: int, dtype: torch.dtype, most: float, seed: int
) -> None:
    noise = torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(seed)) * most - 0.1 * (most - 1)
    found = vessel_map(noise.to(dtype).requires_grad_())
    assert found.shape == (batch, 1, *size)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6


@pytest.mark.parametrize(
    "pictures",
    [
        torch.zeros(3, 8, 8),
        torch.zeros(1, 1, 8, 8),
        torch.zeros(0, 3, 8, 8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
    ],
)
def test_what_are_no_pictures_is_refused(pictures: Tensor) -> None:
    for function in (vessel_map, field_of_view):
        with pytest.raises(InputError, match="pictures must be RGB"):
            function(pictures)


@pytest.mark.parametrize("field", [torch.ones(1, 1, 8, 9, dtype=torch.bool), torch.ones(1, 1, 8, 8)])
def test_what_is_no_field_is_refused(field: Tensor) -> None:
    with pytest.raises(InputError, match="field must be bool"):
        vessel_map(torch.zeros(1, 3, 8, 8), field)


@pytest.mark.parametrize("channels", [8, 9, 16])
@pytest.mark.parametrize("size", [(1, 1), (5, 19), (16, 24)])
@torch.no_grad()
def test_network_fills_up_any_size_with_its_border(channels: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = VesselNetwork(channels).eval()
    pictures = torch.rand(2, 3, *size)
    found = network(pictures)
    assert found.shape == (2, 1, *size)
    rows, columns = (torch.arange(-(-side // 8) * 8).clamp_max(side - 1) for side in size)
    filled = network(pictures[:, :, rows][..., columns])
    torch.testing.assert_close(found, filled[..., : size[0], : size[1]], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(pictures[:1]), found[:1], rtol=1e-4, atol=1e-5)


def test_network_learns_drawn_vessels() -> None:
    drawn = np.zeros((40, 40), np.uint8)
    cv2.line(drawn, (0, 10), (39, 30), 255, 3)
    cv2.line(drawn, (25, 0), (15, 39), 255, 2)
    truth = torch.from_numpy(drawn)[None, None] / 255
    noise = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    picture = 0.4 + 0.2 * noise - 0.15 * truth
    torch.manual_seed(0)
    network = VesselNetwork(8)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = vessel_loss(network(picture), truth).mean()
        loss.backward()
        assert all(weights.grad is not None and weights.grad.abs().max() > 0 for weights in network.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]
    found = network(picture) > 0
    assert ((found & (truth > 0)).sum() / (truth > 0).sum()).item() > 0.7


def loss_by_numpy(logits: Tensor, truth: Tensor) -> float:
    """Of one sample, in float64."""
    values, wanted = (each.double().numpy().ravel() for each in (logits, truth))
    known = ~np.isnan(wanted)
    if not known.any():
        return 0.0
    share, wanted = 1 / (1 + np.exp(-values[known])), wanted[known]
    entropy = -np.mean(wanted * np.log(share) + (1 - wanted) * np.log(1 - share))
    return float(entropy + 1 - (2 * (share * wanted).sum() + 1) / (share.sum() + wanted.sum() + 1))


@few
@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    batch=st.integers(1, 4),
    unknown=st.sampled_from([0.0, 0.4, 1.0]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 99),
)
def test_loss_is_that_of_numpy(
    size: tuple[int, int], batch: int, unknown: float, dtype: torch.dtype, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = (4 * torch.randn(batch, 1, *size, generator=generator)).to(dtype)
    truth = torch.rand(batch, 1, *size, generator=generator)
    truth[torch.rand(truth.shape, generator=generator) < unknown] = math.nan
    truth[0] = truth[0].round()
    with torch.autocast("cpu", torch.bfloat16):
        found = vessel_loss(logits, truth)
    assert found.shape == (batch,)
    assert found.dtype == torch.float32
    expected = [loss_by_numpy(*sample) for sample in zip(logits, truth, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_unknown_samples_cost_nothing_and_teach_nothing() -> None:
    logits = torch.randn(3, 1, 6, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    truth = torch.ones(3, 1, 6, 5)
    truth[1] = math.nan
    losses = vessel_loss(logits, truth)
    assert losses[1] == 0
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert torch.equal(gradient[1], torch.zeros(1, 6, 5))
    assert (gradient[[0, 2]] < 0).all()


def test_certain_and_right_costs_almost_nothing() -> None:
    truth = (torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    for vessels in (truth, torch.zeros_like(truth)):
        assert vessel_loss(200 * vessels - 100, vessels).item() < 1e-6
        assert vessel_loss(100 - 200 * vessels, vessels).item() > 50


def test_network_and_loss_stay_on_their_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On torch's device without storage, which refuses tensors of another one, and knows no autocast."""
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **options: contextlib.nullcontext())
    logits = VesselNetwork(8).to("meta")(torch.zeros(2, 3, 9, 20, device="meta"))
    assert vessel_loss(logits, torch.zeros_like(logits)).is_meta


def test_rounding_between_two_levels_is_no_vessel() -> None:
    """An even picture of 127.5 levels, off by float32's last bit as a resize leaves it."""
    even = torch.full((1, 3, 64, 64), 0.5)
    even += 2e-7 * (torch.rand(even.shape, generator=torch.Generator().manual_seed(0)) - 0.5)
    assert len((even * 255).round().unique()) == 2
    assert vessel_map(even).max() == 0
