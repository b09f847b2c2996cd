"""What the baselines that estimate one homography per pair have in common."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ..aligner import Aligner, Alignment, single_source
from ..transform import HomographyTransform, warp


class PlanarAligner(Aligner):
    """An `Aligner` that knows one homography and a confidence for each pair."""

    @abstractmethod
    def estimate(self, reference: Tensor, source: Tensor) -> tuple[Tensor, float]:
        """Homography `(3, 3)`, float64, reference to source, h33 = 1, and the confidence in [0, 1] of one pair.

        Args:
            reference: `(3, H, W)` in [0, 1].
            source: `(3, h, w)` in [0, 1].
        """

    @torch.inference_mode()
    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        """See `Aligner.align`. The flow is far outside of the source where a pixel lies beyond the horizon."""
        source = single_source(reference, sources)
        estimates = [self.estimate(a, b) for a, b in zip(reference, source, strict=True)]
        homography = torch.stack([estimate for estimate, _ in estimates]).to(reference.device)
        transform = HomographyTransform(homography, (source.shape[-2], source.shape[-1]))
        warped = warp(source, transform, (reference.shape[-2], reference.shape[-1]))
        return Alignment(
            image=warped.image,
            mask=warped.mask,
            homography=homography.float()[:, None],
            flow=warped.flow[:, None],
            confidence=torch.tensor([confidence for _, confidence in estimates], device=reference.device),
            transform=transform,
        )
