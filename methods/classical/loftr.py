"""LoFTR matches and a homography by MAGSAC++."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from kornia.feature import LoFTR
from torch import Tensor, nn

from .. import geometry
from ..weights import load_published
from .keypoints import Matches, MatchingAligner, agree

URL = "https://huggingface.co/kornia/loftr/resolve/main/loftr_outdoor.ckpt"
"""The weights that the authors trained on MegaDepth."""

STRIDE = 8
"""A side at the working size is a multiple of this, the coarse cell of LoFTR."""


class Loftr(nn.Module, MatchingAligner):
    """LoFTR (Sun et al. 2021): coarse-to-fine matches without keypoints, then USAC_MAGSAC (Barath et al. 2020).

    The network is kornia's, for outdoor scenes; its weights are published and come with no installation. The
    confidence is that of `Matches`. Without a homography the answer is the identity with confidence 0. The same
    pictures give the same answer.

    Args:
        weights: file with the weights: safetensors, or a state dict saved by torch.
        pretrained: take the weights from torch's cache, or download them there first.
        max_side: larger pictures are reduced to this length in pixels.
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
        least_score: float = 0.2,
        threshold: float = 3.0,
    ) -> None:
        super().__init__()
        self.network = LoFTR(pretrained=None)
        self.network.coarse_matching.thr = least_score
        load_published(self.network, self.name, weights=weights, pretrained=pretrained, url=URL, prefix="matcher.")
        self.max_side = max_side
        self.threshold = threshold

    @torch.inference_mode()
    def matches(self, reference: Tensor, source: Tensor) -> Matches:
        """See `MatchingAligner.matches`."""
        device = next(self.parameters()).device
        pictures = [reference.to(device), source.to(device)]
        sizes = [(picture.shape[-2], picture.shape[-1]) for picture in pictures]
        working = [working_size(size, self.max_side) for size in sizes]
        grey = [_grey(picture, size) for picture, size in zip(pictures, working, strict=True)]
        found = self.network({"image0": grey[0], "image1": grey[1]})
        # The weights were trained with pixel centres at halves.
        points = [(found[key] - 0.5).cpu().numpy() for key in ("keypoints0", "keypoints1")]
        to_full = list(zip(working, sizes, strict=True))
        return agree(points[0], points[1], to_full[0], to_full[1], self.threshold)


def working_size(size: geometry.Size, max_side: int) -> geometry.Size:
    """The size of the picture, reduced to `max_side`, with each side at the nearest multiple of 8, but not 0."""
    factor = min(1.0, max_side / max(size))
    height, width = (max(1, round(side * factor / STRIDE)) * STRIDE for side in size)
    return height, width


def _grey(picture: Tensor, size: geometry.Size) -> Tensor:
    """Grey levels `(1, 1, h, w)` in [0, 1] of a picture `(3, H, W)`, resized by the rule "area"."""
    # ITU-R BT.601, as OpenCV's grey levels, with which LoFTR was trained.
    luma = torch.tensor([0.299, 0.587, 0.114], device=picture.device)
    grey = torch.einsum("c,chw->hw", luma, picture)[None, None]
    return F.interpolate(grey, size, mode="bilinear", antialias=True, align_corners=False)
