"""The optic disc: rim, cup, and the crescent beside it."""

from __future__ import annotations

import numpy as np

from .canvas import Colour, Field, Grid, Noise, lay, mixed, step
from .spec import DiscSpec, EyeSpec

RIM_PINK: Colour = (0.95, 0.6, 0.4)
RIM_PALE: Colour = (0.97, 0.73, 0.5)
CUP: Colour = (0.98, 0.85, 0.63)
CRESCENT: Colour = (0.94, 0.76, 0.54)
PIGMENT: Colour = (0.4, 0.2, 0.12)
NASAL: Colour = (0.03, 0.07, 0.09)
"""How much darker the rim is on the nasal side."""


def paint_disc(grid: Grid, eye: EyeSpec, spec: DiscSpec, seed: int, planes: list[Field]) -> None:
    """Paint the disc over the ground.

    Args:
        grid: the map.
        eye: where the disc lies.
        spec: what it looks like.
        seed: of its irregularities.
        planes: red, green and blue (H, W), changed here.
    """
    area = grid.around(eye.disc, 1.5 * eye.disc_height)
    noise = Noise(seed, area)
    half = eye.disc_height / 2
    temporal, above = area.offset(eye.disc, eye.axis)
    cosine, sine = (np.float32(each) for each in spec.tilt)
    across = (cosine * temporal + sine * above) * np.float32(1 / (half * spec.aspect))
    along = (cosine * above - sine * temporal) * np.float32(1 / half)
    radius = np.sqrt(across * across + along * along) + 0.025 * noise.smooth(2.5)
    side = across / (radius + np.float32(1e-3))
    parts = [plane[area.window] for plane in planes]
    _paint_crescent(max(spec.crescent, 0.0) / half, radius, side, noise, parts)

    # The nasal margin is less sharp than the temporal one.
    inside = np.clip((1 - radius) / (0.07 - 0.03 * side) + 0.5, 0, 1)
    cup = np.sqrt((across - 0.1) ** 2 + (along * np.float32(0.95)) ** 2) + 0.03 * noise.smooth(1.6)
    in_cup = step(1.25, 0.6, cup * np.float32(1 / max(spec.cup, 0.08))) * np.float32(min(1.0, 0.25 + 1.5 * spec.cup))
    lamina, grain = 1 + 0.02 * noise.smooth(0.35), 1 + 0.03 * noise.fractal(2.0, 3)
    rim = mixed(RIM_PINK, RIM_PALE, spec.pallor)
    for part, edge, middle, nasal in zip(parts, rim, CUP, NASAL, strict=True):
        tissue = np.float32(edge) * grain * (1 + np.float32(nasal) * side * np.clip(radius, 0, 1))
        tissue += in_cup * (np.float32(middle) * lamina - tissue)
        part += inside * (tissue - part)


def _paint_crescent(width: float, radius: Field, side: Field, noise: Noise, parts: list[Field]) -> None:
    """Bare sclera on the temporal side, a line of pigment at its border, and a faint pale ring all around."""
    wide = np.float32(width) * step(0.1, 0.9, side + 0.1 * noise.smooth(2.0))
    beyond = radius - 1
    border = step(0.09, 0.0, np.abs(beyond - wide - 0.03)) * np.clip(0.35 + 0.5 * noise.smooth(1.5), 0, 1)
    lay(parts, CRESCENT, 0.1 * step(0.22, 0.0, np.abs(beyond)))
    lay(parts, CRESCENT, np.clip((wide - beyond) * 18 + 0.5, 0, 1) * np.clip(wide * 10, 0, 1))
    lay(parts, PIGMENT, 0.6 * border * step(-0.2, 0.6, side))
