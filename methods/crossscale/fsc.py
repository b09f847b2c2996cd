"""Fully spatial correlation: all pairs of feature vectors, read from both images' grids (paper Eqs. 5 and 6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import CrossScaleConfig


def correlation(reference: Tensor, target: Tensor, *, centred: bool = False) -> tuple[Tensor, Tensor]:
    """Cosines of all pairs of feature vectors, seen from both grids. One matrix product.

    The paper takes dot products; L2 normalisation over channels is our choice, as its predecessors do.

    Args:
        reference: `(B, C, h1, w1)`.
        target: `(B, C, h2, w2)`.
        centred: subtract the mean vector of each image first.

    Returns:
        T1 `(B, h2 w2, h1, w1)`, whose channels are target positions, and T2 `(B, h1 w1, h2, w2)`, whose channels are
        reference positions; the same numbers, in [-1, 1].
    """
    h1, w1 = reference.shape[-2:]
    h2, w2 = target.shape[-2:]
    # Columns of positions, channels last: for channels_last feature maps these are views.
    a, b = (_unit(features.permute(0, 2, 3, 1).flatten(1, 2), centred) for features in (reference, target))
    pairs = a @ b.transpose(1, 2)
    # (B, n1, n2) read as (B, h1, w1, channels n2) is T1 in channels_last layout, and as (B, channels n1, h2, w2) is T2.
    return pairs.unflatten(1, (h1, w1)).permute(0, 3, 1, 2), pairs.unflatten(2, (h2, w2))


def matches(pairs: Tensor, temperature: float) -> Tensor:
    """Softmax over channels (the positions in the other picture), times the root of their number; no paper has it.

    The factor gives a sharp match the weight that a correlation has among as many others.
    """
    with torch.autocast(pairs.device.type, enabled=False):
        return torch.softmax(pairs.float() / temperature, dim=1) * pairs.shape[1] ** 0.5


def _unit(vectors: Tensor, centred: bool) -> Tensor:
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = vectors.float()
        if centred:
            vectors = vectors - vectors.mean(dim=1, keepdim=True)
        return F.normalize(vectors, dim=-1)


class Regression(nn.Module):
    """Offsets from one pair of feature maps: correlation, a branch per grid, a common trunk and linear layers.

    Layout F: branches of six 3x3 convolutions with three max-pools, padding of the smaller result, a trunk of two
    convolutions and a max-pool, three linear layers. The paper names the parts without their sizes; this is the most
    regular layout that costs what its table says.

    Args:
        config: widths.
        reference_grid: side of the square reference feature map.
        target_grid: side of the square target feature map.
        points: how many points get an offset.
    """

    def __init__(self, config: CrossScaleConfig, reference_grid: int, target_grid: int, points: int) -> None:
        super().__init__()
        self.centred = config.centred_correlation
        self.temperature = config.correlation_temperature
        smallest = config.smallest_map
        self.reference_branch, reference_side = _branch(config, target_grid**2, reference_grid)
        self.target_branch, target_side = _branch(config, reference_grid**2, target_grid)
        side = max(reference_side, target_side)
        self.pad_reference, self.pad_target = _padding(reference_side, side), _padding(target_side, side)
        trunk = _convolution(config, 2 * config.branch[-1], config.trunk)
        trunk += _convolution(config, config.trunk, config.trunk)
        if side // 2 >= smallest:
            trunk.append(nn.MaxPool2d(2))
            side //= 2
        self.trunk = nn.Sequential(*trunk)
        first, second = config.linear
        hidden = [nn.Linear(config.trunk * side**2, first), nn.Linear(first, second)]
        for layer in hidden:
            # torch's default lets the signal fade by 2.4 in each layer; Kaiming's keeps it, as in the convolutions.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        self.hidden = nn.Sequential(hidden[0], nn.ReLU(inplace=True), hidden[1], nn.ReLU(inplace=True))
        self.offsets = nn.Linear(second, 2 * points)
        # An untrained network is then the identity warp, and training starts at a meaningful loss (our choice).
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.offsets.bias)

    def forward(self, reference: Tensor, target: Tensor) -> Tensor:
        """Offsets `(B, points, 2)`, float32, pixels, of features `(B, C, h1, h1)` and `(B, C, h2, h2)`."""
        from_reference, from_target = correlation(reference, target, centred=self.centred)
        if self.temperature:
            from_reference = matches(from_reference, self.temperature)
            from_target = matches(from_target, self.temperature)
        layout = torch.channels_last
        one = self.reference_branch(from_reference.contiguous(memory_format=layout))
        two = self.target_branch(from_target.contiguous(memory_format=layout))
        both = torch.cat([F.pad(one, self.pad_reference), F.pad(two, self.pad_target)], dim=1)
        hidden = self.hidden(self.trunk(both).flatten(1))
        # Offsets are pixels: in bfloat16, 100 would stand for anything from 99.75 to 100.25.
        with torch.autocast(hidden.device.type, enabled=False):
            return self.offsets(hidden.float()).unflatten(1, (-1, 2))


def _convolution(config: CrossScaleConfig, inputs: int, outputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    norm = [nn.BatchNorm2d(outputs)] if config.head_norm == "batch" else []
    return [convolution, *norm, nn.ReLU(inplace=True)]


def _branch(config: CrossScaleConfig, inputs: int, side: int) -> tuple[nn.Sequential, int]:
    """The convolutions on one grid, and the side of their result."""
    layers: list[nn.Module] = []
    before = config.branch[0]
    layers += _convolution(config, inputs, before)
    for stage, outputs in enumerate(config.branch[1:]):
        if stage:
            layers += _convolution(config, before, before)
        layers += _convolution(config, before, outputs)
        before = outputs
        if side // 2 >= config.smallest_map:
            layers.append(nn.MaxPool2d(2))
            side //= 2
    return nn.Sequential(*layers), side


def _padding(side: int, wanted: int) -> tuple[int, int, int, int]:
    """Zeros around a map, centred, because both grids cover the same field of view (the paper does not say where)."""
    before = (wanted - side) // 2
    after = wanted - side - before
    return before, after, before, after
