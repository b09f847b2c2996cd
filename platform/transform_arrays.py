"""A transform as arrays: what `raylign align --save-transform` writes."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from ..methods.errors import InputError
from ..methods.geometry import homography_positions, pixel_grid
from .alignment import AlignedPicture


def transform_arrays(aligned: AlignedPicture) -> dict[str, NDArray[np.generic]]:
    """The arrays of `--save-transform`; those with an axis N lose it for a single source.

    Returns:
        `flow (N, 2, H, W)` float32 in pixels, reference to source; `mask (H, W)` bool; `confidence`, NaN where the
        method has none; `homography (N, 3, 3)` float64 where the method has one; `used (N,)` bool where the method
        leaves out sources that it finds nothing for: their flow and homography are NaN; `weights (N + 1, H, W)`
        float16, where the method tells them: the part of the reference (first) and of each source in each pixel.

    Raises:
        InputError: the method tells neither a flow nor a homography.
    """
    flow = aligned.flow
    if flow is None:
        if aligned.homography is None:
            raise InputError(
                f"--save-transform: '{aligned.facts['method']}' tells no transform; choose another --method"
            )
        size = (aligned.mask.shape[0], aligned.mask.shape[1])
        positions = torch.stack([homography_positions(each[None], size)[0] for each in aligned.homography])
        flow = (positions - pixel_grid(size)).permute(0, 3, 1, 2)
    if aligned.used is not None:
        flow = flow.masked_fill(~aligned.used[:, None, None, None], math.nan)
    single = len(flow) == 1
    confidence = math.nan if aligned.confidence is None else aligned.confidence
    arrays: dict[str, NDArray[np.generic]] = {
        "flow": (flow[0] if single else flow).contiguous().numpy(),
        "mask": aligned.mask.numpy(),
        "confidence": np.asarray(confidence, dtype=np.float32),
    }
    if aligned.homography is not None:
        arrays["homography"] = (aligned.homography[0] if single else aligned.homography).numpy()
    if aligned.used is not None:
        arrays["used"] = (aligned.used[0] if single else aligned.used).numpy()
    if aligned.weights is not None:
        arrays["weights"] = aligned.weights.half().numpy()
    return arrays
