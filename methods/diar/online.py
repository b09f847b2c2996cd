"""Restoration of frames that come one after the other, such as those of a camera that is still taking them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from ..geometry import Size
from .aggregation import RunningAggregation
from .restoration import Restoration, features_of_tile, inside, pixels
from .tiling import Tile, Tiling


class OnlineRestoration:
    """A set that grows frame by frame, and the picture of all frames so far: that which `restore` makes of them.

    Memory does not grow with the number of frames, because the sums over the frames are all that is kept (the running
    mean of Deep Residual Sets, VISAPP 2022, and the same for a softmax): some 24 values per pixel at `width` 64.

    Args:
        network: in evaluation mode.
        tile: side in pixels of the squares that are restored at a time, see `Tiling`.

    Raises:
        InputError: the network compares frames with each other, or adds the frames themselves, whose weights are known
            at the end only.
    """

    def __init__(self, network: Restoration, tile: int = 512) -> None:
        config = network.config
        if network.swin is not None and config.temporal_window > 1:
            raise InputError(
                f"a network with temporal_window {config.temporal_window} needs all frames at once; restore them as a "
                "set, or take a network with temporal_window 1"
            )
        if network.adds_frames:
            raise InputError(
                "a network with skip 'picture' needs all frames at once; restore them as a set, or take a network with "
                "skip 'none'"
            )
        self.network, self.tile = network, tile
        self.frames = 0
        """How many have been added."""
        self._size: Size | None = None
        self._parts: list[tuple[Tile, RunningAggregation]] = []

    @torch.inference_mode()
    def add(self, frame: Tensor, mask: Tensor | None = None) -> None:
        """Take in one more frame.

        Args:
            frame: `(3, H, W)`, RGB in [0, 1], on the network's device, as large as those before.
            mask: bool or in [0, 1], `(1, H, W)`, where the frame is known; None for everywhere.

        Raises:
            InputError: it is larger or smaller than those before.
        """
        size: Size = (frame.shape[-2], frame.shape[-1])
        tiling = Tiling(self.network.config, 1, size, self.tile)
        if self._size is None:
            self._size = size
            self._parts = [(tile, RunningAggregation()) for tile in tiling.tiles()]
        if size != self._size:
            raise InputError(
                f"frames must all have one size: this one has {size[1]} x {size[0]} pixels, those before "
                f"{self._size[1]} x {self._size[0]}"
            )
        masks = None if mask is None else mask[None]
        for tile, running in self._parts:
            for values, logits in features_of_tile(self.network, frame[None], masks, tiling, tile):
                running.add(values, logits)
        self.frames += 1

    @torch.inference_mode()
    def image(self) -> Tensor:
        """The picture `(3, H, W)` of all frames so far, float32 in [0, 1].

        Raises:
            InputError: there is no frame yet.
        """
        if self._size is None:
            raise InputError("there is no picture of no frames; add one first")
        image = torch.empty(3, *self._size, device=next(self.network.parameters()).device)
        frame = range(self._size[0]), range(self._size[1])
        for tile, running in self._parts:
            core, drawn = pixels(tile.core, self._size), pixels(tile.drawn, self._size)
            picture = self.network.draw(running.features()[None], (len(drawn[0]), len(drawn[1])))[0]
            image[:, *inside(core, frame)] = picture[:, *inside(core, drawn)].clamp(0, 1)
        return image
