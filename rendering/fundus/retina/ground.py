"""The ground of the eye under vessels and disc: choroid, pigment, macula and nerve fibres."""

from __future__ import annotations

import numpy as np

from .canvas import Area, Colour, Field, Grid, Noise, bump, length, mixed, step
from .spec import EyeSpec, GroundSpec
from .strokes import Brush, Numbers, paint_strokes
from .tree import Tree

FAIR: Colour = (0.9, 0.52, 0.32)
DARK: Colour = (0.62, 0.3, 0.17)
"""The ground's mean colour with little and with much melanin."""
VESSEL_FAIR: Colour = (-0.05, -0.24, -0.2)
VESSEL_DARK: Colour = (0.16, 0.22, 0.12)
"""How the choroid's vessels differ from the mean, relative to it."""
BETWEEN_FAIR: Colour = (0.08, 0.16, 0.18)
BETWEEN_DARK: Colour = (-0.16, -0.22, -0.2)
"""How what lies between them differs."""
HUE: Colour = (0.4, -0.6, -1.0)
"""Direction in which the ground's hue varies from place to place."""
MACULA_BROAD: Colour = (0.08, 0.22, 0.28)
MACULA_CENTRE: Colour = (0.16, 0.3, 0.3)
"""What the macula takes away of the light, far around the fovea and at it."""
EDGE: Colour = (0.3, 0.2, 0.22)
"""What the ground loses towards the edge of the retina."""
FIBRES: Colour = (0.06, 0.12, 0.14)
"""What a streak of nerve fibres adds, relative to the ground."""


def paint_ground(grid: Grid, eye: EyeSpec, spec: GroundSpec, choroid: Tree) -> list[Field]:
    """Red, green and blue (H, W), sRGB in [0, 1].

    Args:
        grid: the map.
        eye: where fovea and disc lie.
        spec: what the ground looks like.
        choroid: the choroid's veins, widths in degrees of the map.
    """
    area = grid.whole
    noise = Noise(spec.seed, area)
    from_fovea = length(*area.offset(eye.fovea, eye.axis))
    mean = mixed(FAIR, DARK, spec.pigment)
    mean = mean[0], mean[1] * (1.05 - 0.24 * spec.redness), mean[2] * (1.1 - 0.2 * spec.redness)
    vessel, between = mixed(VESSEL_FAIR, VESSEL_DARK, spec.pigment), mixed(BETWEEN_FAIR, BETWEEN_DARK, spec.pigment)
    light = 1 + 0.045 * noise.fractal(30.0, 3) + 0.018 * noise.fractal(1.6, 3, 0.9) + 0.012 * noise.smooth(0.25)
    hue = 0.02 * noise.fractal(18.0, 3)
    vessels = _choroid_vessels(grid, choroid, noise)
    seen = np.float32(spec.tessellation) * _seen(noise, from_fovea)
    planes = []
    for value, a, b, turn in zip(mean, vessel, between, HUE, strict=True):
        choroidal = np.float32(b) + np.float32(a - b) * vessels
        planes.append(np.float32(value) * light * (1 + np.float32(turn) * hue) * (1 + seen * choroidal))
    _darken_edge(area, spec, noise, planes)
    _add_fibres(grid, eye, spec, planes)
    broad, centre = np.float32(spec.macula) * bump(from_fovea, 4.0), np.float32(spec.macula) * bump(from_fovea, 1.4)
    for plane, far, near in zip(planes, MACULA_BROAD, MACULA_CENTRE, strict=True):
        plane *= (1 - np.float32(far) * broad) * (1 - np.float32(near) * centre)
    return planes


def _choroid_vessels(grid: Grid, choroid: Tree, noise: Noise) -> Field:
    """Where the choroid's vessels are, from 0 between them to 1, with soft sides as they lie behind the pigment."""

    def ink(brush: Brush) -> list[Numbers]:
        near = np.clip(1 - (brush.distance / (brush.half + 0.5 * brush.pixel)) ** 2, 0, 1)
        return [near * near * np.clip(2 * brush.half / brush.pixel, 0, 1)]

    starts, ends, widths = choroid.strands()
    (veins,) = paint_strokes(grid, starts, ends, widths * 1.6, ink, 1)
    # The veins leave holes; what is deeper fills them with blurred shapes.
    return np.maximum(veins, np.clip(0.3 + 0.2 * noise.fractal(2.6, 2, 0.6), 0, 0.7))


def _seen(noise: Noise, from_fovea: Field) -> Field:
    """How clearly the choroid is seen: the macula's pigment hides it, the thin pigment of the periphery does not."""
    clear = 0.25 + 0.6 * step(3.0, 14.0, from_fovea) + 0.6 * step(18.0, 50.0, from_fovea)
    return clear * np.clip(1 + 0.35 * noise.smooth(12.0), 0.2, 1.8)


def _darken_edge(area: Area, spec: GroundSpec, noise: Noise, planes: list[Field]) -> None:
    """Towards the ora serrata the ground is darker and less red, with clumps of pigment."""
    radius = np.float32(area.scale) * length(area.x[None, :], area.y[:, None]) + 3 * noise.smooth(9.0)
    far = step(55.0, 105.0, radius)
    clumps = step(2.2, 3.2, noise.fractal(0.7, 2)) * step(65.0, 85.0, radius) * np.float32(0.15 + 0.3 * spec.pigment)
    for plane, share in zip(planes, EDGE, strict=True):
        plane *= (1 - np.float32(share) * far) * (1 - clumps)


def _add_fibres(grid: Grid, eye: EyeSpec, spec: GroundSpec, planes: list[Field]) -> None:
    """Fine pale streaks along the nerve fibres, which leave the disc like the arcades."""
    area = grid.around(eye.disc, 2.7 * eye.disc_height)
    noise = Noise(spec.seed + 1, area)
    along, above = area.offset(eye.disc, eye.axis)
    # Fibres are parabolas through the disc, h * h = c x, near it and straight far away from it.
    height = above * np.abs(above) / (np.abs(above) + 5)
    total = np.abs(along) + np.abs(height) + np.float32(1e-6)
    # The angle of (along, height), from 0 to 4, without a transcendental function.
    angle = np.where(height >= 0, 1 - along / total, 3 + along / total)
    streaks = 0.6 * _lookup(angle, noise.table(560)) + 0.6 * _lookup(angle, noise.table(230))
    streaks += 0.5 * _lookup(angle, noise.table(60))
    distance = length(along, above)
    arcuate = 0.35 + 0.65 * step(0.2, 0.75, np.abs(above) / (distance + np.float32(1e-6)))
    distance *= np.float32(2 / eye.disc_height)
    near = step(0.8, 1.2, distance) * step(5.2, 1.3, distance) * arcuate
    sheen = np.float32(spec.fibres) * near * np.clip(0.8 + 0.4 * noise.smooth(4.0), 0, 2) * (0.55 + streaks)
    for plane, share in zip(planes, FIBRES, strict=True):
        plane[area.window] *= 1 + np.float32(share) * sheen


def _lookup(angle: Field, table: Field) -> Field:
    """Smooth periodic noise of an angle from 0 to 4."""
    place = angle * np.float32(len(table) / 4)
    first = place.astype(np.int64)
    share = place - first.astype(np.float32)
    lower, upper = table[first % len(table)], table[(first + 1) % len(table)]
    return lower + (upper - lower) * (share * share * (3 - 2 * share))
