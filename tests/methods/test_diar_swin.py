"""The attention in shifted windows, against a plain one with loops and against torchvision's."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

from raylign.methods.diar.config import DiarConfig
from raylign.methods.diar.swin import WindowAttention, shifts, swin_blocks


def attention(window: tuple[int, int, int], shift: tuple[int, int, int], seed: int = 0) -> WindowAttention:
    torch.manual_seed(seed)
    made = WindowAttention(8, list(window), list(shift), 2)
    torch.nn.init.normal_(made.relative_position_bias_table)
    return made


def plain(module: WindowAttention, features: Tensor) -> Tensor:
    """Each place asks all places of its window, one after the other.

    Windows are laid over the places themselves, so that nothing is rolled and nothing needs a mask: a shifted window at
    the border holds what lies inside, and what comes round from the other end lies too far away to be asked.
    """
    size = features.shape[1:4]
    window = [min(side, most) for side, most in zip(size, module.window_size, strict=True)]
    shift = [
        0 if side <= most else by for side, most, by in zip(size, module.window_size, module.shift_size, strict=True)
    ]
    padded = [math.ceil(side / most) * most for side, most in zip(size, window, strict=True)]
    values = torch.zeros(len(features), *padded, 8)
    values[:, : size[0], : size[1], : size[2]] = features
    qkv = values @ module.qkv.weight.T + module.qkv.bias
    query, key, value = qkv.view(*values.shape[:-1], 3, 2, 4).unbind(dim=-3)
    table = module.relative_position_bias_table.view(*(2 * most - 1 for most in module.window_size), 2)
    places = list(itertools.product(*(range(side) for side in padded)))
    groups: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for place in places:
        corner = tuple((at - by) // most for at, by, most in zip(place, shift, window, strict=True))
        groups.setdefault(corner, []).append(place)
    result = torch.zeros_like(values)
    for group in groups.values():
        for place in group:
            logits = []
            for other in group:
                offset = [a - b + most - 1 for a, b, most in zip(place, other, module.window_size, strict=True)]
                scores = (query[:, *place] * key[:, *other]).sum(dim=-1) / 2
                logits.append(scores + table[offset[0], offset[1], offset[2]])
            weights = torch.stack(logits).softmax(dim=0)
            seen = sum(weight[..., None] * value[:, *other] for weight, other in zip(weights, group, strict=True))
            result[:, *place] = seen.flatten(1)
    answer = result @ module.proj.weight.T + module.proj.bias
    return answer[:, : size[0], : size[1], : size[2]]


@pytest.mark.parametrize(
    ("window", "shift", "size"),
    [
        ((1, 4, 4), (0, 0, 0), (2, 8, 8)),
        ((1, 4, 4), (0, 2, 2), (2, 8, 8)),
        ((2, 4, 4), (1, 2, 2), (4, 8, 8)),
        ((2, 4, 4), (1, 2, 2), (3, 7, 9)),  # neither frames nor sides are whole windows
        ((3, 4, 4), (1, 2, 2), (4, 5, 8)),
        ((2, 4, 4), (1, 2, 2), (1, 3, 6)),  # windows larger than the features along two axes
        ((3, 8, 8), (1, 4, 4), (2, 3, 5)),  # and along all
        ((1, 5, 5), (0, 2, 2), (1, 7, 11)),  # an odd window
        ((1, 4, 4), (0, 2, 2), (1, 1, 1)),
    ],
)
@pytest.mark.parametrize("gradients", [True, False])
def test_attention_is_that_of_a_plain_implementation(
    window: tuple[int, int, int], shift: tuple[int, int, int], size: tuple[int, int, int], gradients: bool
) -> None:
    module = attention(window, shift)
    features = torch.randn(2, *size, 8, generator=torch.Generator().manual_seed(1))
    with torch.set_grad_enabled(gradients):
        found = module(features)
    with torch.no_grad():
        torch.testing.assert_close(found.detach(), plain(module, features), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("shift", [(0, 0, 0), (1, 2, 2)])
@pytest.mark.parametrize("size", [(4, 8, 8), (3, 7, 9), (1, 6, 13)])
def test_attention_and_its_gradients_are_those_of_torchvision(
    shift: tuple[int, int, int], size: tuple[int, int, int]
) -> None:
    ours = attention((2, 4, 4), shift)
    theirs = ShiftedWindowAttention3d(8, [2, 4, 4], list(shift), 2)
    theirs.load_state_dict(ours.state_dict())
    features = torch.randn(2, *size, 8, generator=torch.Generator().manual_seed(1))
    results, gradients = [], []
    for module in (ours, theirs):
        given = features.clone().requires_grad_()
        result = module(given)
        (result.square()).sum().backward()
        results.append(result)
        gradients.append((given.grad, module.relative_position_bias_table.grad, module.qkv.weight.grad))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradients[0], gradients[1], atol=2e-4, rtol=1e-3)


def test_every_second_block_is_shifted() -> None:
    assert shifts(4, 8) == [0, 4, 0, 4]
    assert shifts(3, 5) == [0, 2, 0]
    assert shifts(4, 1) == [0, 0, 0, 0]
    blocks = swin_blocks(DiarConfig(width=8, temporal_window=3, window=6, blocks=3))
    assert [block.attn.shift_size for block in blocks] == [[0, 0, 0], [1, 3, 3], [0, 0, 0]]
    assert {tuple(block.attn.window_size) for block in blocks} == {(3, 6, 6)}
    assert blocks[0].attn.relative_position_bias_table.shape == (5 * 11 * 11, 4)


def test_a_block_is_attention_and_a_perceptron_each_added_to_what_comes_in() -> None:
    torch.manual_seed(0)
    (block,) = swin_blocks(DiarConfig(width=4, heads=2, window=4, blocks=1))
    features = torch.randn(1, 2, 8, 8, 8)

    def norm(values: Tensor, layer: torch.nn.LayerNorm) -> Tensor:
        centred = values - values.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        return scaled * layer.weight + layer.bias

    with torch.no_grad():
        first, second = (layer for layer in block.mlp if isinstance(layer, torch.nn.Linear))
        assert first.out_features == 32
        between = features + plain(block.attn, norm(features, block.norm1))
        hidden = norm(between, block.norm2) @ first.weight.T + first.bias
        hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
        expected = between + hidden @ second.weight.T + second.bias
        torch.testing.assert_close(block(features), expected, atol=1e-5, rtol=1e-4)


def test_windows_of_one_frame_keep_frames_apart() -> None:
    torch.manual_seed(0)
    blocks = swin_blocks(DiarConfig(width=4, heads=2, window=4)).eval()
    features = torch.randn(1, 3, 9, 8, 8)
    with torch.no_grad():
        together = blocks(features)
        apart = torch.cat([blocks(frame) for frame in features.split(1, dim=1)], dim=1)
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-4)
