"""Video Swin blocks: attention within windows over frames, rows and columns (arXiv 2106.13230)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformerBlock
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

from .config import DiarConfig

Box = tuple[int, int, int]
"""Numbers of frames, rows and columns."""


def swin_blocks(config: DiarConfig) -> nn.Sequential:
    """Blocks for features `(B, T, h, w, 2 width)`; every second one has shifted windows, see `shifts`."""
    window = (config.temporal_window, config.window, config.window)
    along = [shifts(config.blocks, side) for side in window]
    return nn.Sequential(
        *(
            SwinTransformerBlock(
                2 * config.width,
                config.heads,
                list(window),
                list(shift),
                mlp_ratio=config.mlp_ratio,
                attn_layer=WindowAttention,
            )
            for shift in zip(*along, strict=True)
        )
    )


def shifts(blocks: int, window: int) -> list[int]:
    """By how much the windows of each block are shifted along an axis with windows of a side."""
    return [window // 2 * (block % 2) for block in range(blocks)]


class WindowAttention(ShiftedWindowAttention3d):
    """torchvision's attention in shifted windows, with its weights and, where windows are whole, its results.

    There are two differences. Where the features are smaller than a window, the window shrinks to them, and
    torchvision then mixes up the relative positions; here they stay what they are. And places that must not see each
    other are masked with minus infinity instead of -100: exp(-100) is a denormal number, with which CPUs are several
    times slower.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Features `(B, T, h, w, C)` like those that came in.

        Zeros are added up to whole windows, and take part, as in the paper's code.
        """
        size: Box = (features.shape[1], features.shape[2], features.shape[3])
        window = _box(min(side, most) for side, most in zip(size, self.window_size, strict=True))
        shift = _box(
            by if side > most else 0 for side, most, by in zip(size, self.window_size, self.shift_size, strict=True)
        )
        grid = _box(-(-side // most) for side, most in zip(size, window, strict=True))
        missing = [count * most - side for count, most, side in zip(grid, window, size, strict=True)]
        values = F.pad(features, (0, 0, 0, missing[2], 0, missing[1], 0, missing[0])) if any(missing) else features
        if any(shift):
            values = values.roll([-by for by in shift], (1, 2, 3))
        values = _in_windows(values, grid, window)
        query, key, value = self.qkv(values).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self._relative_position_bias(window)[None]
        if any(shift):
            bias = bias.masked_fill(_apart(grid, window, shift, features.device), -torch.inf)
        seen = _attend(query, key, value, bias).transpose(1, 2).flatten(2)
        values = _in_place(self.proj(seen), grid, window)
        if any(shift):
            values = values.roll(shift, (1, 2, 3))
        return values[:, : size[0], : size[1], : size[2]]

    def _relative_position_bias(self, window: Box) -> Tensor:
        """`(heads, N, N)`, of the N places of a window that may have shrunk."""
        order = torch.arange(len(self.relative_position_index), device=self.relative_position_index.device)
        kept = order.view(*self.window_size)[: window[0], : window[1], : window[2]].flatten()
        index = self.relative_position_index[kept[:, None], kept]
        return self.relative_position_bias_table[index].permute(2, 0, 1)


def _box(numbers: Iterable[int]) -> Box:
    frames, rows, columns = numbers
    return frames, rows, columns


def _in_windows(values: Tensor, grid: Box, window: Box) -> Tensor:
    """`(B n, N, C)` of `(B, T, h, w, C)`: the N places of each of the n windows."""
    axes = [side for pair in zip(grid, window, strict=True) for side in pair]
    return values.reshape(-1, *axes, values.shape[-1]).permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(0, 3).flatten(1, 3)


def _in_place(values: Tensor, grid: Box, window: Box) -> Tensor:
    """`(B, T, h, w, C)` of `(B n, N, C)`."""
    apart = values.view(-1, *grid, *window, values.shape[-1]).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return apart.flatten(5, 6).flatten(3, 4).flatten(1, 2)


def _apart(grid: Box, window: Box, shift: Box, device: torch.device) -> Tensor:
    """Which places of a window must not see each other, `(n, 1, N, N)`: those that came round from the other end."""
    came_round = [
        torch.arange(count * side, device=device) >= count * side - by
        for count, side, by in zip(grid, window, shift, strict=True)
    ]
    frames, rows, columns = (each.long() for each in came_round)
    region = frames[:, None, None] * 4 + rows[:, None] * 2 + columns
    regions = _in_windows(region[None, ..., None], grid, window)[..., 0]
    return (regions[:, :, None] != regions[:, None, :])[:, None]


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention `(B n, heads, N, d)` with a bias `(1 or n, heads, N, N)` on its logits."""
    windows = len(bias)
    if not torch.is_grad_enabled():
        every = bias if windows == 1 else bias.repeat(len(query) // windows, 1, 1, 1)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=every.to(query.dtype))
    # With a bias that is learned, the function above has no fast way on CPUs and takes up to twice as long as this.
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    biased = logits.unflatten(0, (-1, windows)) + bias.to(logits.dtype)
    return biased.softmax(dim=-1).to(value.dtype).flatten(0, 1) @ value
