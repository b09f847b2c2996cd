"""A copy of the network for inference: batch normalisation folded into convolutions, weights in their final precision.

It gives what the network gives in evaluation mode, up to rounding, in about half the time: under autocast the weights
are cast at every call, and normalisation, ReLU and residual sums each go through memory once more.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .backbone import Backbone

Network = TypeVar("Network", bound=nn.Module)


class InferenceCopy:
    """Holds the copy of one network, and makes it anew when the network's weights have changed.

    It is no module, so that checkpoints do not see it, and it is left behind when the network is copied or pickled.
    """

    def __init__(self) -> None:
        self._seen: tuple[Any, ...] = ()
        self._copy: Any = None

    def __reduce__(self) -> tuple[type[InferenceCopy], tuple[()]]:
        return InferenceCopy, ()

    def of(self, network: Network, dtype: torch.dtype) -> Network:
        """The copy of a network that is in evaluation mode.

        Args:
            network: with a `Backbone` called `backbone`.
            dtype: of the weights of convolutions and linear layers; the network must be run under autocast to it, or in
                float32.
        """
        tensors = (*network.parameters(), *network.buffers())
        seen = (dtype, *map(_state, tensors))
        if seen != self._seen:
            self._copy = None
            self._copy = _copied(network, dtype)
            self._seen = seen
        return self._copy


def _state(tensor: Tensor) -> tuple[int, int]:
    """What differs after a change: one in place raises the version, a replaced or moved tensor lies elsewhere."""
    # Made in inference mode, tensors have no version; networks that were are there to be used, not to be trained.
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


# Tensors made in inference mode could not be used outside of it.
@torch.inference_mode(False)
@torch.no_grad()
def _copied(network: Network, dtype: torch.dtype) -> Network:
    # The memo holds all tensors: the copy shares them, until it gets its own below.
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    copied: Any = copy.deepcopy(network, shared)
    _fold(copied.backbone, dtype)
    for name, module in copied.named_modules():
        # Offsets are pixels, too large for bfloat16; the folded modules have their precision already.
        if name.startswith("backbone") or name.endswith("offsets") or not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        for key, parameter in module.named_parameters():
            setattr(module, key, nn.Parameter(_cast(parameter, dtype), requires_grad=False))
    return copied


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
    return tensor.to(dtype, memory_format=layout)


def _fold(backbone: Backbone, dtype: torch.dtype) -> None:
    backbone.stem = _FoldedStem(backbone.stem, dtype)  # type: ignore[assignment]
    for name in ("layer1", "layer2", "layer3"):
        setattr(backbone, name, nn.Sequential(*(_FoldedBlock(block, dtype) for block in getattr(backbone, name))))


class _FoldedStem(nn.Module):
    def __init__(self, stem: nn.Sequential, dtype: torch.dtype) -> None:
        super().__init__()
        self.first = _folded(stem[0], stem[1], dtype)
        self.pool = stem[3]

    def forward(self, values: Tensor) -> Tensor:
        return self.pool(_convolve(values.to(self.first.weight.dtype), self.first, relu=True))


class _FoldedBlock(nn.Module):
    """A residual block of torchvision's ResNet."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__()
        numbers = [number for number in (1, 2, 3) if hasattr(block, f"conv{number}")]
        folded = [_folded(getattr(block, f"conv{n}"), getattr(block, f"bn{n}"), dtype) for n in numbers]
        *first, self.last = folded
        self.first = nn.ModuleList(first)
        self.shortcut = None if block.downsample is None else _folded(block.downsample[0], block.downsample[1], dtype)

    def forward(self, values: Tensor) -> Tensor:
        shortcut = values if self.shortcut is None else _convolve(values, self.shortcut)
        for convolution in self.first:
            values = _convolve(values, convolution, relu=True)
        return _convolve(values, self.last, relu=True, added=shortcut)


def _folded(convolution: Any, norm: Any, dtype: torch.dtype) -> nn.Conv2d:
    # Folded in the precision of the weights; only the result is rounded.
    folded = fuse_conv_bn_eval(convolution, norm).to(dtype).requires_grad_(False)
    return folded.to(memory_format=torch.channels_last)


def _convolve(values: Tensor, convolution: Any, *, relu: bool = False, added: Tensor | None = None) -> Tensor:
    """A convolution, the sum with another tensor and ReLU; on CPUs in one pass through memory."""
    if values.device.type == "cpu":
        weight, bias = convolution.weight, convolution.bias
        shape = list(convolution.padding), list(convolution.stride), list(convolution.dilation), convolution.groups
        activation = "relu" if relu else "none"
        fused = torch.ops.mkldnn._convolution_pointwise
        if added is None:
            return fused(values, weight, bias, *shape, activation, [], "")
        return fused.binary(values, added, weight, bias, *shape, "add", 1.0, activation, [], "")
    values = convolution(values)
    if added is not None:
        values += added
    return values.relu_() if relu else values
