"""Large canvases drawn window by window, which overlap and are blended so that no seams show."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..geometry import Size

Draw = Callable[[slice, slice], Tensor]
"""What to draw in the window of these rows and columns of the canvas."""


def windows(size: Size, tile: int, overlap: int) -> list[tuple[slice, slice]]:
    """Rows and columns of windows of one size that cover a canvas, from left to right and from top to bottom.

    Args:
        size: rows and columns of the canvas.
        tile: side of a window; along an axis on which the canvas is not larger, the window is as long as the canvas.
        overlap: what neighbours share at least, less than `tile`. The last ones are moved inward and share more.
    """
    rows, columns = (_spans(length, tile, overlap) for length in size)
    return [(row, column) for row in rows for column in columns]


def blended(
    size: Size,
    tile: int,
    overlap: int,
    channels: int,
    batch: int,
    device: torch.device,
    draw: Draw,
    scale: int = 1,
) -> Tensor:
    """The weighted mean of what `draw` gives for each of `windows`, on the canvas.

    Weights are products of sin² over the rows and over the columns of a window, which are positive everywhere. At a
    time there are no more than the canvas and one window.

    Args:
        size: rows and columns of the canvas before `scale`.
        tile: see `windows`.
        overlap: see `windows`.
        channels: of what is drawn.
        batch: items that are drawn at a time.
        device: of the canvas.
        draw: gives `(batch, channels, scale * rows, scale * columns)` for a window.
        scale: how many times as large the canvas is as `size` says, as where latents are decoded to pixels.

    Returns:
        `(batch, channels, scale * size[0], scale * size[1])`, float32.
    """
    canvas = torch.zeros(batch, channels, *(scale * length for length in size), device=device)
    (height, all_rows), (width, all_columns) = (
        _weights(_spans(length, tile, overlap), length, scale, device) for length in size
    )
    weight = height[:, None] * width
    for rows, columns in windows(size, tile, overlap):
        # A window that had a name would still be there while the next one is drawn.
        canvas[..., _scaled(rows, scale), _scaled(columns, scale)].addcmul_(draw(rows, columns).float(), weight)
    return canvas.div_(all_rows[:, None]).div_(all_columns)


def _spans(length: int, tile: int, overlap: int) -> list[slice]:
    """Windows along one axis."""
    tile = min(tile, length)
    count = 1 if tile == length else math.ceil((length - overlap) / (tile - overlap))
    starts = (min(place * (tile - overlap), length - tile) for place in range(count))
    return [slice(start, start + tile) for start in starts]


def _weights(spans: list[slice], length: int, scale: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Along one axis the weights of a window and their sum over all windows: of products, the sum is the product."""
    side = scale * (spans[0].stop - spans[0].start)
    weights = torch.sin((torch.arange(side, device=device) + 0.5) * (math.pi / side)).square()
    total = torch.zeros(scale * length, device=device)
    for span in spans:
        total[_scaled(span, scale)] += weights
    return weights, total


def _scaled(span: slice, scale: int) -> slice:
    return slice(scale * span.start, scale * span.stop)
