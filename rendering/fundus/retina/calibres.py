"""Calibres of the vessels beside the optic disc, as epidemiology measures them.

Knudtson et al., Revised formulas for summarizing retinal vessel diameters (2003): the six largest vessels in zone B, of
half a disc's diameter to one from its margin, are combined two by two, the widest with the narrowest.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .growth import Indices
from .spec import EyeSpec
from .sphere import Points, to_map

ARTERIOLES, VENULES = 0.88, 0.95
"""Width of a parent over the root of the sum of the squares of its two children's."""
ZONE = 1.25
"""Distance from the disc's centre at which widths are measured, the middle of zone B, in disc diameters."""


def beside_disc(
    points: Points, parents: Indices, widths: npt.NDArray[np.float64], eye: EyeSpec
) -> npt.NDArray[np.float64]:
    """Those of the widths of a tree's vessels that cross zone B, the largest first."""
    offset = to_map(points) / eye.scale - np.array(eye.disc)
    outside = np.sqrt((offset * offset).sum(axis=1)) > ZONE * eye.disc_height
    crossing = (parents >= 0) & outside & ~outside[parents]
    return np.sort(widths[crossing])[::-1]


def central_equivalent(widths: npt.NDArray[np.float64], factor: float) -> float:
    """The central vessel whose branches have these widths, in their unit.

    Args:
        widths: of the vessels beside the disc, the largest first; more than six are not counted.
        factor: `ARTERIOLES` or `VENULES`.
    """
    left = widths[:6].tolist()
    while len(left) > 1:
        pairs = len(left) // 2
        joined = [factor * math.hypot(left[each], left[-1 - each]) for each in range(pairs)]
        left = sorted(joined + left[pairs : len(left) - pairs], reverse=True)
    return float(left[0])
