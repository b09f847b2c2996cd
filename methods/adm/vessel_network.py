"""Vessels by a trained network, where the fixed filter does not see them: our extension of source 004."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

HALVINGS = 3
WIDTHS = (1, 2, 4, 4)
"""Channels at each resolution, in those at full resolution."""
NORM_EPSILON = 1e-5
DICE_OFFSET = 1.0
"""Pixels added to both sides of Dice's fraction, so that nothing found where there is nothing costs nothing."""


class VesselNetwork(nn.Module):
    """A small residual U-Net: two blocks at each of four resolutions, one on the way down and one on the way up.

    The vessels of a picture of 512 pixels are at most a dozen pixels wide, so that three halvings see them whole and
    what is around them (our choice; so are the layers).

    Args:
        channels: at full resolution.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [channels * factor for factor in WIDTHS]
        # Of at least four channels, or narrow networks would lose the differences between their channels.
        groups = max((count for count in range(1, 33) if channels % (4 * count) == 0), default=1)

        def block(before: int, after: int) -> ResnetBlock2D:
            return ResnetBlock2D(
                in_channels=before, out_channels=after, temb_channels=None, groups=groups, eps=NORM_EPSILON
            )

        self.conv_in = nn.Conv2d(3, channels, 3, padding=1)
        self.down = nn.ModuleList(block(before, after) for before, after in pairwise([channels, *widths]))
        self.up = nn.ModuleList(
            block(widths[level + 1] + widths[level], widths[level]) for level in reversed(range(HALVINGS))
        )
        self.out = nn.Sequential(
            nn.GroupNorm(groups, channels, eps=NORM_EPSILON), nn.SiLU(), nn.Conv2d(channels, 1, 3, padding=1)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `(B, 1, H, W)`, positive on vessels, of pictures `(B, 3, H, W)`, RGB in [0, 1], of any size.

        The sides are filled up to multiples of 8 with the last row and column.
        """
        height, width = pictures.shape[-2:]
        padding = (0, -width % 2**HALVINGS, 0, -height % 2**HALVINGS)
        hidden = self.conv_in(F.pad(2 * pictures - 1, padding, mode="replicate"))
        skips = []
        for level, block in enumerate(self.down):
            hidden = block(hidden if level == 0 else F.avg_pool2d(hidden, 2), None)
            skips.append(hidden)
        skips.pop()
        for block in self.up:
            enlarged = F.interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = block(torch.cat([enlarged, skips.pop()], dim=1), None)
        logits = self.out(hidden)
        # Cut out only where something was added: sharded training warns of views.
        return logits[..., :height, :width].contiguous() if any(padding) else logits


def vessel_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy, which every pixel tells, and soft Dice, for which it does not matter how few the vessels are.

    Args:
        logits: `(B, 1, H, W)`.
        truth: share of each pixel that is vessel `(B, 1, H, W)`, in [0, 1]; NaN where that is unknown.

    Returns:
        `(B,)`, float32: the mean cross-entropy of the known pixels, and `1 - (2 sum p t + 1) / (sum p + sum t + 1)` of
        them; 0, without a gradient, where nothing is known.
    """
    with torch.autocast(logits.device.type, enabled=False):
        known = ~truth.isnan()
        # float32 at least: the sums go over whole pictures.
        target, told = truth.nan_to_num().float(), logits.float()
        losses = F.binary_cross_entropy_with_logits(told, target, reduction="none") * known
        entropy = losses.sum((1, 2, 3)) / known.sum((1, 2, 3)).clamp_min(1)
        share = told.sigmoid() * known
        both = (share * target).sum((1, 2, 3))
        either = share.sum((1, 2, 3)) + (target * known).sum((1, 2, 3))
        return entropy + 1 - (2 * both + DICE_OFFSET) / (either + DICE_OFFSET)
