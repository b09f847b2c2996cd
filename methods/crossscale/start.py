"""A classical start for the global stage, and which of two starts the pictures speak for."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import geometry
from ..classical.sift import Sift
from .confidence import window_correlation


def classical_start(reference: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Homographies of `Sift` between pictures at the working size, which find what full pictures do at a third of the
    cost.

    Args:
        reference: `(B, 3, S, S)` in [0, 1].
        source: the same.

    Returns:
        Homographies `(B, 3, 3)`, float64, reference to source, and their confidences `(B,)`, float32; the identity with
        confidence 0 where nothing was found.
    """
    sift = Sift()
    found = [sift.estimate(a, b) for a, b in zip(reference.cpu(), source.cpu(), strict=True)]
    homographies = torch.stack([homography for homography, _ in found])
    confidences = torch.tensor([confidence for _, confidence in found])
    return homographies.to(reference.device), confidences.to(reference.device)


def choose_start(
    reference: Tensor, source: Tensor, network: Tensor, classical: Tensor, confidence: Tensor
) -> tuple[Tensor, Tensor]:
    """The homography that explains more of the reference (`explained_share`); the network's where both explain as much.

    Args:
        reference: `(B, 3, S, S)` in [0, 1].
        source: the same.
        network: `(B, 3, 3)`, reference to source, pixels of these pictures.
        classical: the same.
        confidence: of the classical one, `(B,)`; 0 where there is none.

    Returns:
        The chosen ones `(B, 3, 3)`, float64, and where they are the classical ones, bool `(B,)`.
    """
    network_share, classical_share = (explained_share(reference, source, each) for each in (network, classical))
    taken = (confidence > 0) & (classical_share > network_share)
    return torch.where(taken[:, None, None], classical.double(), network.double()), taken


def explained_share(reference: Tensor, source: Tensor, homography: Tensor) -> Tensor:
    """How much of the reference the source explains: the correlation of luma in windows, summed over the covered ones.

    The mean is over all windows of the reference, so that neither a small overlap in which all agrees nor a large one
    in which nothing does is worth much. Correlations below zero and windows that show nothing count as 0.

    Args:
        reference: `(B, 3, H, W)` in [0, 1].
        source: `(B, 3, h, w)` in [0, 1].
        homography: `(B, 3, 3)`, reference to source.

    Returns:
        `(B,)` in [0, 1].
    """
    size: geometry.Size = (reference.shape[-2], reference.shape[-1])
    correlation, shows = window_correlation(reference, *geometry.warp_by_homography(source, homography, size))
    return (correlation * shows).flatten(1).mean(1)
