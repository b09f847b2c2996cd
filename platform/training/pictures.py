"""Validation samples as one picture: what went in, what came out, and where the two differ."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ...methods.aligner import Alignment
from ..data.drawing import SOFT, Mask, Pixels, fit, font, hatch, resize, resize_mask

SIDE = 160
"""Longer side of a picture at most, in pixels."""
GAP = 8
MARGIN = 16
CAPTION = 18
"""Height of the line under a picture."""
STRENGTH = 3
"""Differences are drawn so many times as bright as they are."""
_TEXT = 11

Tile = tuple[Pixels, str]


def masked_psnr(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """PSNR in dB inside a mask, per sample; images `(B, 3, H, W)` in [0, 1], mask `(B, 1, H, W)` in {0, 1}.

    An empty mask gives 0 dB, equal images are capped at 100 dB.
    """
    count = mask.sum((1, 2, 3)) * a.shape[1]
    error = ((a - b).square() * mask).sum((1, 2, 3)) / count.clamp_min(1)
    value = -10 * torch.log10(error.clamp_min(1e-10))
    return torch.where(count > 0, value, torch.zeros_like(value))


@torch.inference_mode()
def sheet(batch: dict[str, Tensor], found: Alignment, limit: int = 6) -> bytes:
    """A PNG contact sheet of validation samples, a row each, with captions.

    Pairs are shown as reference, source, truth where it is known, aligned source and difference to the truth, or else
    to the reference (hatched where no source is seen); sequences as their first two frames, the restored picture and
    the truth. PSNR is that inside the mask.

    Args:
        batch: for pairs `reference` and `source`, `(B, 3, S, S)` or `(B, N, 3, S, S)` of which the first is shown, and
            where known `truth (B, 3, S, S)`; for sequences `frames (B, T, 3, S, S)` and `truth (B, 3, S, S)`; all in
            [0, 1].
        found: what a method made of them.
        limit: rows at most.
    """
    if "frames" in batch:
        return _drawn(_sequence_tiles(*_shown(limit, batch["frames"], batch["truth"], found.image, found.mask)))
    known = [batch["truth"]] if "truth" in batch else []
    return _drawn(_pair_tiles(*_shown(limit, batch["reference"], batch["source"], found.image, found.mask, *known)))


def _shown(limit: int, *parts: Tensor) -> list[Tensor]:
    return [part[:limit].float().cpu() for part in parts]


def _pair_tiles(
    reference: Tensor, source: Tensor, image: Tensor, mask: Tensor, truth: Tensor | None = None
) -> list[list[Tile]]:
    source = source[:, 0] if source.dim() == 5 else source
    target = reference if truth is None else truth
    difference = STRENGTH * (image - target).abs() * mask
    before = _decibels(source, target, mask)
    after = _decibels(image, target, mask)
    overlap = [f"{100 * share:.0f} %" for share in mask.mean((1, 2, 3)).tolist()]
    return [
        [
            _tile(reference[row], "reference"),
            _tile(source[row], f"source {before[row]}"),
            *([] if truth is None else [_tile(truth[row], "truth")]),
            _tile(image[row], f"aligned {after[row]}", mask[row]),
            _tile(difference[row], f"difference x {STRENGTH}, overlap {overlap[row]}", mask[row]),
        ]
        for row in range(len(reference))
    ]


def _sequence_tiles(frames: Tensor, truth: Tensor, image: Tensor, mask: Tensor) -> list[list[Tile]]:
    shown = range(min(2, frames.shape[1]))
    before = [_decibels(frames[:, number], truth, mask) for number in shown]
    after = _decibels(image, truth, mask)
    return [
        [
            *(_tile(frames[row, number], f"frame {number} {before[number][row]}") for number in shown),
            _tile(image[row], f"restored {after[row]}", mask[row]),
            _tile(truth[row], "truth"),
        ]
        for row in range(len(truth))
    ]


def _decibels(picture: Tensor, truth: Tensor, mask: Tensor) -> list[str]:
    """The PSNR of each sample inside its mask, in words; nothing where sizes differ."""
    if picture.shape != truth.shape:
        return [""] * len(truth)
    values = masked_psnr(picture, truth, mask).tolist()
    seen = mask.sum((1, 2, 3)).tolist()
    return [f"{value:.1f} dB" if count else "(no overlap)" for value, count in zip(values, seen, strict=True)]


def _tile(picture: Tensor, caption: str, mask: Tensor | None = None) -> Tile:
    """A picture `(3, H, W)`, no larger than `SIDE`, hatched outside its mask `(1, H, W)`."""
    pixels: Pixels = (255 * picture.nan_to_num().clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()
    size = (pixels.shape[0], pixels.shape[1])
    if max(size) > SIDE:
        size = fit(size, SIDE)
        pixels = resize(pixels, size)
    if mask is not None:
        inside: Mask = resize_mask(mask[0].numpy() > 0.5, size)
        pixels = hatch(pixels, np.logical_not(inside))
    return pixels, caption.strip()


def _drawn(rows: list[list[Tile]]) -> bytes:
    """The tiles as a table on white, with captions under them, as PNG."""
    widths = [
        max(max(pixels.shape[1], round(font(_TEXT).getlength(caption))) for pixels, caption in column)
        for column in zip(*rows, strict=True)
    ]
    heights = [max(pixels.shape[0] for pixels, _ in row) + CAPTION for row in rows]
    drawn = Image.new(
        "RGB",
        (sum(widths) + GAP * (len(widths) - 1) + 2 * MARGIN, sum(heights) + GAP * (len(rows) - 1) + 2 * MARGIN),
        "white",
    )
    draw = ImageDraw.Draw(drawn)
    y = MARGIN
    for row, height in zip(rows, heights, strict=True):
        x = MARGIN
        for (pixels, caption), width in zip(row, widths, strict=True):
            drawn.paste(Image.fromarray(pixels), (x, y))
            draw.text((x, y + height - 4), caption, fill=SOFT, font=font(_TEXT), anchor="ls")
            x += width + GAP
        y += height + GAP
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG")
    return buffer.getvalue()
