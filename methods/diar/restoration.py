"""The network that makes one clean picture of frames that lie on each other (arXiv 2310.11605, section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..geometry import Size
from .aggregation import RunningAggregation, aggregate, coverage_logits, shares
from .blocks import Decoder, Encoder
from .config import STRIDE, DiarConfig
from .swin import swin_blocks
from .tiling import Span, Tile, Tiling

KNOWN = 0.5
"""Masks count as 1 above it."""


@dataclass(frozen=True)
class Restored:
    """What the network makes of a set.

    Attributes:
        image: `(B, 3, H, W)`, float32, about [0, 1]; not clamped, so that there is a gradient everywhere.
        weights: `(B, T, 1, ceil(H / 4), ceil(W / 4))`, float32, how much each frame counts in each cell of 4 x 4
            pixels: the mean over the channels. Their sum over the frames is 1.
    """

    image: Tensor
    weights: Tensor


class Restoration(nn.Module):
    """An encoder for each frame, Swin blocks that compare the frames, a sum over the frames, and a decoder.

    Pictures are in [0, 1] outside and in [-1, 1] inside. Pixels that a frame does not know are taken as black, whatever
    they hold; with `config.masked`, features of cells in which there are some also do not count.
    """

    def __init__(self, config: DiarConfig) -> None:
        super().__init__()
        self.config = config
        self.adds_frames = config.skip == "picture"
        self.encoder = Encoder(config.width)
        self.swin = None if config.aggregation == "deepsets" else swin_blocks(config)
        # With the frames added, it begins as a weighted mean of them.
        self.decoder = Decoder(config.width, silent=self.adds_frames)

    def forward(self, frames: Tensor, masks: Tensor | None = None) -> Restored:
        """Restore sets at once, for training; `restore` needs less memory.

        Args:
            frames: `(B, T, 3, H, W)`, RGB in [0, 1], of any size and number.
            masks: bool or in [0, 1], `(B, T, 1, H, W)`, where a frame is known; None for everywhere.
        """
        known = None if masks is None else masks > KNOWN
        shown = frames if known is None else frames * known
        counted = known if self.config.masked else None
        encoded = self.encoder(shown.flatten(0, 1)).unflatten(0, shown.shape[:2])
        values, logits = self.weigh(encoded, counted)
        features, weights = aggregate(values, logits)
        cell_weights = weights.mean(dim=2, keepdim=True)
        size: Size = (shown.shape[-2], shown.shape[-1])
        image = self.draw(features, size)
        if self.adds_frames:
            image = image + (shares(cell_weights, counted, size) * shown).sum(dim=1)
        return Restored(image, cell_weights)

    def weigh(self, encoded: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
        """What is summed over the frames, `(B, T, C, h, w)`, and the logits of its weights, `(B, T, C or 1, h, w)`.

        Args:
            encoded: features of the frames, `(B, T, C, h, w)`.
            known: bool `(B, T, 1, H, W)`, of pixels that count; None for all.
        """
        compared = encoded
        if self.swin is not None:
            compared = self.swin(encoded.permute(0, 1, 3, 4, 2)).permute(0, 1, 4, 2, 3)
        coverage = encoded.new_zeros(1, 1, 1, 1, 1) if known is None else coverage_logits(known)
        if self.config.aggregation == "softmax":
            return encoded, compared.float() + coverage
        return compared, coverage.float().expand(*encoded.shape[:2], 1, *encoded.shape[3:])

    def draw(self, features: Tensor, size: Size) -> Tensor:
        """The picture `(B, 3, H, W)`, float32, not clamped; with `adds_frames`, what is added to the frames' sum.

        Args:
            features: the sum over the frames, `(B, C, h, w)`.
            size: H and W.
        """
        drawn = self.decoder(features, size).float() / 2
        return drawn if self.adds_frames else drawn + 0.5


def restoration_loss(restored: Restored, truth: Tensor) -> Tensor:
    """Mean squared error of pictures in [0, 1], the mean over the samples; the paper tells no loss.

    Args:
        restored: of the network.
        truth: `(B, 3, H, W)` in [0, 1].
    """
    return (restored.image - truth).square().mean()


@torch.inference_mode()
def restore(network: Restoration, frames: Tensor, masks: Tensor | None, tile: int) -> tuple[Tensor, Tensor]:
    """Restore one set of any number of frames of any size.

    The result is that of the network for all at once, up to rounding. Beside frames and results, memory is bounded by
    `tiling.AT_ONCE` and `tiling.KEPT`.

    Args:
        network: in evaluation mode.
        frames: `(T, 3, H, W)`, RGB in [0, 1], on the network's device.
        masks: bool or in [0, 1], `(T, 1, H, W)`, where a frame is known; None for everywhere.
        tile: side in pixels of the squares that are restored at a time, see `Tiling`.

    Returns:
        The picture `(3, H, W)` in [0, 1], and how much of each pixel comes from each frame, `(T, 1, H, W)`; their sum
        over the frames is 1. Both float32.
    """
    size: Size = (frames.shape[-2], frames.shape[-1])
    tiling = Tiling(network.config, len(frames), size, tile)
    image = frames.new_empty(3, *size)
    weights = frames.new_empty(len(frames), 1, *size)
    whole = range(size[0]), range(size[1])
    for part in tiling.tiles():
        core, drawn = pixels(part.core, size), pixels(part.drawn, size)
        running, kept = RunningAggregation(), []
        for values, logits in features_of_tile(network, frames, masks, tiling, part):
            running.add(values, logits)
            # A view would keep the margins too.
            kept.append(logits.clone())
        cell_weights = torch.cat([running.weights(logits).mean(dim=1, keepdim=True) for logits in kept])
        del kept
        counted = None
        if masks is not None and network.config.masked:
            rows, columns = inside(drawn, whole)
            counted = masks[None, ..., rows, columns] > KNOWN
        part_size = len(drawn[0]), len(drawn[1])
        spread = shares(cell_weights[None], counted, part_size)[0]
        picture = network.draw(running.features()[None], part_size)[0]
        if network.adds_frames:
            picture += (spread * _shown(frames, masks, drawn)).sum(dim=0)
        place, inner = inside(core, whole), inside(core, drawn)
        image[:, *place] = picture[:, *inner].clamp(0, 1)
        weights[..., *place] = spread[..., *inner]
    return image, weights


def features_of_tile(
    network: Restoration, frames: Tensor, masks: Tensor | None, tiling: Tiling, tile: Tile
) -> Iterator[tuple[Tensor, Tensor]]:
    """Values and logits, see `Restoration.weigh`, of a tile's drawn features, for some of the frames after the other.

    Yields:
        `(N, C, h, w)` and `(N, C or 1, h, w)`.
    """
    size: Size = (frames.shape[-2], frames.shape[-1])
    seen, place = pixels(tile.encoded, size), inside(pixels(tile.attended, size), (range(size[0]), range(size[1])))
    attended, drawn = inside(tile.attended, tile.encoded), inside(tile.drawn, tile.attended)
    encoded = frames.new_empty(0)
    first = last = 0
    for part, needed in tiling.steps():
        # With windows of several frames, steps overlap in what they need.
        made = [encoded[needed.start - first :]] if last > needed.start else []
        for start in range(max(last, needed.start), needed.stop, tiling.encoded_at_once):
            several = slice(start, min(start + tiling.encoded_at_once, needed.stop))
            shown = _shown(frames[several], None if masks is None else masks[several], seen)
            made.append(network.encoder(shown)[..., *attended])
        encoded, first, last = torch.cat(made), needed.start, needed.stop
        known = None
        if masks is not None and network.config.masked:
            known = (masks[first:last, :, *place] > KNOWN)[None]
        values, logits = network.weigh(encoded[None], known)
        own = slice(part.start - first, part.stop - first)
        yield values[0, own, :, *drawn], logits[0, own, :, *drawn]


def pixels(span: Span, size: Size) -> Span:
    """The rows and columns of pixels in a range of cells of a picture of a size."""
    rows, columns = (
        range(each.start * STRIDE, min(each.stop * STRIDE, limit)) for each, limit in zip(span, size, strict=True)
    )
    return rows, columns


def inside(span: Span, around: Span) -> tuple[slice, slice]:
    """Where a range of rows and columns lies in a larger one."""
    rows, columns = (
        slice(each.start - whole.start, each.stop - whole.start) for each, whole in zip(span, around, strict=True)
    )
    return rows, columns


def _shown(frames: Tensor, masks: Tensor | None, span: Span) -> Tensor:
    """A part of frames `(T, 3, H, W)`, black where they are not known."""
    rows, columns = (slice(each.start, each.stop) for each in span)
    part = frames[..., rows, columns]
    return part if masks is None else part * (masks[..., rows, columns] > KNOWN)
