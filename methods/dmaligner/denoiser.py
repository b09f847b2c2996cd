"""The network that says the clean latent, or the noise, of a noisy one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D, get_down_block, get_up_block
from torch import Tensor, nn

from .config import DmAlignerConfig

NORM_EPSILON = 1e-5
HEAD_CHANNELS = 32
"""Channels to which each level's features are reduced before the mask is read from them."""
HEAD_GROUPS = 8


class Denoised(NamedTuple):
    """What the denoiser says."""

    prediction: Tensor
    """`(B, C, h, w)`, the clean latent or the noise."""
    mask_logits: Tensor | None
    """`(B, 1, h, w)`, positive where something moves; None where the mask does not come from the features."""
    shares: Tensor | None = None
    """`(B, K, h, w)` in [0, 1], how much of each latent that may be copied is in the prediction; None without such."""


class MaskHead(nn.Module):
    """Logits of what moves, from the features of all levels.

    Each level is reduced to `HEAD_CHANNELS` channels and brought to the size of the last; their sum is normalised and
    read by two convolutions. What source 000 says of it is no more than "multi-scale decoder features"; the rest is our
    choice.

    Args:
        channels: of each level.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.reductions = nn.ModuleList(nn.Conv2d(each, HEAD_CHANNELS, 1) for each in channels)
        self.read = nn.Sequential(
            nn.GroupNorm(HEAD_GROUPS, HEAD_CHANNELS),
            nn.SiLU(),
            nn.Conv2d(HEAD_CHANNELS, HEAD_CHANNELS, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(HEAD_CHANNELS, 1, 3, padding=1),
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Logits `(B, 1, h, w)` at the size of the last of the features `(B, c_i, h_i, w_i)`."""
        size = features[-1].shape[-2:]
        levels = [
            F.interpolate(reduction(feature), size, mode="bilinear", align_corners=False)
            for reduction, feature in zip(self.reductions, features, strict=True)
        ]
        return self.read(torch.stack(levels).sum(dim=0))


class Denoiser(ModelMixin, ConfigMixin):
    """A U-Net over the noisy latent and its condition: residual blocks, self-attention at the lowest levels, no text.

    The layers, and the names of their weights, are those of diffusers' UNet2DModel. METHODS.md 6.2.

    Args:
        latent_channels: C, of the noisy latent and of the prediction.
        condition_channels: K.
        channels: at full latent resolution; a multiple of 8.
        multipliers: of `channels`, at each resolution.
        blocks: residual blocks at each resolution.
        attention_levels: lowest resolutions with self-attention.
        features_mask: read a mask of what moves from the decoder's features and strengthen those that it shows.
        copied_from: the channel of the condition at which each latent begins that may be taken over.
    """

    _supports_gradient_checkpointing = True

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        latent_channels: int = 4,
        condition_channels: int = 12,
        channels: int = 96,
        multipliers: Sequence[int] = (1, 2, 4, 4),
        blocks: int = 2,
        attention_levels: int = 2,
        features_mask: bool = False,
        copied_from: Sequence[int] = (),
    ) -> None:
        super().__init__()
        widths = [channels * multiplier for multiplier in multipliers]
        lowest = len(widths) - 1
        attended = [level > lowest - attention_levels for level in range(len(widths))]
        embedding_channels = 4 * channels
        # Of at least four channels, or narrow networks would lose the differences between their channels.
        groups = max(count for count in range(1, 33) if channels % (4 * count) == 0)
        common: dict[str, Any] = {
            "temb_channels": embedding_channels,
            "resnet_eps": NORM_EPSILON,
            "resnet_act_fn": "silu",
            "resnet_groups": groups,
            "attention_head_dim": math.gcd(64, *(width for width, does in zip(widths, attended, strict=True) if does)),
        }
        self.stride = 2**lowest
        self.skips_per_level = blocks + 1
        self.conv_in = nn.Conv2d(latent_channels + condition_channels, channels, 3, padding=1)
        self.time_proj = Timesteps(channels, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(channels, embedding_channels)
        self.down_blocks = nn.ModuleList()
        for level, width in enumerate(widths):
            self.down_blocks.append(
                get_down_block(
                    "AttnDownBlock2D" if attended[level] else "DownBlock2D",
                    num_layers=blocks,
                    in_channels=widths[max(0, level - 1)],
                    out_channels=width,
                    add_downsample=level < lowest,
                    downsample_padding=1,
                    **common,
                )
            )
        self.mid_block = UNetMidBlock2D(in_channels=widths[-1], add_attention=attention_levels > 0, **common)
        self.up_blocks = nn.ModuleList()
        for level in range(lowest, -1, -1):
            self.up_blocks.append(
                get_up_block(
                    "AttnUpBlock2D" if attended[level] else "UpBlock2D",
                    num_layers=self.skips_per_level,
                    in_channels=widths[max(0, level - 1)],
                    out_channels=widths[level],
                    prev_output_channel=widths[min(lowest, level + 1)],
                    add_upsample=level > 0,
                    **common,
                )
            )
        self.mask_head = MaskHead(widths[::-1]) if features_mask else None
        self.conv_norm_out = nn.GroupNorm(groups, channels, eps=NORM_EPSILON)
        self.conv_act = nn.SiLU()
        self.latent_channels, self.copied_from = latent_channels, tuple(copied_from)
        shares = len(self.copied_from) + 1 if self.copied_from else 0
        self.conv_out = nn.Conv2d(channels, latent_channels + shares, 3, padding=1)

    def forward(self, noisy: Tensor, timesteps: Tensor, condition: Tensor) -> Denoised:
        """What the network makes of a noisy latent.

        With `features_mask` the normalised features of the last block are multiplied by 1 + the mask's probability
        before the output convolution. With `copied_from` the prediction is what the last layer draws plus a weighted
        sum of those latents; the weights at each place, and one more for none of them, are positive and sum to 1.

        Args:
            noisy: `(B, C, h, w)`, any h and w; the borders are repeated up to what the levels need.
            timesteps: `(B,)`, long, noise levels.
            condition: `(B, K, h, w)`.
        """
        height, width = noisy.shape[-2:]
        padding = (0, -width % self.stride, 0, -height % self.stride)
        hidden = self.conv_in(F.pad(torch.cat([noisy, condition], dim=1), padding, mode="replicate"))
        embedding = self.time_embedding(self.time_proj(timesteps).to(noisy.dtype))
        skips = [hidden]
        for block in self.down_blocks:
            hidden, states = block(hidden, embedding)
            skips.extend(states)
        hidden = self.mid_block(hidden, embedding)
        features = []
        for block in self.up_blocks:
            hidden = block(hidden, tuple(skips[-self.skips_per_level :]), embedding)
            del skips[-self.skips_per_level :]
            features.append(hidden)
        hidden = self.conv_act(self.conv_norm_out(hidden))
        logits = None
        if self.mask_head is not None:
            logits = self.mask_head(features)
            hidden = hidden * (1 + logits.sigmoid())
            logits = logits[..., :height, :width]
        told = self.conv_out(hidden)[..., :height, :width]
        prediction = told[:, : self.latent_channels]
        if not self.copied_from:
            return Denoised(prediction, logits)
        shares = told[:, self.latent_channels :].softmax(dim=1)[:, :-1]
        for share, start in zip(shares.split(1, dim=1), self.copied_from, strict=True):
            prediction = prediction + share * condition[:, start : start + self.latent_channels]
        return Denoised(prediction, logits, shares)


def denoiser_of(config: DmAlignerConfig) -> Denoiser:
    """The denoiser of a configuration, with random weights."""
    return Denoiser(
        latent_channels=config.latent_channels,
        condition_channels=config.condition_channels,
        channels=config.channels,
        multipliers=config.multipliers,
        blocks=config.blocks,
        attention_levels=config.attention_levels,
        features_mask=config.dmp == "features",
        copied_from=config.copied_from,
    )
