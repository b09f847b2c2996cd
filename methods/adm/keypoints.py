"""Where in a picture learned landmarks lie, told as coordinates: our extension of source 004's encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Keypoints(nn.Module):
    """Heatmaps of a map of features, each read as the place of its mean and its spread.

    A vector that is a mean over the map forgets where things are; the spatial softmax of Levine et al. (2016, Journal
    of Machine Learning Research 17) keeps just that, so that a homography can be learned of few pictures.

    Args:
        features: channels of the map.
        count: K, of the heatmaps.
    """

    def __init__(self, features: int, count: int) -> None:
        super().__init__()
        self.heatmaps = nn.Conv2d(features, count, 1)

    def forward(self, values: Tensor) -> Tensor:
        """`(B, 3 K)`, float32: all x, all y, in [-1, 1] between the middles of the outermost cells, and all spreads.

        Args:
            values: `(B, features, h, w)`, of at least two rows and columns.
        """
        heights = self.heatmaps(values)
        rows, columns = heights.shape[-2:]
        # Coordinates in bfloat16 would be off by a hundredth of a cell's many pixels.
        with torch.autocast(values.device.type, enabled=False):
            shares = heights.float().flatten(2).softmax(dim=2).unflatten(2, (rows, columns))
            along_x, along_y = (torch.linspace(-1, 1, count, device=values.device) for count in (columns, rows))
            across, down = shares.sum(dim=2), shares.sum(dim=3)
            x, y = across @ along_x, down @ along_y
            second = across @ along_x.square() + down @ along_y.square()
            # Never quite zero, where a root has no gradient.
            spread = (second - x.square() - y.square()).clamp_min(1e-6).sqrt()
            return torch.cat([x, y, spread], dim=1)
