"""The score of the field of displacements: a denoiser, and what makes a field of the noise that it says.

The layout is DiffuseMorph's (Kim et al. 2022), in the order that source 004 tells in 3.3.2: first the noise, then the
field. The vessel map of the reference is what noise is added to, so no true field is needed.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import TimestepEmbedding, Timesteps, get_timestep_embedding
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d import UNet2DModel
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn

from ..errors import InputError
from ..recompute import recompute
from .config import AdmConfig

NORM_EPSILON = 1e-5
HEAD_CHANNELS = 64
"""Of each head of the attention, as in guided diffusion; fewer in networks with fewer channels."""
NARROW_HEAD_CHANNELS = 16
"""Of each head of a narrow transformer."""
DECODER_CHANNELS = 32
"""Of the deformation network's decoder, at each resolution."""
LAST_CHANNELS = (32, 16, 16)
"""Of its last convolutions at full resolution."""
SLOPE = 0.2
"""Of its leaky ReLUs below zero."""
FLOW_DEVIATION = 1e-5
"""Standard deviation of the random weights that the field is read with: it starts at almost zero."""
FIELD_UNITS = 32
"""The networks tell the field in units of the side over this many."""
PATCH = 8
"""Side in pixels of the transformers' patches."""
NOISE_LAYERS, FIELD_LAYERS = 8, 4
"""Of the transformers that say the noise and the field."""
SMOOTHNESS = PATCH / 2
"""Standard deviation in pixels of the blur under which the patches of a transformer's field do not show."""


class Displacement(NamedTuple):
    """What the two networks say."""

    noise: Tensor
    """`(B, 1, S, S)`, float32, the noise in the noisy map."""
    field: Tensor
    """`(B, 2, S, S)`, float32, (x, y) in pixels of the working size: reference pixel x shows the moving map at
    `x + field(x)`."""


class DisplacementScore(nn.Module):
    """The noise in a map of vessels, and the field that brings another map onto it.

    Args:
        config: `displacement_network` says what the networks are: U-Nets (the paper), or transformers over patches of
            about as many weights (its ablation, of which it tells no more; the layers are our choice).
    """

    def __init__(self, config: AdmConfig) -> None:
        super().__init__()
        self.side = config.working_size
        self.denoiser: Denoiser | DenoisingTransformer
        self.deformation: DeformationNetwork | DeformationTransformer
        if config.displacement_network == "cnn":
            self.denoiser = Denoiser(config)
            self.deformation = DeformationNetwork(config.deformation_channels)
        else:
            # Only to be counted.
            with torch.device("meta"):
                denoiser, deformation = Denoiser(config), DeformationNetwork(config.deformation_channels)
            self.denoiser = DenoisingTransformer(_width_for(denoiser, NOISE_LAYERS))
            self.deformation = DeformationTransformer(_width_for(deformation, FIELD_LAYERS))

    def forward(self, moving: Tensor, fixed: Tensor, noisy: Tensor, timesteps: Tensor) -> Displacement:
        """What the networks say.

        Args:
            moving: vessel map of the source, brought over by the homography, `(B, 1, S, S)` in [0, 1].
            fixed: vessel map of the reference `(B, 1, S, S)` in [0, 1].
            noisy: that map with noise, `(B, 1, S, S)`: x_t.
            timesteps: `(B,)`, long, noise levels.

        Raises:
            InputError: the tensors have other shapes.
        """
        self._check(moving=moving, fixed=fixed, noisy=noisy)
        if timesteps.shape != (len(noisy),):
            raise InputError(f"timesteps must be ({len(noisy)},), not {tuple(timesteps.shape)}; give one for each map")
        noise = self.denoiser(torch.cat([moving, fixed, noisy], dim=1), timesteps).float()
        return Displacement(noise, self.field_of(moving, noise))

    def field_of(self, moving: Tensor, noise_said: Tensor) -> Tensor:
        """The field for a moving map `(B, 1, S, S)` and the noise that was said of a fixed one: `(B, 2, S, S)`.

        See `Displacement.field`.

        Raises:
            InputError: the tensors have other shapes.
        """
        self._check(moving=moving, noise_said=noise_said)
        return self.deformation(torch.cat([moving, noise_said], dim=1)) * (self.side / FIELD_UNITS)

    def shard_units(self) -> list[nn.Module]:
        """See `LearnedAligner.shard_units`."""
        return [self.denoiser, self.deformation]

    def enable_gradient_checkpointing(self) -> None:
        """See `LearnedAligner.enable_gradient_checkpointing`."""
        self.denoiser.enable_gradient_checkpointing()
        self.deformation.enable_gradient_checkpointing()

    def _check(self, **maps: Tensor) -> None:
        batch = max(len(values) for values in maps.values())
        for name, values in maps.items():
            if values.shape != (batch, 1, self.side, self.side):
                raise InputError(
                    f"{name} must be ({batch}, 1, {self.side}, {self.side}), not {tuple(values.shape)}; "
                    "bring it to the working size"
                )


class Denoiser(nn.Module):
    """The U-Net of guided diffusion: the time scales and shifts, attention at the lowest resolution.

    Each residual and attention block starts as the identity, and the whole says that there is no noise, because their
    last layers are zero at first.

    Args:
        config: of its `denoiser_` fields.
    """

    def __init__(self, config: AdmConfig) -> None:
        super().__init__()
        widths = [config.denoiser_channels * multiplier for multiplier in config.denoiser_multipliers]
        higher = len(widths) - 1
        # Of at least four channels, or narrow networks would lose the differences between their channels.
        groups = max(count for count in range(1, 33) if config.denoiser_channels % (4 * count) == 0)
        self.unet = UNet2DModel(
            in_channels=3,
            out_channels=1,
            down_block_types=("DownBlock2D",) * higher + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * higher,
            block_out_channels=tuple(widths),
            layers_per_block=config.denoiser_blocks,
            attention_head_dim=math.gcd(HEAD_CHANNELS, widths[-1]),
            norm_num_groups=groups,
            attn_norm_num_groups=groups,
            norm_eps=NORM_EPSILON,
            resnet_time_scale_shift="scale_shift",
        )
        last = [self.unet.conv_out]
        for module in self.unet.modules():
            if isinstance(module, ResnetBlock2D):
                last.append(module.conv2)
            elif isinstance(module, Attention):
                last.append(module.to_out[0])
        for layer in last:
            _set_layer(layer, 0.0)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute the blocks' activations in the backward pass."""
        self.unet.enable_gradient_checkpointing()

    def forward(self, maps: Tensor, timesteps: Tensor) -> Tensor:
        """The noise `(B, 1, S, S)` in the last of three maps `(B, 3, S, S)`, at noise levels `(B,)`."""
        return self.unet(maps, timesteps).sample


class DeformationNetwork(nn.Module):
    """VoxelMorph's U-Net (Balakrishnan et al. 2019): a convolution at each resolution on the way down and up.

    Args:
        channels: of the way down, one for each halving.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.down = nn.ModuleList(_convolution(*widths) for widths in pairwise((2, *channels)))
        # Each joins what it was given, enlarged, with what the way down saw at that size.
        *given, full = channels[-1], *(DECODER_CHANNELS + skipped for skipped in reversed(channels))
        self.up = nn.ModuleList(_convolution(width, DECODER_CHANNELS) for width in given)
        self.last = nn.ModuleList(_convolution(*widths) for widths in pairwise((full, *LAST_CHANNELS)))
        self.flow = nn.Conv2d(LAST_CHANNELS[-1], 2, 3, padding=1)
        _set_layer(self.flow, FLOW_DEVIATION)
        self._recomputes = False

    def enable_gradient_checkpointing(self) -> None:
        """Recompute what the leaky ReLUs keep in the backward pass."""
        self._recomputes = True

    def forward(self, maps: Tensor) -> Tensor:
        """The field `(B, 2, S, S)`, float32, in units of `S / FIELD_UNITS`, of maps `(B, 2, S, S)`."""
        hidden, skips = maps, []
        for block in self.down:
            skips.append(self._run(block, hidden))
            hidden = F.max_pool2d(skips[-1], 2)
        for block in self.up:
            enlarged = F.interpolate(self._run(block, hidden), scale_factor=2.0, mode="nearest")
            hidden = torch.cat([enlarged, skips.pop()], dim=1)
        for block in self.last:
            hidden = self._run(block, hidden)
        # Positions in bfloat16 would be off by some hundredths of a pixel.
        with torch.autocast(hidden.device.type, enabled=False):
            return self.flow(hidden.float())

    def _run(self, block: nn.Module, hidden: Tensor) -> Tensor:
        return recompute(block, hidden) if self._recomputes and torch.is_grad_enabled() else block(hidden)


class PatchTransformer(nn.Module):
    """Pictures out of pictures by self-attention among all patches: pre-norm layers, as in a ViT.

    Where a patch is it knows by sinusoids of both coordinates.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        width: of the layers.
        layers: how many there are.
        deviation: standard deviation of the random weights of the last one; its bias is zero.
    """

    def __init__(self, inputs: int, outputs: int, width: int, layers: int, deviation: float) -> None:
        super().__init__()
        self.width = width
        self.patches = nn.Conv2d(inputs, width, PATCH, stride=PATCH)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                width // _head_width(width),
                dim_feedforward=4 * width,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs * PATCH**2)
        _set_layer(self.head, deviation)
        self._recomputes = False

    def enable_gradient_checkpointing(self) -> None:
        """Recompute the layers' activations in the backward pass."""
        self._recomputes = True

    def transformed(self, maps: Tensor, added: Tensor | None) -> Tensor:
        """Pictures `(B, outputs, S, S)`, float32, of pictures `(B, inputs, S, S)`.

        Args:
            maps: of sides that are multiples of `PATCH`.
            added: `(B, width)`, to each patch of a sample; None for nothing.
        """
        patches = self.patches(maps)
        rows, columns = patches.shape[-2:]
        hidden = patches.flatten(2).transpose(1, 2) + self._places(rows, columns, maps.device)
        if added is not None:
            hidden = hidden + added[:, None]
        for layer in self.layers:
            hidden = recompute(layer, hidden) if self._recomputes and torch.is_grad_enabled() else layer(hidden)
        # Positions in bfloat16 would be off by some hundredths of a pixel.
        with torch.autocast(hidden.device.type, enabled=False):
            told = self.head(self.norm(hidden.float()))
        return F.pixel_shuffle(told.transpose(1, 2).unflatten(2, (rows, columns)), PATCH)

    def _places(self, rows: int, columns: int, device: torch.device) -> Tensor:
        """What tells each patch where it is: `(rows * columns, width)`."""
        along_x, along_y = (
            get_timestep_embedding(torch.arange(count, device=device), self.width // 2) for count in (columns, rows)
        )
        places = torch.cat([along_x.expand(rows, -1, -1), along_y[:, None].expand(-1, columns, -1)], dim=-1)
        return places.flatten(0, 1)


class DenoisingTransformer(PatchTransformer):
    """Says the noise, as `Denoiser` does; the time is added to all patches alike.

    Args:
        width: of the layers.
    """

    def __init__(self, width: int) -> None:
        super().__init__(3, 1, width, NOISE_LAYERS, deviation=0.0)
        self.time_proj = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(width, width)

    def forward(self, maps: Tensor, timesteps: Tensor) -> Tensor:
        """See `Denoiser.forward`."""
        return self.transformed(maps, self.time_embedding(self.time_proj(timesteps).to(maps.dtype)))


class DeformationTransformer(PatchTransformer):
    """Tells the field, as `DeformationNetwork` does, and blurs it, so that its patches do not show.

    Args:
        width: of the layers.
    """

    def __init__(self, width: int) -> None:
        super().__init__(2, 2, width, FIELD_LAYERS, deviation=FLOW_DEVIATION)

    def forward(self, maps: Tensor) -> Tensor:
        """See `DeformationNetwork.forward`."""
        field = self.transformed(maps, None)
        reach = 2 * math.ceil(3 * SMOOTHNESS) + 1
        with torch.autocast(field.device.type, enabled=False):
            return gaussian_blur2d(field, (reach, reach), (SMOOTHNESS, SMOOTHNESS), border_type="replicate")


def _convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(SLOPE))


def _set_layer(layer: nn.Module, deviation: float) -> None:
    """Give a linear layer or convolution random weights of this standard deviation, and a bias of zero."""
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    assert layer.bias is not None
    nn.init.normal_(layer.weight, std=deviation)
    nn.init.zeros_(layer.bias)


def _width_for(network: nn.Module, layers: int) -> int:
    """The width of a transformer with about as many weights as a network: 12 times its square in each layer."""
    width = math.sqrt(sum(weights.numel() for weights in network.parameters()) / (12 * layers))
    step = _head_width(width)
    return max(step, round(width / step) * step)


def _head_width(width: float) -> int:
    """Channels of each head of a transformer."""
    return HEAD_CHANNELS if width >= 3 * HEAD_CHANNELS else NARROW_HEAD_CHANNELS
