"""Metrics of pictures against independent implementations and against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio as torch_psnr

from raylign.platform.evaluation.pictures import PSNR_CAP, ghosting_score, picture_metrics, region_psnr, ssim_map
from raylign.platform.training.pictures import masked_psnr

ALL = torch.ones(40, 50, dtype=torch.bool)


@pytest.fixture
def pair() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(3, 40, 50, generator=generator)
    b = (a + 0.1 * torch.randn(3, 40, 50, generator=generator)).clamp(0, 1)
    mask = torch.zeros(40, 50, dtype=torch.bool)
    mask[5:30, 10:45] = True
    return a, b, mask


def test_full_frame_against_scikit_image_and_torchmetrics(pair: tuple[Tensor, ...]) -> None:
    a, b, _ = pair
    found = picture_metrics(a, b, ALL)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1.0), abs=1e-5)
    assert found["psnr"] == pytest.approx(float(torch_psnr(b[None], a[None], data_range=1.0)), abs=1e-5)
    assert found["psnr"] == found["psnr_overlap"]
    theirs = structural_similarity(a.double().numpy(), b.double().numpy(), channel_axis=0, data_range=1.0)
    assert found["ssim"] == pytest.approx(theirs, abs=1e-9)
    assert found["overlap"] == 1


@pytest.mark.parametrize("size", [(7, 7), (7, 30), (31, 8), (64, 90)])
@pytest.mark.parametrize("kind", ["noise", "masked", "flat", "smooth"])
def test_ssim_at_every_pixel_against_scikit_image(size: tuple[int, int], kind: str) -> None:
    generator = torch.Generator().manual_seed(1)
    a = torch.rand(3, *size, generator=generator)
    b = torch.rand(3, *size, generator=generator)
    if kind == "masked":
        a[:, :, : size[1] // 2], b[:, :, : size[1] // 2] = 0, 0
    elif kind == "flat":
        a, b = torch.full_like(a, 0.9), torch.full_like(b, 0.91)
    elif kind == "smooth":
        a = torch.linspace(0, 1, size[1]).expand(3, *size).contiguous()
        b = a + 0.01 * b
    _, theirs = structural_similarity(a.double().numpy(), b.double().numpy(), channel_axis=0, data_range=1.0, full=True)
    np.testing.assert_allclose(ssim_map(a, b), theirs.mean(0)[3:-3, 3:-3], atol=1e-9)


def test_the_udis_protocol_masks_and_keeps_the_full_frame(pair: tuple[Tensor, ...]) -> None:
    a, b, mask = pair
    found = picture_metrics(a, b, mask)
    masked_a, masked_b = (a * mask).double().numpy(), (b * mask).double().numpy()
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(masked_a, masked_b, data_range=1.0), abs=1e-5)
    similarity, full = structural_similarity(masked_a, masked_b, channel_axis=0, data_range=1.0, full=True)
    assert found["ssim"] == pytest.approx(similarity, abs=1e-9)
    assert found["ssim_overlap"] == pytest.approx(full.mean(0)[5:30, 10:45].mean(), abs=1e-9)
    inside = a[:, 5:30, 10:45] - b[:, 5:30, 10:45]
    assert found["rmse"] == pytest.approx(float(inside.square().mean().sqrt()), rel=1e-5)
    assert found["psnr_overlap"] == pytest.approx(-20 * math.log10(found["rmse"]), abs=1e-5)
    assert found["psnr"] > found["psnr_overlap"]
    assert found["overlap"] == pytest.approx(25 * 35 / 2000)


def test_equal_pictures_and_empty_masks(pair: tuple[Tensor, ...]) -> None:
    a, b, mask = pair
    equal = picture_metrics(a, a, mask)
    assert equal["psnr"] == equal["psnr_overlap"] == PSNR_CAP
    assert equal["ssim"] == pytest.approx(1)
    assert equal["ssim_overlap"] == pytest.approx(1)
    empty = picture_metrics(a, b, torch.zeros_like(mask))
    assert (empty["psnr_overlap"], empty["ssim_overlap"], empty["overlap"], empty["rmse"]) == (0, 0, 0, 1)


def test_what_lies_outside_of_the_mask_does_not_count(pair: tuple[Tensor, ...]) -> None:
    a, b, mask = pair
    junk = torch.where(mask, b, torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(2)))
    assert picture_metrics(a, junk, mask) == picture_metrics(a, b, mask)
    assert ghosting_score(a, junk, mask) == ghosting_score(a, b, mask)
    region = torch.zeros_like(mask)
    region[20:40, 20:30] = True
    assert region_psnr(a, junk, mask, region) == region_psnr(a, b, mask, region)


def test_pictures_smaller_than_the_window_of_ssim_keep_the_other_metrics(pair: tuple[Tensor, ...]) -> None:
    a, b, _ = pair
    found = picture_metrics(a[:, :6], b[:, :6], ALL[:6])
    assert set(found) == {"psnr", "psnr_overlap", "rmse", "overlap"}
    assert found["psnr"] == pytest.approx(
        peak_signal_noise_ratio(a[:, :6].numpy(), b[:, :6].numpy(), data_range=1.0), abs=1e-5
    )
    assert ghosting_score(a[:, :6], b[:, :6], ALL[:6]) >= 0


def test_validation_psnr_is_the_same_metric(pair: tuple[Tensor, ...]) -> None:
    a, b, mask = pair
    assert float(masked_psnr(b[None], a[None], mask[None, None].float())) == pytest.approx(
        picture_metrics(a, b, mask)["psnr_overlap"], abs=1e-4
    )


def test_psnr_of_a_region_counts_what_is_left_out_as_zero(pair: tuple[Tensor, ...]) -> None:
    a, b, mask = pair
    region = torch.zeros_like(mask)
    region[20:40, 20:30] = True
    theirs = peak_signal_noise_ratio(a[:, 20:40, 20:30].numpy(), (b * mask)[:, 20:40, 20:30].numpy(), data_range=1.0)
    assert region_psnr(a, b, mask, region) == pytest.approx(theirs, abs=1e-5)
    covered = region_psnr(a, b, mask, region & mask)
    assert covered is not None
    assert covered > theirs
    assert region_psnr(a, b, mask, torch.zeros_like(region)) is None


def rectangles(seed: int = 0, size: int = 160) -> Tensor:
    """A picture of flat patches with soft borders, with a little noise."""
    random = np.random.default_rng(seed)
    picture = np.full((3, size, size), 0.5)
    for _ in range(25):
        x, y = random.integers(0, size - 30, 2)
        width, height = random.integers(12, 50, 2)
        picture[:, y : y + height, x : x + width] = random.random((3, 1, 1)) * 0.7
    return torch.from_numpy(picture + random.normal(0, 0.004, picture.shape)).float().clamp(0, 0.75)


FULL = torch.ones(160, 160, dtype=torch.bool)


def test_ghosting_of_two_bars_by_hand() -> None:
    target, aligned = torch.zeros(3, 60, 90), torch.zeros(3, 60, 90)
    target[:, :, 30:] = 0.5
    aligned[:, :, 30:60] = 0.5  # the edge at 60 is new: half of all
    mask = torch.ones(60, 90, dtype=torch.bool)
    assert ghosting_score(target, aligned, mask) == 0.5
    assert ghosting_score(aligned, target, mask) == 0
    shifted = target.roll(2, 2)
    shifted[:, :, :2] = 0
    assert ghosting_score(target, shifted, mask) == 0
    assert ghosting_score(target, shifted.roll(1, 2).index_fill(2, torch.arange(3), 0), mask) == 1


def test_ghosting_is_zero_for_the_same_picture_and_grows_with_the_second_copy() -> None:
    target = rectangles()
    mask = FULL.clone()
    mask[:37], mask[:, 101:] = False, False
    assert ghosting_score(target, target, FULL) == 0
    assert ghosting_score(target, target, mask) == 0
    by_shift = [ghosting_score(target, (target + target.roll(shift, 2)) / 2, FULL) for shift in (1, 4, 9)]
    assert by_shift[0] < 0.02
    assert by_shift[0] < by_shift[1]
    assert min(by_shift[1:]) > 0.15
    weak, strong = (
        ghosting_score(target, (1 - share) * target + share * target.roll(9, 2), FULL) for share in (0.1, 0.5)
    )
    assert weak < strong
    assert ghosting_score(target, target.roll((40, 40), (1, 2)), FULL) > strong


@pytest.mark.parametrize("gain", [0.5, 0.8, 1.3])
def test_ghosting_hardly_sees_a_gain(gain: float) -> None:
    target = rectangles()
    double = (target + target.roll(9, 2)) / 2
    assert ghosting_score(target, gain * target, FULL) < 0.005
    assert ghosting_score(target, gain * double, FULL) == pytest.approx(ghosting_score(target, double, FULL), abs=0.01)


def test_ghosting_does_not_take_noise_or_blur_for_edges() -> None:
    target = rectangles()
    noise = 0.02 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    assert ghosting_score(target, target + noise, FULL) < 0.01
    blurred = torch.nn.functional.avg_pool2d(target[None], 5, 1, 2, count_include_pad=False)[0]
    assert ghosting_score(target, blurred, FULL) < 0.02


def test_ghosting_without_edges_or_overlap() -> None:
    target = rectangles()
    flat = torch.full_like(target, 0.4)
    assert ghosting_score(target, flat, FULL) == 0
    assert ghosting_score(flat, flat, FULL) == 0
    assert ghosting_score(flat, target, FULL) == 1
    assert ghosting_score(target, target, torch.zeros_like(FULL)) == 1
