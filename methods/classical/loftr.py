"""LoFTR matches and a homography by MAGSAC++."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from kornia.feature import LoFTR
from kornia.feature.loftr.loftr import default_cfg
from torch import Tensor, nn

from .. import geometry
from ..weights import fit, state_dict
from .keypoints import Matches, MatchingAligner, agree

URL = "https://huggingface.co/kornia/loftr/resolve/main/loftr_outdoor.ckpt"
"""The weights that the authors trained on MegaDepth."""

STRIDE = 8
"""A side at the working size is a multiple of this, the coarse cell of LoFTR."""

WIDTHS = (128, 196, 256)
"""Channels of the published network's maps at 1/2, 1/4 and 1/8 of the side."""
LAYERS = 8
"""Attention layers of the published network's coarse stage, in turn within a picture and across both."""


class Loftr(nn.Module, MatchingAligner):
    """LoFTR (Sun et al. 2021): coarse-to-fine matches without keypoints, then USAC_MAGSAC (Barath et al. 2020).

    The network is kornia's, for outdoor scenes; its weights are published and come with no installation. Weights of
    another width or depth (`tests/benchmarks/train_loftr.py` makes some) are told by their tensors. The confidence is
    that of `Matches`. Without a homography the answer is the identity with confidence 0. The same pictures give the
    same answer.

    Args:
        weights: file with the weights: safetensors, or a state dict saved by torch.
        pretrained: take the weights from torch's cache, or download them there first.
        max_side: larger pictures are reduced to this length in pixels.
        min_side: smaller pictures are enlarged until their longer side has this length in pixels, or `max_side` if that
            is less: cells of 8 pixels are coarse in them. Chosen on validation pairs, docs/results/loftr.md.
        least_score: coarse matching score in [0, 1] above which a match counts.
        threshold: reprojection error in pixels of the reduced pictures up to which a match can count as inlier.

    Raises:
        MissingWeightsError: neither `weights` nor `pretrained` was given.
        InputError: the weights cannot be had or do not fit.
    """

    name: ClassVar[str] = "loftr"

    def __init__(
        self,
        *,
        weights: str | Path | None = None,
        pretrained: bool = False,
        max_side: int = 640,
        min_side: int = 384,
        least_score: float = 0.2,
        threshold: float = 3.0,
    ) -> None:
        super().__init__()
        published = state_dict(self.name, weights, pretrained, URL)
        found = {name.removeprefix("matcher."): tensor for name, tensor in published.items()}
        self.network = loftr_network(*_extent(found))
        self.network.coarse_matching.thr = least_score
        fit(self.network, found, self.name)
        self.network.eval()
        self.max_side = max_side
        self.min_side = min_side
        self.threshold = threshold

    @torch.inference_mode()
    def matches(self, reference: Tensor, source: Tensor) -> Matches:
        """See `MatchingAligner.matches`."""
        device = next(self.parameters()).device
        pictures = [reference.to(device), source.to(device)]
        sizes = [(picture.shape[-2], picture.shape[-1]) for picture in pictures]
        working = [working_size(size, self.max_side, self.min_side) for size in sizes]
        grey = [grey_levels(picture[None], size) for picture, size in zip(pictures, working, strict=True)]
        found = self.network({"image0": grey[0], "image1": grey[1]})
        # The weights were trained with pixel centres at halves.
        points = [(found[key] - 0.5).cpu().numpy() for key in ("keypoints0", "keypoints1")]
        to_full = list(zip(working, sizes, strict=True))
        return agree(points[0], points[1], to_full[0], to_full[1], self.threshold)


def loftr_network(widths: Sequence[int] = WIDTHS, layers: int = LAYERS) -> LoFTR:
    """kornia's LoFTR with random weights, in training mode.

    Args:
        widths: see `WIDTHS`; the first is that of the fine stage too, the last that of the coarse one. Multiples of 8.
        layers: see `LAYERS`; even.
    """
    config = deepcopy(default_cfg)
    config["resnetfpn"] = {"initial_dim": widths[0], "block_dims": list(widths)}
    config["fine"] |= {"d_model": widths[0], "d_ffn": widths[0]}
    config["coarse"] |= {"d_model": widths[-1], "d_ffn": widths[-1], "layer_names": ["self", "cross"] * (layers // 2)}
    return LoFTR(pretrained=None, config=config)


def _extent(found: Mapping[str, Tensor]) -> tuple[Sequence[int], int]:
    """Widths and layers of the network that has these tensors; the published ones where these are no LoFTR's."""
    weights = [found.get(f"backbone.layer{number}.0.conv2.weight") for number in (1, 2, 3)]
    layers = {name.split(".")[2] for name in found if name.startswith("loftr_coarse.layers.")}
    widths = [len(weight) for weight in weights if weight is not None]
    return (widths, len(layers)) if len(widths) == len(WIDTHS) and layers else (WIDTHS, LAYERS)


def working_size(size: geometry.Size, max_side: int, min_side: int = 0) -> geometry.Size:
    """The size of the picture between `min_side` and `max_side`, each side at the nearest multiple of 8, but not 0."""
    factor = min(max(1.0, min_side / max(size)), max_side / max(size))
    height, width = (max(1, round(side * factor / STRIDE)) * STRIDE for side in size)
    return height, width


def grey_levels(pictures: Tensor, size: geometry.Size) -> Tensor:
    """Grey levels `(B, 1, h, w)` in [0, 1] of pictures `(B, 3, H, W)`, resized by the rule "area"."""
    # ITU-R BT.601, as OpenCV's grey levels, with which LoFTR was trained.
    luma = torch.tensor([0.299, 0.587, 0.114], device=pictures.device)
    grey = torch.einsum("c,bchw->bhw", luma, pictures)[:, None]
    return F.interpolate(grey, size, mode="bilinear", antialias=True, align_corners=False)
