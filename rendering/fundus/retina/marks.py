"""Lesions on the map."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .canvas import Area, Colour, Field, Grid, Lattice, lay, step
from .spec import LesionKind, LesionSpec

DEEP: frozenset[LesionKind] = frozenset({"drusen", "laser", "exudate"})
"""What lies under the vessels; the other lesions lie over them."""

DRUSEN: Colour = (0.95, 0.76, 0.46)
EXUDATE: Colour = (0.98, 0.89, 0.58)
BLOOD: Colour = (0.47, 0.1, 0.07)
COTTON: Colour = (0.93, 0.84, 0.72)
SCAR: Colour = (0.9, 0.72, 0.5)
PIGMENT: Colour = (0.22, 0.11, 0.08)


def paint_lesions(grid: Grid, lesions: Iterable[LesionSpec], seed: int, planes: list[Field]) -> None:
    """Paint lesions one after the other.

    Args:
        grid: the map.
        lesions: what is painted.
        seed: of their outlines.
        planes: red, green and blue (H, W), changed here.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    fine, coarse = Lattice(generator, grid.scale, 0.22), Lattice(generator, grid.scale, 0.7)
    for lesion in lesions:
        area = grid.around(lesion.place, 1.6 * lesion.radius * max(1.0, lesion.stretch) + 0.4)
        along, across = area.offset(lesion.place, lesion.turn)
        along, across = along * np.float32(1 / (lesion.radius * lesion.stretch)), across * np.float32(1 / lesion.radius)
        rough = coarse if lesion.radius > 0.45 else fine
        outline = np.sqrt(along * along + across * across) + 0.16 * rough.on(area)
        _paint(lesion, area, outline, across, fine, [plane[area.window] for plane in planes])


def _paint(lesion: LesionSpec, area: Area, outline: Field, across: Field, fine: Lattice, parts: list[Field]) -> None:
    """Paint one lesion; `outline` is 1 at its border, `across` goes from -1 to 1 over its breadth."""
    strength = np.float32(lesion.strength)
    match lesion.kind:
        case "drusen":
            lay(parts, DRUSEN, strength * 0.65 * step(1.3, 0.4, outline))
        case "exudate":
            lay(parts, EXUDATE, strength * step(1.15, 0.8, outline))
        case "haemorrhage":
            lay(parts, BLOOD, strength * 0.9 * step(1.2, 0.7, outline))
        case "flame":
            # Blood runs between the nerve fibres.
            striped = 0.7 + 0.3 * np.abs((4.5 * across + 0.5 * fine.on(area)) % 2 - 1)
            lay(parts, BLOOD, strength * 0.85 * striped * step(1.2, 0.5, outline))
        case "cotton":
            lay(parts, COTTON, strength * 0.8 * step(1.35, 0.2, outline))
        case "laser":
            ring = step(0.35, 0.0, np.abs(outline - 0.95)) * np.clip(0.5 + 0.5 * fine.on(area), 0, 1)
            lay(parts, SCAR, strength * 0.6 * step(1.1, 0.6, outline))
            lay(parts, PIGMENT, strength * 0.7 * ring)
            lay(parts, PIGMENT, strength * 0.5 * step(0.45, 0.1, outline) * np.clip(fine.on(area), 0, 1))
