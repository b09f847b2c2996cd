"""The mask of what moves: correlation, dilation, fusion and losses, against NumPy and SciPy."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from raylign.methods.classical.dis_flow import DisFlow
from raylign.methods.dmaligner.dmp import (
    MOST_PRODUCTS,
    CorrelationMask,
    correlation_volume,
    dilated,
    flow_inconsistency,
    fused,
    mask_loss,
    masked_loss,
)

TALL = int(1.6 * MOST_PRODUCTS / (2 * 4 * 17**2 * 60))
"""Rows that are more than one block of the correlation, and no whole number of blocks."""


def randoms(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def texture(seed: int, size: tuple[int, int]) -> Tensor:
    """Smooth coloured noise `(1, 3, H, W)` in [0, 1] with contrast everywhere."""
    noise = np.random.default_rng(seed).standard_normal((*size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    levels = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return torch.from_numpy(levels).permute(2, 0, 1)[None]


def correlated_one_by_one(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """One displacement after the other, in float64, on the pixels that both latents have."""
    one, two = (latent.double().numpy() for latent in (first, second))
    batch, channels, height, width = one.shape
    volume = np.zeros((batch, (2 * radius + 1) ** 2, height, width))
    reach = range(-radius, radius + 1)
    for index, (y, x) in enumerate((y, x) for y in reach for x in reach):
        rows = slice(max(0, -y), max(0, min(height, height - y)))
        columns = slice(max(0, -x), max(0, min(width, width - x)))
        part = one[:, :, rows, columns]
        there = two[:, :, rows.start + y : rows.stop + y, columns.start + x : columns.stop + x]
        if part.size:
            volume[:, index, rows, columns] = (part * there).sum(axis=1) / channels
    return torch.from_numpy(volume)


@pytest.mark.parametrize(("shape", "radius"), [((2, 4, 7, 11), 2), ((1, 3, 2, 5), 3), ((2, 4, TALL, 60), 8)])
def test_correlation_is_that_of_loops(shape: tuple[int, int, int, int], radius: int) -> None:
    first, second = randoms(0, *shape), randoms(1, *shape)
    found = correlation_volume(first, second, radius)
    assert found.shape == (shape[0], (2 * radius + 1) ** 2, *shape[2:])
    torch.testing.assert_close(found.double(), correlated_one_by_one(first, second, radius), rtol=1e-5, atol=1e-5)


def test_correlation_of_a_latent_with_itself_is_its_mean_square() -> None:
    latent = randoms(2, 2, 4, 6, 9)
    for radius, channels in ((4, 81), (8, 289)):
        volume = correlation_volume(latent, latent, radius)
        assert volume.shape[1] == channels
        torch.testing.assert_close(volume[:, channels // 2], latent.square().mean(dim=1))


def test_correlation_has_the_gradients_of_its_formula() -> None:
    first, second = (randoms(seed, 1, 2, 3, 4).double().requires_grad_() for seed in (3, 4))
    assert torch.autograd.gradcheck(lambda a, b: correlation_volume(a, b, 1), (first, second))


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_dilation_is_that_of_scipy(radius: int) -> None:
    mask = (randoms(5, 2, 1, 12, 17).sigmoid() - 0.7).clamp_min(0)
    side = 2 * radius + 1
    expected = ndimage.grey_dilation(mask.numpy(), size=(1, 1, side, side), mode="constant", cval=0.0)
    assert torch.equal(dilated(mask, radius), torch.from_numpy(expected))


def test_fusion_takes_the_source_in_five_by_five_latents_around_one_that_moves() -> None:
    first, second = randoms(6, 2, 4, 11, 13), randoms(7, 2, 4, 11, 13)
    mask = torch.zeros(2, 1, 11, 13)
    mask[0, 0, 5, 4] = 1
    found = fused(first, second, mask, dilation=2)
    expected = first.clone()
    expected[0, :, 3:8, 2:7] = second[0, :, 3:8, 2:7]
    assert torch.equal(found, expected)
    assert torch.equal(fused(first, second, torch.ones_like(mask), dilation=2), second)
    half = fused(first, second, torch.full_like(mask, 0.5), dilation=2)
    torch.testing.assert_close(half, (first + second) / 2)


def test_correlation_mask_has_the_layers_of_the_method_and_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = CorrelationMask(latent_channels=4, radius=8).eval()
    widths = [(each.in_channels, each.out_channels) for each in network.layers if isinstance(each, nn.Conv2d)]
    assert widths == [(289 + 8, 64), (64, 64), (64, 32), (32, 1)]
    first, second = randoms(8, 2, 4, 9, 6), randoms(9, 2, 4, 9, 6)
    expected = network(first, second)
    assert expected.shape == (2, 1, 9, 6)
    network.save_pretrained(tmp_path)
    assert torch.equal(CorrelationMask.from_pretrained(tmp_path)(first, second), expected)


def moving_squares(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Eight latents, what a camera that moves by one latent sees of them, and where it sees something else."""
    first, other = randoms(2 * seed, 8, 4, 16, 16), randoms(2 * seed + 1, 8, 4, 16, 16)
    moves = torch.zeros(8, 1, 16, 16)
    for item, (top, left) in enumerate(torch.randint(11, (8, 2), generator=torch.Generator().manual_seed(seed))):
        moves[item, :, top : top + 5, left : left + 5] = 1
    # What the pixel u of the first shows lies at u + (-1, 1), as (x, y), in the second.
    return first, torch.roll(torch.where(moves > 0, other, first), shifts=(1, -1), dims=(2, 3)), moves


def test_correlation_mask_learns_what_moves() -> None:
    torch.manual_seed(0)
    network = CorrelationMask(latent_channels=4, radius=1)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for step in range(100):
        first, second, moves = moving_squares(step)
        optimizer.zero_grad()
        mask_loss(network(first, second), moves).mean().backward()
        optimizer.step()
    first, second, moves = moving_squares(1000)
    with torch.no_grad():
        shown, moved = network(first, second) > 0, moves > 0
    assert (shown & moved).sum() > 0.5 * (shown | moved).sum()


def test_masked_loss_weighs_by_gamma() -> None:
    prediction, truth = randoms(12, 2, 3, 5, 7), randoms(13, 2, 3, 5, 7)
    mask = randoms(14, 2, 1, 5, 7).sigmoid()
    errors = (prediction.double() - truth.double()).square().numpy()
    unweighted = torch.from_numpy(errors.mean(axis=(1, 2, 3)))
    torch.testing.assert_close(masked_loss(prediction, truth, mask, 0.5).double(), unweighted / 2)
    weights = 0.3 + 0.4 * mask.double().numpy()
    expected = torch.from_numpy((errors * weights).mean(axis=(1, 2, 3)))
    torch.testing.assert_close(masked_loss(prediction, truth, mask, 0.7).double(), expected)
    nothing_moves = masked_loss(prediction, truth, torch.zeros_like(mask), 0.7)
    torch.testing.assert_close(nothing_moves.double(), 0.3 * unweighted)


def test_mask_loss_is_the_cross_entropy_and_leaves_unknown_masks_out() -> None:
    logits = (3 * randoms(15, 3, 1, 5, 7)).requires_grad_()
    truth = (randoms(16, 3, 1, 5, 7) > 0).float()
    truth[1] = torch.nan
    losses = mask_loss(logits, truth)
    probability = 1 / (1 + np.exp(-logits.detach().double().numpy()))
    target = truth.double().numpy()
    entropy = -(target * np.log(probability) + (1 - target) * np.log(1 - probability)).mean(axis=(1, 2, 3))
    entropy[1] = 0
    torch.testing.assert_close(losses.double(), torch.from_numpy(entropy), rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    known = torch.tensor([True, False, True])
    torch.testing.assert_close(gradient[known], ((logits.sigmoid() - truth) / 35)[known].detach())
    assert torch.equal(gradient[1], torch.zeros(1, 5, 7))


def test_flow_disagrees_where_something_else_is_seen() -> None:
    background, other = texture(0, (128, 160)), texture(1, (128, 160))
    reference = background[..., 4:124, 4:156]
    # The camera moves by 3 and 2 pixels; in the middle something else comes into view.
    source = background[..., 2:122, 1:153].clone()
    source[..., 40:80, 50:100] = other[..., 40:80, 50:100]
    found = flow_inconsistency(torch.cat([reference, reference]), torch.cat([source, reference]))
    assert found.shape == (2, 1, 120, 152)
    assert set(found.unique().tolist()) <= {0.0, 1.0}
    assert found[0, 0, 45:75, 58:92].mean() > 0.5
    surroundings = torch.ones(120, 152, dtype=torch.bool)
    surroundings[30:90, 40:110] = False
    surroundings[:8] = surroundings[-8:] = surroundings[:, :8] = surroundings[:, -8:] = False
    assert found[0, 0, surroundings].mean() < 0.05
    assert found[1].mean() < 0.01
    aligned = DisFlow().align(reference, source[:, None])
    assert torch.equal(found[:1], 1 - aligned.extras["consistency"])
