"""A chain that begins where keypoints lead: our answer to pairs on which they succeed anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import geometry
from ..classical.orb import Orb
from ..classical.sift import Sift
from .sampling import map_correlation

if TYPE_CHECKING:
    from .network import Adm


def keypoint_start(model: Adm, reference: Tensor, source: Tensor, small: Tensor, small_source: Tensor) -> Tensor:
    """Of ORB's and SIFT's homographies the one under which the vessel maps correlate more.

    ORB finds more between pictures of very different scale, SIFT more in blurred ones.

    Args:
        model: whose vessel maps are compared.
        reference: `(B, 3, H, W)` in [0, 1].
        source: `(B, 3, h, w)`.
        small: the references at the working size `(B, 3, S, S)`.
        small_source: the sources likewise.

    Returns:
        `(B, 3, 3)`, float64, reference to source, pixels of the working size; NaN where neither finds one.
    """
    working: geometry.Size = (small.shape[-2], small.shape[-1])
    sizes = ((reference.shape[-2], reference.shape[-1]), working), ((source.shape[-2], source.shape[-1]), working)
    fixed = model.vessel_maps(small)
    best = torch.full((len(small), 3, 3), torch.nan, dtype=torch.float64, device=small.device)
    reached = torch.full((len(small),), -1.0, device=small.device)
    for aligner in (Orb(), Sift()):
        found = [aligner.estimate(a, b) for a, b in zip(reference.cpu(), source.cpu(), strict=True)]
        homography = torch.stack([each for each, _ in found]).to(small.device)
        there = torch.tensor([confidence > 0 for _, confidence in found], device=small.device)
        at_working = geometry.rescale_homography(homography, size_a=sizes[0], size_b=sizes[1], rule="area")
        correlation = map_correlation(model, small_source, fixed, at_working, None)
        better = there & (correlation > reached)
        best = torch.where(better[:, None, None], at_working, best)
        reached = torch.where(better, correlation, reached)
    return best
