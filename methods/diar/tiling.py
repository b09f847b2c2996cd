"""How a large set of frames is cut into parts that are restored one after the other, and still equal the whole.

Along rows and columns, in cells of 4 pixels, and along frames, parts are ranges. A part that is wanted depends on a
larger one: decoder and encoder look a few cells further, and a Swin block sees all windows in which something lies that
is wanted of it. Blocks start at a multiple of a window, so that windows lie where they do in the whole. For four blocks
with windows of 8 cells a tile sees 29 cells, 116 pixels, beyond what it gives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..geometry import Size
from .blocks import DECODER_REACH, ENCODER_REACH, cells
from .config import STRIDE, DiarConfig
from .swin import shifts

AT_ONCE = 150_000_000
"""Values of intermediate results that may be there at a time: 600 MB in float32."""
OVER_TIME = 4
"""How many times as many there may be with windows of several frames, where each step sees frames of its neighbours."""
KEPT = 220_000_000
"""Values that may be there for all frames of a tile, of which the weights are made: 880 MB."""
ENCODER_COST = 32
"""Values in the encoder for each of a frame's features: four maps of 16 pixels with half of the channels."""
SHARE_COST = 96
"""Values for each cell of a frame when the weights become shares of its 16 pixels: six each."""

Span = tuple[range, range]
"""Rows and columns, in cells."""


@dataclass(frozen=True)
class Tile:
    """A part of the picture.

    Attributes:
        core: what the tile gives to the picture; the cores of all tiles cover it once.
        drawn: features that the decoder needs for it.
        attended: features that the Swin blocks need for these.
        encoded: cells of the frames that the encoder needs for these.
    """

    core: Span
    drawn: Span
    attended: Span
    encoded: Span


class Tiling:
    """Tiles, and steps through the frames, that keep memory bounded.

    Args:
        config: of the network.
        frames: T.
        size: H and W of the frames in pixels.
        tile: side of a tile's core in pixels, rounded down to whole windows, at least one. It becomes smaller where
            `AT_ONCE` or `KEPT` would be exceeded, and ends at one window.

    Attributes:
        side: of a tile's core, in cells.
        step: frames whose features are made at a time.
        encoded_at_once: frames that are encoded at a time.
    """

    def __init__(self, config: DiarConfig, frames: int, size: Size, tile: int) -> None:
        has_swin = config.aggregation != "deepsets"
        self.frames, self.size = frames, cells(size)
        self.window, self.period = config.window, config.temporal_window
        self.shifts = shifts(config.blocks, self.window) if has_swin else []
        self.period_shifts = shifts(config.blocks, self.period) if has_swin else []
        self.channels = 2 * config.width
        self.logits = self.channels if config.aggregation == "softmax" else 1
        # Of a cell, in a Swin block: the hidden layer before and after GELU, and the bias of every pair in a window.
        pairs = config.heads * self.period * self.window**2
        self.swin_cost = round((4 + 2 * config.mlp_ratio) * self.channels) + pairs
        # The widest tile is one inside of a larger picture.
        self.margin = len(windows_around(range(self.period), self.period, self.period_shifts)) - self.period
        self.side = max(1, tile // STRIDE // self.window) * self.window
        while self.side > self.window and not self._fits():
            self.side -= self.window
        encoded, attended, _ = self._areas()
        affordable = self._budget() // (self.swin_cost * attended)
        several = max(1, (affordable - self.margin) // self.period) * self.period
        self.step = frames if affordable >= frames else several
        self.encoded_at_once = max(1, AT_ONCE // (ENCODER_COST * self.channels * encoded))

    def _budget(self) -> int:
        return OVER_TIME * AT_ONCE if self.margin else AT_ONCE

    def _areas(self) -> tuple[int, int, int]:
        """Most cells that are encoded, attended and drawn in a tile."""
        inside = self._tile_axis(range(self.side))
        lengths = [[min(len(span), limit) for span in inside[:0:-1]] for limit in self.size]
        encoded, attended, drawn = (rows * columns for rows, columns in zip(*lengths, strict=True))
        return encoded, attended, drawn

    def _fits(self) -> bool:
        encoded, attended, drawn = self._areas()
        frames = min(self.frames, self.period + self.margin)
        return (
            ENCODER_COST * encoded * self.channels <= AT_ONCE
            and self.swin_cost * attended * frames <= self._budget()
            and (self.logits + SHARE_COST) * drawn * self.frames <= KEPT
        )

    def _tile_axis(self, core: range) -> tuple[range, range, range, range]:
        """Along one axis the ranges of a `Tile`, as if the picture had no end."""
        drawn = _widened(core, DECODER_REACH)
        attended = windows_around(drawn, self.window, self.shifts)
        return core, drawn, attended, _widened(attended, ENCODER_REACH)

    def tiles(self) -> Iterator[Tile]:
        """All tiles, from left to right and from top to bottom."""
        axes = [
            [[_within(span, limit) for span in self._tile_axis(core)] for core in _parts(limit, self.side)]
            for limit in self.size
        ]
        for rows in axes[0]:
            for columns in axes[1]:
                yield Tile(*zip(rows, columns, strict=True))

    def steps(self) -> Iterator[tuple[range, range]]:
        """Ranges of frames that cover all of them, each with the range that the Swin blocks have to see for it."""
        for part in _parts(self.frames, self.step):
            yield part, _within(windows_around(part, self.period, self.period_shifts), self.frames)


def windows_around(wanted: range, window: int, shifts: Sequence[int]) -> range:
    """What blocks of attention need to see along an axis, to say the same as if they saw everything.

    Args:
        wanted: of the last block's output.
        window: length of the blocks' windows; without a shift, they start at multiples of it.
        shifts: of the windows, from the first block to the last.
    """
    start, stop = wanted.start, wanted.stop
    for shift in reversed(shifts):
        start = (start - shift) // window * window + shift
        stop = math.ceil((stop - shift) / window) * window + shift
    return range(start, stop)


def _widened(span: range, reach: int) -> range:
    return range(span.start - reach, span.stop + reach)


def _within(span: range, limit: int) -> range:
    return range(max(0, span.start), min(limit, span.stop))


def _parts(length: int, step: int) -> Iterator[range]:
    return (range(start, min(start + step, length)) for start in range(0, length, step))
