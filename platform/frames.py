"""The sources of an alignment one by one, as its homographies bring them into the frame of the reference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..methods.geometry import Size
from ..methods.transform import HomographyTransform, warp


def bring(sources: Sequence[Tensor], homographies: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Warp each source onto the reference; what is outside of it is zero.

    Args:
        sources: each `(3, h, w)` in [0, 1].
        homographies: `(N, 3, 3)`, float64, reference pixels to the pixels of each source; NaN for a source that was
            left out, of which nothing is known anywhere.
        size: (height, width) of the reference.

    Returns:
        Frames `(N, 3, H, W)`, float32, and masks, bool `(N, H, W)`, where each is known.
    """
    frames, masks = torch.zeros(len(sources), 3, *size), torch.zeros(len(sources), *size, dtype=torch.bool)
    for k, (source, homography) in enumerate(zip(sources, homographies, strict=True)):
        if bool(homography.isfinite().all()):
            transform = HomographyTransform(homography[None], (source.shape[1], source.shape[2]))
            warped = warp(source[None], transform, size)
            frames[k], masks[k] = warped.image[0], warped.mask[0, 0] > 0.5
    return frames, masks
