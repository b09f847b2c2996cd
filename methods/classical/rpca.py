"""Robust principal component analysis of all shots."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from .median import masked_median
from .reconstruction import SetAligner

_GROWTH = 1.5
_LARGEST_GROWTH = 1e7
"""The penalty grows by the first factor each step, and at most to the second times what it was at the start."""


class Rpca(SetAligner):
    """Low rank plus sparse (Candès et al. 2011) by the inexact augmented Lagrange method (Lin, Chen and Ma 2010).

    Each colour channel is a matrix of T rows, one per frame, by itself, so that light of another colour or strength
    keeps the rank at one; the weight of the sparse part is `1 / sqrt(max(rows, columns))`. The reconstruction is the
    median over the frames of the low-rank part: the picture in the middlemost of all lights. Where a frame is not
    known, it is taken to show the median of those that are; left free instead, a pixel that few frames know would be
    darkened, since the sparse part then costs less than the low-rank part. Frames that are known nowhere do not take
    part.

    With this weight, T equal frames stay whole only where no pixel exceeds `sqrt(T)` times the root mean square of its
    channel; what is brighter is dimmed. Of fewer than three frames none is in the minority: their median is returned.

    Args:
        aligner: see `SetAligner`.
        tolerance: of the residual `|D - A - E| / |D|` (Frobenius) at which the iteration ends.
        steps: the iteration ends after this many in any case.
    """

    name: ClassVar[str] = "rpca"

    def __init__(self, aligner: str = "sift", tolerance: float = 1e-7, steps: int = 1000) -> None:
        super().__init__(aligner)
        self.tolerance = tolerance
        self.steps = steps

    def merge(self, frames: Tensor, masks: Tensor) -> Tensor:
        """See `SetAligner.merge`."""
        merged = masked_median(frames, masks)
        for picture, sample, mask in zip(merged, frames, masks, strict=True):
            part = mask.flatten(1).any(dim=1)
            if part.sum() < 3:
                continue
            filled = torch.where(mask[part], sample[part], picture)
            for channel in range(len(picture)):
                shots = filled[:, channel : channel + 1]
                low_rank, _ = robust_pca(shots.flatten(1), self.tolerance, self.steps)
                everywhere = torch.ones_like(shots, dtype=torch.bool)
                picture[channel] = masked_median(low_rank.view_as(shots)[None], everywhere[None])[0, 0]
        return merged


def robust_pca(matrix: Tensor, tolerance: float = 1e-7, steps: int = 1000) -> tuple[Tensor, Tensor]:
    """`D = A + E` that minimises `|A|_* + |E|_1 / sqrt(max(m, n))` (Lin, Chen and Ma 2010, Algorithm 5).

    The constants are those of the authors' program: `mu_0 = 1.25 / |D|_2`, a factor of 1.5 per step up to 1e7. The
    singular vectors come from the eigenvectors of `W W^T`, which is small for a matrix of few rows.

    Args:
        matrix: D, `(m, n)` with m not much larger than a hundred.
        tolerance: of the residual `|D - A - E| / |D|` (Frobenius) at which the iteration ends.
        steps: the iteration ends after this many in any case.

    Returns:
        A and E `(m, n)`, float64.
    """
    data = matrix.double()
    weight = 1 / math.sqrt(max(data.shape))
    size = float(data.norm())
    spectral = max(math.sqrt(max(float(torch.linalg.eigvalsh(data @ data.T)[-1]), 0.0)), 1e-12)
    penalty = 1.25 / spectral
    largest_penalty = penalty * _LARGEST_GROWTH
    low_rank, sparse = torch.zeros_like(data), torch.zeros_like(data)
    # The multiplier divided by the penalty, which saves passes over the matrix.
    dual = data / (max(spectral, float(data.abs().max()) / weight) * penalty)
    for _ in range(steps):
        target = (data - sparse).add_(dual)
        values, vectors = torch.linalg.eigh(target @ target.T)
        singular = values.clamp_min(1e-30).sqrt()
        shrunk = (singular - 1 / penalty).clamp_min(0) / singular
        low_rank = ((vectors * shrunk) @ vectors.T) @ target
        rest = (data - low_rank).add_(dual)
        # Soft thresholding splits a number into what is cut off at the threshold, the new dual, and what is beyond.
        threshold = weight / penalty
        updated = rest.clamp(-threshold, threshold)
        sparse = rest - updated
        residual = float(torch.dist(updated, dual))
        if residual <= tolerance * size:
            break
        grown = min(penalty * _GROWTH, largest_penalty)
        dual = updated * (penalty / grown)
        penalty = grown
    return low_rank, sparse
