"""What the surfaces of people and things show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Covering:
    """A picture on a surface, and how the surface shines."""

    picture: npt.NDArray[np.uint8]
    """sRGB (H, W, 3), top row first; texture coordinates (0, 0) are its lower left corner, (1, 1) its upper right."""
    roughness: float
    """From 0, a mirror, to 1."""
    wraps: bool
    """Whether it repeats outside [0, 1]; otherwise its border goes on."""
