"""The autoencoder of DMAligner: pictures to normalised latents and back, its training, and foreign weights for it.

The network is diffusers' AutoencoderKL, that of Latent Diffusion (arXiv 2112.10752), which works on values in [-1, 1].
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor, nn

from ..checkpoints import WEIGHTS_FILE as CHECKPOINT_WEIGHTS_FILE
from ..checkpoints import model_option
from ..errors import InputError
from ..weights import fit, state_dict
from .config import DmAlignerConfig

MOMENTUM = 0.01
"""Least weight of a batch in the running mean and deviation of the latents."""
LEAST_DEVIATION = 1e-5
"""Of a channel of the latents, so that one that never changes can be divided by it."""
MOST_GROUPS = 32
"""Groups of a normalisation where there are enough channels, Stable Diffusion's."""
GROUP_CHANNELS = 4
"""Least channels of a group, Stable Diffusion's: with a single one, contrasts between channels would be lost."""
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
METHOD, PART = "dmaligner", "autoencoder."
"""What checkpoints that hold an autoencoder of ours call their method and its tensors."""
SHAPE = ("downscale", "latent_channels", "vae_channels", "vae_layers", "vae_attention")
"""Fields of the configuration that decide the shape of an autoencoder."""
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Layers of the attention in files of the first versions of diffusers, and what they are called now."""


class Autoencoder(nn.Module):
    """Pictures to latents and back.

    Latents are normalised to zero mean and unit deviation in each channel, over the batches that `losses` has seen in
    training mode, or as the configuration of foreign weights says.

    Attributes:
        kl: diffusers' `AutoencoderKL`.
        stride: pixels from one latent to the next.
        latent_mean: `(1, C, 1, 1)`, of the latents before they are normalised.
        latent_std: `(1, C, 1, 1)`, their standard deviation.
        latent_batches: how many batches these two come from.
    """

    latent_mean: Tensor
    latent_std: Tensor
    latent_batches: Tensor

    def __init__(self, config: DmAlignerConfig) -> None:
        super().__init__()
        self.config = config
        self.stride: int = config.downscale
        levels = len(config.vae_channels)
        self.kl: Any = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=config.vae_channels,
            layers_per_block=config.vae_layers,
            latent_channels=config.latent_channels,
            norm_num_groups=norm_groups(config.vae_channels),
            mid_block_add_attention=config.vae_attention,
        )
        self.register_buffer("latent_mean", torch.zeros(1, config.latent_channels, 1, 1))
        self.register_buffer("latent_std", torch.ones(1, config.latent_channels, 1, 1))
        self.register_buffer("latent_batches", torch.zeros((), dtype=torch.long))

    def forward(
        self, values: Tensor, task: Literal["encode", "decode", "losses"], noise: Tensor | None = None
    ) -> Tensor | dict[str, Tensor]:
        """Do what `task` names with pictures or latents; parallel training gathers weights where modules are called.

        The task 'losses' takes `noise`, see there.
        """
        if task == "losses":
            assert noise is not None
            return self.losses(values, noise)
        return self.encode(values) if task == "encode" else self.decode(values)

    def encode(self, pictures: Tensor) -> Tensor:
        """The normalised mode of the posterior.

        Args:
            pictures: `(B, 3, H, W)`, RGB in [0, 1]; H and W are multiples of `stride`.

        Returns:
            `(B, C, H / stride, W / stride)`, float32.
        """
        mode: Tensor = self.kl.encode(2 * pictures - 1).latent_dist.mode()
        return (mode.float() - self.latent_mean) / self.latent_std

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures `(B, 3, H, W)`, float32, not clamped to [0, 1], of normalised latents `(B, C, h, w)`."""
        return self._picture(latents * self.latent_std + self.latent_mean)

    def losses(self, pictures: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """What training minimises; in training mode the mean and deviation of the latents follow, over all workers.

        Each term is a sum over a picture divided by its number of values, so that the weight of the divergence means
        what it does in arXiv 2112.10752, at every size.

        Args:
            pictures: `(B, 3, H, W)`, RGB in [0, 1]; H and W are multiples of `stride`.
            noise: `(B, C, H / stride, W / stride)` from N(0, 1), which makes the samples of the posterior.

        Returns:
            float32 scalars: `reconstruction`, the mean absolute plus the mean squared difference in units of [0, 1] of
            what is decoded from a sample of the posterior; `kl`, the posterior's Kullback-Leibler divergence from the
            standard normal distribution in nats; `loss`, their sum with the weight `kl_weight` on the second.
        """
        posterior = DiagonalGaussianDistribution(self.kl.encode(2 * pictures - 1).latent_dist.parameters.float())
        if self.training:
            self._follow(posterior.mode())
        difference = self._picture(posterior.mean + posterior.std * noise) - pictures
        reconstruction = difference.abs().mean() + difference.square().mean()
        divergence: Tensor = posterior.kl().mean() / pictures[0].numel()
        return {
            "loss": reconstruction + self.config.kl_weight * divergence,
            "reconstruction": reconstruction,
            "kl": divergence,
        }

    def _picture(self, latents: Tensor) -> Tensor:
        """Pictures in [0, 1] of latents that are not normalised."""
        decoded: Tensor = self.kl.decode(latents).sample
        return (decoded.float() + 1) / 2

    @torch.no_grad()
    def _follow(self, latents: Tensor) -> None:
        """Take a batch `(B, C, h, w)` into the running mean and deviation.

        The first `1 / MOMENTUM` batches count alike, later ones by `MOMENTUM`; both times as mixtures of distributions.
        """
        mean = _over_workers(latents.mean(dim=(0, 2, 3), keepdim=True))
        variance = _over_workers((latents - mean).square().mean(dim=(0, 2, 3), keepdim=True))
        self.latent_batches += 1
        share = self.latent_batches.float().reciprocal().clamp_min(MOMENTUM)
        apart = share * (1 - share) * (mean - self.latent_mean).square()
        mixed = self.latent_std.square().lerp(variance, share) + apart
        self.latent_mean.lerp_(mean, share)
        self.latent_std.copy_(mixed.sqrt().clamp_min(LEAST_DEVIATION))

    def load_weights(self, folder: str) -> None:
        """Take over another autoencoder and how it normalises latents.

        A foreign one does that by `latents_mean` and `latents_std` of its configuration where it has them, else by
        `shift_factor` and `scaling_factor`.

        Args:
            folder: a checkpoint of `dmaligner`, or an AutoencoderKL as diffusers saves it (`config.json`,
                `diffusion_pytorch_model.safetensors`), or the folder above, of a whole pipeline, that has it as `vae`.

        Raises:
            InputError: there is none, it is damaged, or it has another shape than the configuration says.
        """
        path = Path(folder).expanduser()
        path = path / "vae" if (path / "vae").is_dir() else path
        content = _read_config(path)
        if content.get("method") == METHOD:
            self._take_trained(path, content)
        else:
            self._take_foreign(path, _with_defaults(path, content))

    def _take_foreign(self, path: Path, foreign: dict[str, Any]) -> None:
        channels = tuple(foreign["block_out_channels"])
        self._check_shape(
            path,
            {
                "downscale": 2 ** (len(channels) - 1),
                "latent_channels": foreign["latent_channels"],
                "vae_channels": channels,
                "vae_layers": foreign["layers_per_block"],
                "vae_attention": foreign["mid_block_add_attention"],
            },
        )
        for name in ("norm_num_groups", "act_fn"):
            if foreign[name] != self.kl.config[name]:
                raise InputError(
                    f"{path}: the autoencoder has {name} {foreign[name]}, and only {self.kl.config[name]} is supported "
                    "with these channels; give another one"
                )
        found = state_dict(str(path), path / WEIGHTS_FILE, pretrained=False, url="")
        weights = {_new_name(name): tensor for name, tensor in found.items()}
        depth = self.config.latent_channels
        # Autoencoders without these layers, as Stable Diffusion 3's, are those in which they change nothing.
        for layer, used, width in (
            ("quant_conv", foreign["use_quant_conv"], 2 * depth),
            ("post_quant_conv", foreign["use_post_quant_conv"], depth),
        ):
            if not used:
                weights[f"{layer}.weight"] = torch.eye(width)[:, :, None, None]
                weights[f"{layer}.bias"] = torch.zeros(width)
        fit(self.kl, weights, str(path))
        mean = foreign["latents_mean"] or [foreign["shift_factor"] or 0.0] * depth
        deviation = foreign["latents_std"] or [1 / foreign["scaling_factor"]] * depth
        for normaliser, values in ((self.latent_mean, mean), (self.latent_std, deviation)):
            normaliser.copy_(torch.tensor(values).reshape(1, -1, 1, 1))

    def _take_trained(self, folder: Path, content: dict[str, Any]) -> None:
        if not content.keys() >= set(SHAPE):
            raise InputError(f"{folder / CONFIG_FILE} does not say what shape the autoencoder has; copy it again")
        shape = {name: content[name] for name in SHAPE}
        self._check_shape(folder, {**shape, "vae_channels": tuple(shape["vae_channels"])})
        found = state_dict(str(folder), folder / CHECKPOINT_WEIGHTS_FILE, pretrained=False, url="")
        own = {name.removeprefix(PART): tensor for name, tensor in found.items() if name.startswith(PART)}
        fit(self, own, str(folder))

    def _check_shape(self, path: Path, shape: dict[str, Any]) -> None:
        options = [model_option(name, value) for name, value in shape.items() if value != getattr(self.config, name)]
        if options:
            raise InputError(f"{path}: the autoencoder has another shape; give {' '.join(options)}")


def norm_groups(channels: Sequence[int]) -> int:
    """Groups of a normalisation that divide all of these numbers of channels, each at least 4."""
    common, most = math.gcd(*channels), min(MOST_GROUPS, min(channels) // GROUP_CHANNELS)
    return max(groups for groups in range(1, most + 1) if common % groups == 0)


def _over_workers(values: Tensor) -> Tensor:
    """Their mean over all workers of a training."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(values)
        return values / dist.get_world_size()
    return values


def _read_config(folder: Path) -> dict[str, Any]:
    """What `config.json` of a folder says."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputError(
            f"{folder} holds no autoencoder; give a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, or a checkpoint of "
            f"'{METHOD}'"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); fetch it again") from None
    return content if isinstance(content, dict) else {}


def _with_defaults(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a saved AutoencoderKL, those included that older versions of diffusers did not save."""
    if content.get("_class_name") != "AutoencoderKL":
        raise InputError(
            f"{folder / CONFIG_FILE} is not that of an AutoencoderKL; give the folder of one, often called 'vae', or a "
            f"checkpoint of '{METHOD}'"
        )
    defaults = inspect.signature(AutoencoderKL.__init__).parameters
    return {name: argument.default for name, argument in defaults.items()} | content


def _new_name(name: str) -> str:
    """What the current version of diffusers calls a tensor."""
    module, _, rest = name.rpartition(".")
    above, _, layer = module.rpartition(".")
    return f"{above}.{OLD_NAMES[layer]}.{rest}" if layer in OLD_NAMES else name
