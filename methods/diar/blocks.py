"""The convolutions of the restoration: an encoder for each frame and a decoder for what became of all of them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..geometry import Size
from .config import STRIDE

ENCODER_REACH = 5
"""Cells of pixels beside its own that a feature depends on: 18 pixels, by the strides and sizes of the convolutions."""
DECODER_REACH = 5
"""Features beside those over a cell that its pixels depend on: 3.5 by the residual blocks, and the rest by rounding."""


def convolution(inputs: int, outputs: int, *, stride: int = 1, relu: bool = False) -> nn.Conv2d:
    """A 3x3 convolution that keeps the variance of what goes through it, or through it and a ReLU after it."""
    layer = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu" if relu else "linear")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class ResBlock(nn.Module):
    """Convolution, ReLU, convolution, plus what came in; the identity at first.

    There is no batch normalisation: statistics over a batch would let the frames of a set depend on each other.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels, relu=True)
        self.second = convolution(channels, channels)
        nn.init.zeros_(self.second.weight)

    def forward(self, values: Tensor) -> Tensor:
        """A map like `values (N, C, H, W)`."""
        return self.second(F.relu(self.first(values), inplace=True)).add_(values)


class Encoder(nn.Module):
    """Features of single frames, at a quarter of their resolution (arXiv 2310.11605, section 5; the layers are ours).

    Feature i stands for the cell of pixels 4 i to 4 i + 3.

    Args:
        width: channels at full resolution; the features have twice as many.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = convolution(3, width)
        self.level1 = nn.Sequential(ResBlock(width), convolution(width, 2 * width, stride=2))
        self.level2 = nn.Sequential(
            ResBlock(2 * width), convolution(2 * width, 2 * width, stride=2), ResBlock(2 * width)
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Features `(N, 2 width, ceil(H / 4), ceil(W / 4))` of frames `(N, 3, H, W)`, RGB in [0, 1]."""
        # Zero, with which convolutions pad, is a mean grey in [-1, 1].
        centred = to_whole_cells(frames) * 2 - 1
        return self.level2(self.level1(self.stem(centred.contiguous(memory_format=torch.channels_last))))


class Decoder(nn.Module):
    """A picture drawn from features (arXiv 2310.11605, section 5; the layers are ours).

    Args:
        width: channels at full resolution; the features have twice as many.
        silent: draw zeros at first.
    """

    def __init__(self, width: int, *, silent: bool) -> None:
        super().__init__()
        self.level1 = nn.Sequential(
            ResBlock(2 * width), nn.Upsample(scale_factor=2), convolution(2 * width, width), ResBlock(width)
        )
        last = convolution(width, 3)
        if silent:
            nn.init.zeros_(last.weight)
        self.level2 = nn.Sequential(nn.Upsample(scale_factor=2), convolution(width, width), ResBlock(width), last)

    def forward(self, features: Tensor, size: Size) -> Tensor:
        """A picture `(N, 3, H, W)`, about [-1, 1], of features `(N, 2 width, ceil(H / 4), ceil(W / 4))`.

        Args:
            features: see `Encoder`.
            size: H and W.
        """
        return self.level2(self.level1(features))[..., : size[0], : size[1]]


def to_whole_cells(pictures: Tensor) -> Tensor:
    """Pictures `(N, C, H, W)` with their last rows and columns repeated up to the next multiple of 4."""
    height, width = pictures.shape[-2:]
    return F.pad(pictures, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")


def cells(size: Size) -> Size:
    """Rows and columns of the features of pictures of a size."""
    return math.ceil(size[0] / STRIDE), math.ceil(size[1] / STRIDE)
