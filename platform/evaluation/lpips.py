"""LPIPS, the perceptual distance of Zhang et al. (2018), as torchmetrics implements it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...methods.weights import fit, state_dict

LEAST_SIDE = 31
"""AlexNet's last layer sees nothing of pictures with a side shorter than this, in pixels."""

_BACKBONE = "AlexNet of LPIPS"


class Lpips:
    """LPIPS v0.1 with AlexNet: 0 for equal pictures, the larger the less alike.

    The five linear layers, learned from human judgement, come with torchmetrics. AlexNet's own weights, those of
    torchvision (`AlexNet_Weights.IMAGENET1K_V1`), come from a file or by download.

    Args:
        weights: file of torchvision's state dict, of which the classifier may be missing; safetensors or torch's.
        pretrained: without `weights`: take them from torch's cache, or download them there (233 MB).

    Raises:
        MissingWeightsError: neither `weights` nor `pretrained` is given.
        InputError: the weights are not there or are not AlexNet's.
    """

    def __init__(self, weights: str | Path | None = None, *, pretrained: bool = False) -> None:
        from torchmetrics.functional.image.lpips import _NoTrainLpips
        from torchvision.models import AlexNet_Weights

        found = state_dict(_BACKBONE, weights, pretrained and weights is None, AlexNet_Weights.IMAGENET1K_V1.url)
        self._network = _NoTrainLpips(net="alex", pnet_rand=True)
        backbone = self._network.net
        # Its "slice2.3.weight" is torchvision's "features.3.weight".
        names = {"features." + name.split(".", 1)[1]: name for name in backbone.state_dict()}
        features = {name: tensor for name, tensor in found.items() if name.startswith("features.")}
        fit(backbone, {names.get(name, name): tensor for name, tensor in features.items()}, _BACKBONE)

    @torch.inference_mode()
    def __call__(self, aligned: Tensor, target: Tensor) -> float:
        """The distance of two pictures.

        Args:
            aligned: `(3, H, W)` in [0, 1], no side shorter than `LEAST_SIDE`.
            target: the same.
        """
        return float(self._network(aligned[None], target[None], normalize=True))
