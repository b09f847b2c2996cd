"""What the homography's path sees of a picture: one vector, or also one for each of its patches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import NamedTuple

import timm
import torch
import torchvision
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from .. import weights as published
from ..errors import InputError
from ..recompute import recompute
from .config import AdmConfig
from .keypoints import Keypoints

GROUPS = 32
"""Groups of the ResNet's normalisation (Wu and He 2018)."""


class Encoded(NamedTuple):
    """What an encoder makes of pictures."""

    vector: Tensor
    """`(B, F)`, with the places of landmarks behind it where `AdmConfig.keypoints` wants them."""
    tokens: Tensor | None
    """`(B, N, F)`, patches row by row, which know where they lie; None without `AdmConfig.patch_tokens`."""


class ImageEncoder(nn.Module, ABC):
    """An encoder of pictures.

    Attributes:
        features: F, the length of its vectors.
    """

    mean: Tensor
    std: Tensor
    features: int

    def __init__(self, config: AdmConfig) -> None:
        super().__init__()
        self.size = config.working_size
        self.patch_tokens = config.patch_tokens
        self.keypoints: Keypoints | None = None
        self.register_buffer("mean", torch.tensor(IMAGENET_DEFAULT_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_DEFAULT_STD)[:, None, None])

    def forward(self, pictures: Tensor) -> Encoded:
        """What it makes of pictures.

        Args:
            pictures: `(B, 3, S, S)`, RGB in [0, 1].

        Raises:
            InputError: the pictures have not the working size.
        """
        if pictures.dim() != 4 or pictures.shape[1:] != (3, self.size, self.size):
            raise InputError(
                f"pictures must be (B, 3, {self.size}, {self.size}), not {tuple(pictures.shape)}; resize them to "
                "working_size"
            )
        return self._encode((pictures - self.mean) / self.std)

    def _finish(self, config: AdmConfig, width: int) -> None:
        """Set what depends on the width of the map of features."""
        self.features = width + 3 * config.keypoints
        if config.keypoints:
            self.keypoints = Keypoints(width, config.keypoints)

    def _with_places(self, vector: Tensor, values: Tensor) -> Tensor:
        """The vector, and where landmarks lie in the map of features `(B, F, h, w)`."""
        return vector if self.keypoints is None else torch.cat([vector.float(), self.keypoints(values)], dim=1)

    @abstractmethod
    def _encode(self, normalised: Tensor) -> Encoded:
        """What it makes of pictures whose colours are normalised."""

    @abstractmethod
    def load_weights(self, path: str) -> None:
        """Start from the state dict in a file.

        Raises:
            InputError: the file does not exist, cannot be read, or holds other weights.
        """

    @abstractmethod
    def shard_units(self) -> list[nn.Module]:
        """Its blocks, see `LearnedAligner.shard_units`."""

    @abstractmethod
    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass instead of keeping them."""


def build_encoder(config: AdmConfig, *, initialise: bool = True) -> ImageEncoder:
    """The encoder of a configuration.

    Args:
        config: hyperparameters.
        initialise: take over `config.encoder_weights`; False when all weights come from a checkpoint.

    Raises:
        InputError: timm has no such ViT, or it does not fit the working size; the weights are not to be had, or not
            this encoder's.
    """
    encoder: ImageEncoder = VitEncoder(config) if config.homography_network == "transformer" else ResNetEncoder(config)
    if initialise and config.encoder_weights is not None:
        encoder.load_weights(config.encoder_weights)
    return encoder


class VitEncoder(ImageEncoder):
    """A vision transformer of timm, and what its class token says after the last norm (source 004, section 3.3.1).

    Its positions are learned; at another size than that of the weights they are resampled when these are loaded.
    Colours are normalised by ImageNet's mean and deviation, as for DINO. Of which layer and which token the source
    takes its vector is lost; the class token is what DINO trains, and what PoseDiffusion takes (our choice).

    Raises:
        InputError: `config.encoder` is no such transformer, or its patches do not divide the working size.
    """

    def __init__(self, config: AdmConfig) -> None:
        super().__init__(config)
        self.name = config.encoder
        # Without this, names such as hf-hub:... would start a download.
        if not timm.is_model(self.name):
            raise InputError(f"encoder '{self.name}' is none of timm's models; take one like vit_small_patch16_224")
        try:
            vit = timm.create_model(self.name, pretrained=False, img_size=self.size, num_classes=0, global_pool="token")
        except (TypeError, ValueError, RuntimeError, AssertionError):
            vit = None
        if not isinstance(vit, VisionTransformer) or vit.cls_token is None:
            raise InputError(
                f"encoder '{self.name}' is no plain ViT with a class token; take one like vit_small_patch16_224"
            )
        patch = vit.patch_embed.patch_size
        if any(self.size % side for side in patch):
            raise InputError(
                f"patches of {patch[0]} pixels ('{self.name}') do not divide a working_size of {self.size}; take an "
                "encoder with patches of 8, 16 or 32 pixels"
            )
        self.vit = vit
        self._finish(config, int(vit.num_features))

    def _encode(self, normalised: Tensor) -> Encoded:
        values = self.vit.forward_features(normalised)
        patches = values[:, self.vit.num_prefix_tokens :]
        rows, columns = self.vit.patch_embed.grid_size
        vector = self._with_places(values[:, 0], patches.transpose(1, 2).unflatten(2, (rows, columns)))
        return Encoded(vector, patches if self.patch_tokens else None)

    def load_weights(self, path: str) -> None:
        """Start from a state dict with timm's names, DINO's for one; positions are resampled, a classifier is left out.

        Raises:
            InputError: see `ImageEncoder.load_weights`.
        """
        found = published.state_dict(self.name, path, pretrained=False, url="")
        try:
            found = checkpoint_filter_fn(found, self.vit)
        except Exception as error:
            told = " ".join(str(error).split())[:200]
            raise InputError(f"weights {path} are none of '{self.name}' ({told}); give the encoder's own") from None
        published.fit(self.vit, _without(found, "head"), self.name)

    def shard_units(self) -> list[nn.Module]:
        """The transformer's blocks."""
        return list(self.vit.blocks)

    def enable_gradient_checkpointing(self) -> None:
        """See `ImageEncoder.enable_gradient_checkpointing`."""
        self.vit.set_grad_checkpointing()


class ResNetEncoder(ImageEncoder):
    """A ResNet-18, and the mean of its last map: the CNN of the source's ablation, of which nothing else is known.

    Groups are normalised instead of batches (our choice), because pictures of very different kinds share it.
    """

    def __init__(self, config: AdmConfig) -> None:
        super().__init__(config)
        self.resnet = torchvision.models.resnet18(weights=None, norm_layer=partial(nn.GroupNorm, GROUPS))
        width = self.resnet.fc.in_features
        self.resnet.fc = nn.Identity()
        self._recompute = False
        if config.keypoints:
            # Places are read from a finer map: the third group does not halve, the fourth is left out.
            block = self.resnet.layer3[0]
            width = block.conv2.out_channels
            block.conv1.stride = block.downsample[0].stride = (1, 1)
            self.resnet.layer4 = nn.Identity()
        self._finish(config, width)

    def _encode(self, normalised: Tensor) -> Encoded:
        resnet = self.resnet
        values = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(normalised))))
        for layer in self.shard_units():
            values = recompute(layer, values) if self._recompute else layer(values)
        tokens = None
        if self.patch_tokens:
            size = [values.shape[-2], values.shape[-1]]
            places = build_sincos2d_pos_embed(size, self.features, device=values.device, dtype=values.dtype)
            tokens = values.flatten(2).transpose(1, 2) + places
        return Encoded(self._with_places(values.mean(dim=(2, 3)), values), tokens)

    def load_weights(self, path: str) -> None:
        """Start from a state dict with torchvision's names.

        One with batch normalisation, such as ImageNet's, gives its convolutions, scales and shifts; its statistics have
        no place here, so it is no more than a start.

        Raises:
            InputError: see `ImageEncoder.load_weights`.
        """
        found = published.state_dict("resnet18", path, pretrained=False, url="")
        statistics = ("running_mean", "running_var", "num_batches_tracked")
        found = {name: value for name, value in found.items() if not name.endswith(statistics)}
        if self.keypoints is not None:
            found = _without(found, "layer4.")
        published.fit(self.resnet, _without(found, "fc."), "resnet18")

    def shard_units(self) -> list[nn.Module]:
        """The groups of residual blocks."""
        groups = [self.resnet.layer1, self.resnet.layer2, self.resnet.layer3, self.resnet.layer4]
        return groups if self.keypoints is None else groups[:-1]

    def enable_gradient_checkpointing(self) -> None:
        """See `ImageEncoder.enable_gradient_checkpointing`."""
        self._recompute = True


def _without(found: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin otherwise."""
    return {name: value for name, value in found.items() if not name.startswith(prefix)}
