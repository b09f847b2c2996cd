"""Fully spatial correlation: all pairs of feature vectors, read from both images' grids (paper Eqs. 5 and 6)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .config import CrossScaleConfig


def unit_vectors(features: Tensor, *, centred: bool = False) -> Tensor:
    """Feature vectors of length 1, `(B, h w, C)`, of a feature map `(B, C, h, w)`; under autocast in its dtype.

    The paper takes plain dot products; L2 normalisation over channels is our choice, as its predecessors do.

    Args:
        features: in channels_last layout their order is that of the result.
        centred: subtract the mean vector of each image first.
    """
    kind = features.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    return _UnitVectors.apply(features, centred, dtype)


def unit_map(features: Tensor, *, centred: bool = False) -> Tensor:
    """`unit_vectors` as a map `(B, C, h, w)` in channels_last layout. What is compared several times is made once."""
    grid = (features.shape[-2], features.shape[-1])
    return unit_vectors(features, centred=centred).unflatten(1, grid).permute(0, 3, 1, 2)


def vectors_of(units: Tensor) -> Tensor:
    """The vectors `(B, h w, C)` of a map `(B, C, h, w)` in channels_last layout. A view."""
    return units.permute(0, 2, 3, 1).flatten(1, 2)


class _UnitVectors(torch.autograd.Function):
    """`unit_vectors`. Its gradient has the layout of the features: elementwise operations of mixed layouts take several
    times as long."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, centred: bool, dtype: torch.dtype) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            ctx.last = features.is_contiguous(memory_format=torch.channels_last)
            vectors = (vectors_of(features) if ctx.last else transposed(features.flatten(2))).float()
            if centred:
                vectors = vectors - vectors.mean(dim=1, keepdim=True)
            shortened = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_min_(1e-12).reciprocal_()
            # Half the time of F.normalize, which divides by an expanded tensor.
            units = (vectors * shortened).to(dtype)
        ctx.save_for_backward(units, shortened)
        ctx.centred, ctx.dtype, ctx.grid = centred, features.dtype, (features.shape[-2], features.shape[-1])
        return units

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        units, shortened = ctx.saved_tensors
        with torch.autocast(units.device.type, enabled=False):
            gradient = gradient.contiguous().float()
            along = torch.linalg.vecdot(gradient, units.float())[..., None]
            found = torch.addcmul(gradient, units.float(), along, value=-1).mul_(shortened)
            if ctx.centred:
                found -= found.mean(dim=1, keepdim=True)
            found = found.to(ctx.dtype)
            if ctx.last:
                return found.unflatten(1, ctx.grid).permute(0, 3, 1, 2), None, None
            return transposed(found).unflatten(2, ctx.grid), None, None


def correlation(vectors: Tensor, others: Tensor) -> Tensor:
    """Cosines `(B, n1, n2)`, in [-1, 1], of all pairs of unit vectors `(B, n1, C)` and `(B, n2, C)`: T1 (Eq. 5)."""
    return vectors @ others.transpose(1, 2)


def on_grid(pairs: Tensor, grid: tuple[int, int]) -> Tensor:
    """A map `(B, n, h, w)` of pairs `(B, h w, n)`, such that each position's n values are its channels. A view."""
    return pairs.unflatten(1, grid).permute(0, 3, 1, 2)


def transposed(pairs: Tensor) -> Tensor:
    """Pairs `(B, n2, n1)` of pairs `(B, n1, n2)`, contiguous: T1 read from the other grid, T2."""
    return _Transposed.apply(pairs)


class _Transposed(torch.autograd.Function):
    """A contiguous transposition, forwards and backwards.

    torch transposes two-dimensional tensors by blocks, and any others entry by entry, which takes five times as long.
    """

    @staticmethod
    def forward(ctx: Any, pairs: Tensor) -> Tensor:
        turned = pairs.new_empty(len(pairs), pairs.shape[2], pairs.shape[1])
        for one, other in zip(turned, pairs, strict=True):
            one.copy_(other.T)
        return turned

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Transposed.forward(ctx, gradient.contiguous())


def matches(pairs: Tensor, temperature: float) -> Tensor:
    """Softmax of pairs `(B, n1, n2)` over the last axis, times the root of its length, float32; no paper has it.

    The factor gives a sharp match the weight that a correlation has among as many others.
    """
    with torch.autocast(pairs.device.type, enabled=False):
        return torch.softmax(pairs.float() / temperature, dim=-1) * pairs.shape[-1] ** 0.5


def relative(pairs: Tensor, grid: tuple[int, int], other: tuple[int, int]) -> Tensor:
    """Pairs `(B, h1 w1, h2 w2)` whose last axis counts from the place of the first, around the rim; ours.

    Entry k of position p becomes the pair of p and of the place that lies as far from p's own in the other grid as
    entry k lies from the middle of that grid. Positions of a grid that is finer than the other share a place there.

    Args:
        pairs: on two grids.
        grid: (h1, w1).
        other: (h2, w2); one grid's sides are whole multiples of the other's.
    """
    axes = []
    for own, others in zip(grid, other, strict=True):
        place = torch.arange(own, device=pairs.device) * others // own
        steps = torch.arange(others, device=pairs.device) - others // 2
        axes.append((place[:, None] + steps) % others)
    rows, columns = axes
    index = (rows[:, None, :, None] * other[1] + columns[None, :, None, :]).flatten(2).flatten(0, 1)
    return pairs.gather(2, index.expand(len(pairs), -1, -1))


def convolved_correlation(vectors: Tensor, others: Tensor, filters: Tensor, grid: tuple[int, int]) -> Tensor:
    """The 3x3 convolution, zero-padded, of `on_grid(vectors @ others^T, grid)`, without the pairs themselves.

    Both are linear, so the filters may meet the other picture's vectors first (our rearrangement):
    `sum_tap sum_n W[o, n, tap] <a(x + tap), b_n> = sum_tap <a(x + tap), sum_n W[o, n, tap] b_n>`. At 512 x 512 that is
    an eighth of the multiplications, and the pairs, by far the largest tensor of the method, are never there.

    Args:
        vectors: a, of the grid, `(B, h w, C)`.
        others: b, `(B, n, C)`.
        filters: W `(O, n, 3, 3)`.
        grid: (h, w).

    Returns:
        `(B, O, h, w)`, float32, in channels_last layout.
    """
    height, width = grid
    outputs = filters.shape[0]
    # Expanded: else torch multiplies the transposed, and what `others` came from gets a gradient in another layout.
    combined = filters.permute(2, 3, 0, 1).flatten(0, 2).expand(len(others), -1, -1) @ others
    answers = (vectors @ combined.transpose(1, 2)).view(-1, height, width, 9, outputs)
    return _SumOfTaps.apply(answers).permute(0, 3, 1, 2)


class _SumOfTaps(torch.autograd.Function):
    """`sum_tap answers(x + tap)[tap]`, float32, `(B, h, w, O)` of `(B, h, w, 9, O)`; zero where x + tap lies outside.

    One pass per tap forwards and backwards, where autograd would fill and add a tensor of all taps for each.
    """

    @staticmethod
    def forward(ctx: Any, answers: Tensor) -> Tensor:
        batch, height, width, _, outputs = answers.shape
        ctx.dtype = answers.dtype
        # One ring more takes what belongs outside of the grid.
        result = torch.zeros(batch, height + 2, width + 2, outputs, device=answers.device)
        for tap, answer in enumerate(answers.unbind(3)):
            # The answer to a tap at x + tap belongs to x.
            row, column = 2 - tap // 3, 2 - tap % 3
            result[:, row : row + height, column : column + width] += answer
        # A copy even where it is contiguous already: a view could not be changed in place.
        return result[:, 1:-1, 1:-1].clone(memory_format=torch.contiguous_format)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        batch, height, width, outputs = gradient.shape
        ringed = F.pad(gradient, (0, 0, 1, 1, 1, 1))
        found = torch.empty(batch, height, width, 9, outputs, dtype=ctx.dtype, device=gradient.device)
        for tap, part in enumerate(found.unbind(3)):
            row, column = 2 - tap // 3, 2 - tap % 3
            part.copy_(ringed[:, row : row + height, column : column + width])
        return found


class CorrelationBranch(nn.Sequential):
    """Convolutions of what the reference's or the target's grid sees of the other picture."""

    def forward(self, vectors: Tensor, others: Tensor, grid: tuple[int, int]) -> Tensor:  # type: ignore[override]
        """The result for the correlations of unit vectors, without computing these: see `convolved_correlation`.

        Args:
            vectors: of the grid, `(B, h w, C)`.
            others: of the other picture, `(B, n, C)`.
            grid: (h, w).
        """
        first: Any = self[0]
        return self._after_first(convolved_correlation(vectors, others, first.weight, grid))

    def of_pairs(self, pairs: Tensor, grid: tuple[int, int]) -> Tensor:
        """The result for pairs `(B, h w, n)`, which need not be plain correlations."""
        return self.layers(on_grid(pairs, grid))

    def layers(self, values: Tensor) -> Tensor:
        """The result for any map `(B, n, h, w)`."""
        return self._after_first(self[0](values))

    def _after_first(self, values: Tensor) -> Tensor:
        for module in list(self)[1:]:
            values = module(values)
        return values


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
        self.temperature = config.correlation_temperature
        self.relative = config.relative_correlation
        self.explicit = config.explicit_correlation or bool(self.temperature) or self.relative
        self.reference_branch, reference_side = _branch(config, target_grid**2, reference_grid)
        self.target_branch, target_side = _branch(config, reference_grid**2, target_grid)
        side = max(reference_side, target_side)
        self.pad_reference, self.pad_target = _padding(reference_side, side), _padding(target_side, side)
        trunk = convolution(config, 2 * config.branch[-1], config.trunk)
        trunk += convolution(config, config.trunk, config.trunk)
        if side // 2 >= config.smallest_map:
            trunk.append(nn.MaxPool2d(2))
            side //= 2
        self.trunk = nn.Sequential(*trunk)
        self.hidden = hidden_layers(config.trunk * side**2, *config.linear)
        self.offsets = last_layer(config.linear[-1], points)

    def forward(self, reference: Tensor, target: Tensor) -> Tensor:
        """Offsets `(B, points, 2)`, float32, pixels, of `unit_map`s `(B, C, h1, h1)` and `(B, C, h2, h2)`."""
        a, b = vectors_of(reference), vectors_of(target)
        grid_a, grid_b = ((units.shape[-2], units.shape[-1]) for units in (reference, target))
        if self.explicit:
            pairs = correlation(a, b)
            turned = transposed(pairs)
            if self.temperature:
                pairs, turned = matches(pairs, self.temperature), matches(turned, self.temperature)
            if self.relative:
                pairs, turned = relative(pairs, grid_a, grid_b), relative(turned, grid_b, grid_a)
            one, two = self.reference_branch.of_pairs(pairs, grid_a), self.target_branch.of_pairs(turned, grid_b)
        else:
            one, two = self.reference_branch(a, b, grid_a), self.target_branch(b, a, grid_b)
        both = torch.cat([F.pad(one, self.pad_reference), F.pad(two, self.pad_target)], dim=1)
        return read_offsets(self.hidden, self.offsets, self.trunk(both).flatten(1))


def convolution(config: CrossScaleConfig, inputs: int, outputs: int) -> list[nn.Module]:
    """A 3x3 convolution without bias, its normalisation where the config asks for one, and ReLU."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    norm = [nn.BatchNorm2d(outputs)] if config.head_norm == "batch" else []
    return [layer, *norm, nn.ReLU(inplace=True)]


def hidden_layers(inputs: int, first: int, second: int) -> nn.Sequential:
    """The two hidden linear layers of a regression, with ReLU."""
    layers = [nn.Linear(inputs, first), nn.Linear(first, second)]
    for layer in layers:
        # torch's default lets the signal fade by 2.4 in each layer; Kaiming's keeps it, as in the convolutions.
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.ReLU(inplace=True), layers[1], nn.ReLU(inplace=True))


def last_layer(inputs: int, points: int) -> nn.Linear:
    """The linear layer that gives two offsets per point; zero, so that an untrained network is the identity warp."""
    layer = nn.Linear(inputs, 2 * points)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def read_offsets(hidden: nn.Sequential, last: nn.Linear, values: Tensor) -> Tensor:
    """Offsets `(B, points, 2)` in pixels by the linear layers of a regression.

    The hidden ones compute in the precision of their weights: to cast millions of these for a few vectors costs more
    than their products. The last one computes in float32: in bfloat16, 100 would stand for anything from 99.75 to
    100.25.
    """
    first: Any = hidden[0]
    with torch.autocast(values.device.type, enabled=False):
        return last(hidden(values.to(first.weight.dtype)).float()).unflatten(1, (-1, 2))


def _branch(config: CrossScaleConfig, inputs: int, side: int) -> tuple[CorrelationBranch, int]:
    """The convolutions on one grid, and the side of their result."""
    layers: list[nn.Module] = []
    before = config.branch[0]
    layers += convolution(config, inputs, before)
    for stage, outputs in enumerate(config.branch[1:]):
        if stage:
            layers += convolution(config, before, before)
        layers += convolution(config, before, outputs)
        before = outputs
        if side // 2 >= config.smallest_map:
            layers.append(nn.MaxPool2d(2))
            side //= 2
    return CorrelationBranch(*layers), side


def _padding(side: int, wanted: int) -> tuple[int, int, int, int]:
    """Zeros around a map, centred, because both grids cover the same field of view (the paper does not say where)."""
    before = (wanted - side) // 2
    after = wanted - side - before
    return before, after, before, after
