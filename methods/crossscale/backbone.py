"""The Siamese feature extractor: a ResNet up to layer3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from ..errors import InputError
from ..recompute import recompute
from .config import CrossScaleConfig

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Fine features at stride 8 and coarse ones at stride 16 of a batch of images.

    The feature at index i lies over image pixel 8 i (16 i): every strided layer of a ResNet is padded such that output
    i is centred on input 2 i.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: CrossScaleConfig) -> None:
        super().__init__()
        resnet = getattr(torchvision.models, config.backbone)(weights=None)
        self.stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.layer1, self.layer2, self.layer3 = resnet.layer1, resnet.layer2, resnet.layer3
        self.quarter_channels: int = resnet.layer2[0].conv1.in_channels
        self.fine_channels: int = resnet.layer3[0].conv1.in_channels
        self.coarse_channels: int = resnet.layer4[0].conv1.in_channels
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])
        self.per_picture = config.input_norm == "picture"
        self.frozen_norm = config.frozen_norm
        self.recompute = False
        for module in self._norms() if self.frozen_norm else ():
            module.requires_grad_(False)

    def _norms(self) -> Iterator[nn.BatchNorm2d]:
        return (module for module in self.modules() if isinstance(module, nn.BatchNorm2d))

    def train(self, mode: bool = True) -> Backbone:
        """Set training mode, except for frozen normalisation."""
        super().train(mode)
        for module in self._norms() if self.frozen_norm else ():
            module.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of `images (B, 3, S, S)` in [0, 1] at strides 4, 8 (fine) and 16 (coarse)."""
        if self.per_picture:
            # The bound keeps the noise of a flat channel small: 0.03 is some 8 grey levels.
            deviation = images.std(dim=(2, 3), correction=0, keepdim=True).clamp_min(0.03)
            normalised = (images - images.mean(dim=(2, 3), keepdim=True)) / deviation
        else:
            # The paper is silent; pretrained weights know ImageNet's mean and deviation.
            normalised = (images - self.mean) / self.std
        values = normalised.contiguous(memory_format=torch.channels_last)
        if self.recompute and self.training:
            quarter = recompute(self.layer1, recompute(self.stem, values))
            fine = recompute(self.layer2, quarter)
            return quarter, fine, recompute(self.layer3, fine)
        quarter = self.layer1(self.stem(values))
        fine = self.layer2(quarter)
        return quarter, fine, self.layer3(fine)

    def load_weights(self, config: CrossScaleConfig) -> None:
        """Take over `config.backbone_weights`, if any.

        Raises:
            InputError: the file does not exist or holds no state dict of this ResNet.
        """
        if config.backbone_weights is None:
            return
        state = _state_dict(config.backbone, config.backbone_weights)
        # The weights of a whole cross-scale network hold those of its backbone.
        own = {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
        state = own or state
        renamed = {_NAMES.get(key.split(".")[0], key.split(".")[0]) + key[key.find(".") :]: state[key] for key in state}
        wanted = self.state_dict()
        missing = [
            key for key in wanted if key not in renamed and key not in ("mean", "std") and "num_batches" not in key
        ]
        if missing or any(renamed[key].shape != wanted[key].shape for key in wanted if key in renamed):
            raise InputError(
                f"backbone_weights '{config.backbone_weights}' holds no {config.backbone}; choose the backbone it is of"
            )
        self.load_state_dict({key: renamed[key] for key in wanted if key in renamed}, strict=False)


_NAMES = {"conv1": "stem.0", "bn1": "stem.1"}
"""torchvision's names of the first layers, and ours."""


def _state_dict(backbone: str, weights: str) -> dict[str, Tensor]:
    if weights == "imagenet":
        return torchvision.models.get_model_weights(backbone).DEFAULT.get_state_dict(progress=False, check_hash=True)
    path = Path(weights)
    if not path.is_file():
        raise InputError(f"backbone_weights '{weights}' is no file; give 'imagenet' or the path of a state dict")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        # weights_only: tensors and plain containers, nothing that can run code.
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"backbone_weights '{weights}' cannot be read: {str(error).splitlines()[0]}") from None
