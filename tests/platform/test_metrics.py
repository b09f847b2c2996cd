"""Metrics against independent implementations and against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio as torch_psnr

from raylign.platform.evaluation.evaluate import PairResult, summarise
from raylign.platform.evaluation.metrics import PSNR_CAP, homography_metrics, picture_metrics
from raylign.platform.training.pictures import masked_psnr


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(3, 40, 50, generator=generator)
    b = (a + 0.1 * torch.randn(3, 40, 50, generator=generator)).clamp(0, 1)
    mask = torch.zeros(1, 40, 50)
    mask[:, 5:30, 10:45] = 1
    return a, b, mask


def test_full_frame_against_scikit_image_and_torchmetrics(pair: tuple[torch.Tensor, ...]) -> None:
    a, b, _ = pair
    found = picture_metrics(a, b, torch.ones(1, 40, 50))
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1.0), abs=1e-4)
    assert found["psnr"] == pytest.approx(float(torch_psnr(b[None], a[None], data_range=1.0)), abs=1e-4)
    assert found["psnr"] == found["psnr_overlap"]
    theirs = structural_similarity(a.numpy(), b.numpy(), channel_axis=0, data_range=1.0)
    assert found["ssim"] == pytest.approx(theirs, abs=1e-6)
    assert found["overlap"] == 1


def test_the_udis_protocol_masks_and_keeps_the_full_frame(pair: tuple[torch.Tensor, ...]) -> None:
    a, b, mask = pair
    found = picture_metrics(a, b, mask)
    masked = peak_signal_noise_ratio((a * mask).numpy(), (b * mask).numpy(), data_range=1.0)
    assert found["psnr"] == pytest.approx(masked, abs=1e-4)
    inside = a[:, 5:30, 10:45] - b[:, 5:30, 10:45]
    assert found["rmse"] == pytest.approx(float(inside.square().mean().sqrt()), rel=1e-5)
    assert found["psnr_overlap"] == pytest.approx(-20 * math.log10(found["rmse"]), abs=1e-4)
    assert found["psnr"] > found["psnr_overlap"]
    assert found["overlap"] == pytest.approx(25 * 35 / 2000)


def test_equal_pictures_and_empty_masks(pair: tuple[torch.Tensor, ...]) -> None:
    a, b, mask = pair
    equal = picture_metrics(a, a, mask)
    assert equal["psnr"] == equal["psnr_overlap"] == PSNR_CAP
    assert equal["ssim"] == pytest.approx(1)
    assert equal["ssim_overlap"] == pytest.approx(1)
    empty = picture_metrics(a, b, torch.zeros(1, 40, 50))
    assert (empty["psnr_overlap"], empty["ssim_overlap"], empty["overlap"], empty["rmse"]) == (0, 0, 0, 1)


def test_validation_psnr_is_the_same_metric(pair: tuple[torch.Tensor, ...]) -> None:
    a, b, mask = pair
    assert float(masked_psnr(b[None], a[None], mask[None])) == pytest.approx(
        picture_metrics(a, b, mask)["psnr_overlap"], abs=1e-4
    )


def test_homography_errors() -> None:
    # METHODS 10, DIAR 6: zero for any multiple; a pure (3, 4) shift has E2 = 5.
    true = torch.tensor([[1.1, 0.02, 3.0], [0.01, 0.9, -2.0], [1e-4, 2e-4, 1.0]])
    for factor in (2.0, -0.3):
        assert homography_metrics(factor * true, true, 60, 80) == pytest.approx(
            {"corner_error": 0, "e1": 0, "e2": 0}, abs=1e-4
        )
    shift = torch.eye(3)
    shift[0, 2], shift[1, 2] = 3, 4
    assert homography_metrics(shift, torch.eye(3), 60, 80)["e2"] == pytest.approx(5)
    assert homography_metrics(shift, torch.eye(3), 60, 80)["e1"] == pytest.approx(5)


def test_summary_resamples_scenes() -> None:
    values = np.random.default_rng(0).normal(20, 2, 30)
    results = [PairResult("m", f"{i:06d}", 1, {"psnr_overlap": float(value)}) for i, value in enumerate(values)]
    entry = summarise(results, "d")[0]["metrics"]["psnr_overlap"]
    assert entry["mean"] == pytest.approx(values.mean())
    assert entry["std"] == pytest.approx(values.std(ddof=1))
    assert entry["ci95"] == pytest.approx(1.96 * values.std(ddof=1) / math.sqrt(30), rel=0.15)
    # The same values as 3 pairs of each of 10 scenes: pairs of one scene that agree carry less.
    tied = [PairResult("m", f"{i // 3:06d}", i % 3, {"psnr_overlap": float(values[i // 3])}) for i in range(30)]
    assert summarise(tied, "d")[0]["metrics"]["psnr_overlap"]["ci95"] > 0.9
