"""What the paper compares its correlation with (its Table 1): correlation layer, contextual correlation, cost volume.

All three end in the regression head of UDIS++ (Nie et al. 2023). The paper names them without details: these are the
layouts that cost what its table says.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import COARSE_STRIDE, FINE_STRIDE, CrossScaleConfig
from .fsc import (
    CorrelationBranch,
    Regression,
    convolution,
    correlation,
    hidden_layers,
    last_layer,
    matches,
    read_offsets,
    relative,
    unit_map,
    vectors_of,
)

RADIUS = 16
"""Of the cost volume's window, in cells: 33 x 33 = 1089 channels."""
SOFTMAX_SCALE = 10.0
"""Of the contextual correlation (Nie et al. 2021), where the config gives no temperature."""
CORNERS = 4


def coarse_regression(config: CrossScaleConfig) -> nn.Module:
    """The module for the offsets of the four corners, from coarse features."""
    grid = config.working_size // COARSE_STRIDE
    if config.correlation == "fsc":
        return Regression(config, grid, grid, CORNERS)
    linear = config.comparison_linear[0], config.comparison_linear[1] // 2
    return _MODULES[config.correlation](config, grid, grid, CORNERS, config.comparison_channels[:3], linear)


def local_regression(config: CrossScaleConfig, reference_level: int, target_level: int) -> nn.Module:
    """The module for the offsets of all mesh vertices, from fine features halved `level` times."""
    points = config.mesh[0] * config.mesh[1]
    one, two = (config.working_size // FINE_STRIDE // 2**level for level in (reference_level, target_level))
    if config.correlation == "fsc":
        return Regression(config, one, two, points)
    channels, linear = config.comparison_channels, config.comparison_linear
    return _MODULES[config.correlation](config, one, two, points, channels, linear)


class Comparison(nn.Module):
    """Offsets from one pair of feature maps by the regression head of UDIS++; what subclasses have in common.

    The head is pairs of 3x3 convolutions with a max-pool after each, and three linear layers.

    Args:
        config: options of the correlation, normalisation, smallest map.
        reference_grid: side of the square reference feature map.
        target_grid: side of the square target feature map.
        points: how many points get an offset.
        channels: of each pair of convolutions.
        linear: widths of the two hidden linear layers.
    """

    def __init__(
        self,
        config: CrossScaleConfig,
        reference_grid: int,
        target_grid: int,
        points: int,
        channels: tuple[int, ...],
        linear: tuple[int, int],
    ) -> None:
        super().__init__()
        self.temperature = config.correlation_temperature
        self.relative = config.relative_correlation
        self.explicit = config.explicit_correlation or bool(self.temperature) or self.relative
        inputs, side = self.map_shape(reference_grid, target_grid)
        layers: list[nn.Module] = []
        for outputs in channels:
            layers += convolution(config, inputs, outputs) + convolution(config, outputs, outputs)
            inputs = outputs
            if side // 2 >= config.smallest_map:
                layers.append(nn.MaxPool2d(2))
                side //= 2
        self.branch = CorrelationBranch(*layers)
        self.hidden = hidden_layers(inputs * side**2, *linear)
        self.offsets = last_layer(linear[-1], points)

    @staticmethod
    def map_shape(reference_grid: int, target_grid: int) -> tuple[int, int]:
        """Channels and side of the map that the head reads."""
        raise NotImplementedError

    def read(self, branch: Tensor) -> Tensor:
        """Offsets `(B, points, 2)`, float32, pixels, of the result of the convolutions."""
        return read_offsets(self.hidden, self.offsets, branch.flatten(1))


class CorrelationLayer(Comparison):
    """CL: the correlations as seen from the reference only (the paper's T1)."""

    @staticmethod
    def map_shape(reference_grid: int, target_grid: int) -> tuple[int, int]:
        """See `Comparison`."""
        return target_grid**2, reference_grid

    def forward(self, reference: Tensor, target: Tensor) -> Tensor:
        """Offsets `(B, points, 2)`, float32, pixels, of `unit_map`s `(B, C, h1, h1)` and `(B, C, h2, h2)`."""
        a, b = vectors_of(reference), vectors_of(target)
        grid = (reference.shape[-2], reference.shape[-1])
        if not self.explicit:
            return self.read(self.branch(a, b, grid))
        pairs = correlation(a, b)
        if self.temperature:
            pairs = matches(pairs, self.temperature)
        if self.relative:
            pairs = relative(pairs, grid, (target.shape[-2], target.shape[-1]))
        return self.read(self.branch.of_pairs(pairs, grid))


class ContextualCorrelation(Comparison):
    """CCL: where each reference cell's 3x3 neighbourhood finds its like in the target, on average (Nie et al. 2021)."""

    @staticmethod
    def map_shape(reference_grid: int, target_grid: int) -> tuple[int, int]:
        """See `Comparison`."""
        return 2, reference_grid

    def forward(self, reference: Tensor, target: Tensor) -> Tensor:
        """Offsets `(B, points, 2)`, float32, pixels, of `unit_map`s `(B, C, h1, h1)` and `(B, C, h2, h2)`."""
        scale = 1 / self.temperature if self.temperature else SOFTMAX_SCALE
        flow = feature_flow(reference, target, scale)
        return self.read(self.branch.layers(flow.contiguous(memory_format=torch.channels_last)))


class CostVolume(Comparison):
    """CV: cosines with the target's cells inside a window around the same place; the smaller map is enlarged first."""

    @staticmethod
    def map_shape(reference_grid: int, target_grid: int) -> tuple[int, int]:
        """See `Comparison`."""
        return (2 * RADIUS + 1) ** 2, max(reference_grid, target_grid)

    def forward(self, reference: Tensor, target: Tensor) -> Tensor:
        """Offsets `(B, points, 2)`, float32, pixels, of `unit_map`s `(B, C, h1, h1)` and `(B, C, h2, h2)`."""
        size = max(reference.shape[-2:], target.shape[-2:])
        reference, target = (
            units if units.shape[-2:] == size else unit_map(F.interpolate(units, size, mode="bilinear"))
            for units in (reference, target)
        )
        volume = cost_volume(reference, target, RADIUS)
        if self.temperature:
            volume = matches(volume.flatten(1, 2), self.temperature).view_as(volume)
        return self.read(self.branch.layers(volume.permute(0, 3, 1, 2)))


_MODULES: dict[str, type[Comparison]] = {
    "cl": CorrelationLayer,
    "ccl": ContextualCorrelation,
    "cv": CostVolume,
}


def feature_flow(reference: Tensor, target: Tensor, scale: float) -> Tensor:
    """Expected displacement `(B, 2, h1, w1)`, float32, reference cells, of each reference cell's 3x3 neighbourhood.

    Neighbourhoods are compared by the sum of their nine cosines, zero outside; the softmax over the target's makes a
    mean of their places. Places on a grid of another size are taken to the reference's by areas.

    Args:
        reference: `unit_map` `(B, C, h1, w1)`.
        target: likewise `(B, C, h2, w2)`.
        scale: of the sums in the softmax.
    """
    grids = [(units.shape[-2], units.shape[-1]) for units in (reference, target)]
    a, b = (F.unfold(units, 3, padding=1) for units in (reference, target))
    alike = a.transpose(1, 2) @ b
    with torch.autocast(alike.device.type, enabled=False):
        shares = torch.softmax(alike.float() * scale, dim=-1)
        here, there = (_places(grid, grids[0], alike.device) for grid in grids)
        return (shares @ there - here).transpose(1, 2).unflatten(2, grids[0])


def _places(grid: tuple[int, int], frame: tuple[int, int], device: torch.device) -> Tensor:
    """Centres (x, y) of a grid's cells, `(h w, 2)`, in cells of the frame."""
    ys, xs = (
        (torch.arange(own, device=device) + 0.5) * (whole / own) - 0.5 for own, whole in zip(grid, frame, strict=True)
    )
    return torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1).flatten(0, 1)


def cost_volume(reference: Tensor, target: Tensor, radius: int) -> Tensor:
    """Cosines `(B, h, w, (2 r + 1)^2)` of each reference vector with the target's in a window, zero outside.

    The last axis runs over the window's rows, then its columns. One product per row of the window and of the map.

    Args:
        reference: `unit_map` `(B, C, h, w)`.
        target: like `reference`.
        radius: r, cells.
    """
    height, width = reference.shape[-2:]
    a, b = (units.permute(0, 2, 3, 1) for units in (reference, target))
    padded = F.pad(b, (0, 0, radius, radius, radius, radius)).transpose(2, 3)
    across = width + 2 * radius
    rows = []
    for row in range(2 * radius + 1):
        products = a @ padded[:, row : row + height]
        # Entry (x, x + k) of each (w, w + 2 r) table: with one entry more per row they stand below each other.
        skewed = F.pad(products.flatten(-2), (0, width)).unflatten(-1, (width, across + 1))
        rows.append(skewed[..., : 2 * radius + 1])
    return torch.cat(rows, dim=-1)
