"""Pictures for balls and globes: once around from left to right, from the south pole up to the north pole."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .bench import Colour, Picture
from .sheets import Sheet

WIDTH, HEIGHT = 384, 192
Field = npt.NDArray[np.float64]


def directions() -> tuple[Field, Field, Field]:
    """Unit vectors (HEIGHT, WIDTH) of a picture's pixels, top row first."""
    tilts = [math.pi * (0.5 - (row + 0.5) / HEIGHT) for row in range(HEIGHT)]
    turns = [math.tau * (column + 0.5) / WIDTH for column in range(WIDTH)]
    level = np.array([math.cos(each) for each in tilts])
    x, y = (np.multiply.outer(level, [each(turn) for turn in turns]) for each in (math.cos, math.sin))
    return x, y, np.broadcast_to(np.array([[math.sin(each)] for each in tilts]), x.shape)


def finished(colours: Field, seed: int, grain: float = 0.07) -> Picture:
    """Colours (HEIGHT, WIDTH, 3), 0 to 1, with grain."""
    noise = np.random.Generator(np.random.PCG64(seed))
    rough = sum(
        np.repeat(np.repeat(noise.random((HEIGHT // size, WIDTH // size)) * 2 - 1, size, 0), size, 1)
        for size in (2, 6, 16)
    )
    return np.clip(255 * colours * (1 + grain * np.asarray(rough)[..., None]) + 0.5, 0, 255).astype(np.uint8)


def football(patches: Colour, field: Colour) -> Picture:
    """Twelve pentagons between twenty hexagons, with seams."""
    golden = (1 + math.sqrt(5)) / 2
    tips = [(0.0, a, b * golden) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    pentagons = [p[shift:] + p[:shift] for p in tips for shift in range(3)]
    cube = [(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]
    more = [(0.0, a * golden, b / golden) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    hexagons = cube + [p[shift:] + p[:shift] for p in more for shift in range(3)]
    # Distances of the faces of a truncated icosahedron from its middle, with edges of length 1.
    near = [_reach(pentagons, 2.3274), _reach(hexagons, 2.2673)]
    best = np.maximum(near[0][0], near[1][0])
    second = np.maximum(np.minimum(near[0][0], near[1][0]), np.where(near[0][0] > near[1][0], near[0][1], near[1][1]))
    colours = np.where((near[0][0] > near[1][0])[..., None], patches, field)
    seam = (best - second < 0.007)[..., None]
    return finished(np.where(seam, 0.45 * np.asarray(field), colours), 1)


def _reach(axes: Sequence[tuple[float, ...]], distance: float) -> tuple[Field, Field]:
    """The largest and the second largest of the pixels' components along axes, over a distance."""
    x, y, z = directions()
    first, second = np.full(x.shape, -9.0), np.full(x.shape, -9.0)
    for a, b, c in axes:
        value = (a * x + b * y + c * z) / (math.sqrt(a * a + b * b + c * c) * distance)
        second = np.maximum(second, np.minimum(first, value))
        first = np.maximum(first, value)
    return first, second


def basketball(colour: Colour, lines: Colour) -> Picture:
    """Leather with a cross of two great circles and two arcs."""
    x, _, z = directions()
    arc = np.abs(np.sqrt(x * x + z * z / 3) - 0.62)
    line = np.minimum(np.minimum(np.abs(x), np.abs(z)), np.minimum(arc, 1)) < 0.024
    return finished(np.where(line[..., None], lines, colour), 2, 0.09)


def volleyball(first: Colour, second: Colour) -> Picture:
    """Six fields of three stripes each, across each other."""
    x, y, z = directions()
    parts = [np.abs(each) for each in (x, y, z)]
    most = np.maximum(np.maximum(parts[0], parts[1]), parts[2])
    across = np.where(parts[0] == most, y, np.where(parts[1] == most, z, x)) / most
    stripe = np.floor((across + 1) * 1.5)
    gap = np.abs((across + 1) * 1.5 % 1 - 0.5) > 0.465
    colours = np.where((stripe == 1)[..., None], second, first)
    return finished(np.where(gap[..., None], 0.35 * np.asarray(second), colours), 3)


def sectors(colours: Sequence[Colour], caps: Colour | None = None, count: int = 6) -> Picture:
    """Sectors from pole to pole in turn, and caps at the poles."""
    x, _, z = directions()
    turn = np.broadcast_to(np.arange(WIDTH) * count // WIDTH, x.shape)
    result = np.asarray(colours)[turn % len(colours)]
    if caps:
        result = np.where((np.abs(z) > 0.955)[..., None], caps, result)
    return finished(result, 4)


def bands(colours: Sequence[Colour], count: int) -> Picture:
    """Bands around the axis, of even width on the picture."""
    rows = np.arange(HEIGHT) * count // HEIGHT
    return finished(np.broadcast_to(np.asarray(colours)[rows % len(colours)][:, None], (HEIGHT, WIDTH, 3)), 5)


def swirl(dark: Colour, light: Colour, holes: bool) -> Picture:
    """Clouds as in polished stone, and the three holes of a bowling ball."""
    x, y, z = directions()
    veins = np.zeros(x.shape)
    noise = np.random.Generator(np.random.PCG64(6))
    for octave in range(4):
        for _ in range(4):
            a, b, c, phase = noise.random(4) * 2 - 1
            wave = (a * x + b * y + c * z) * 2.2 * 2**octave + phase + 0.4 * veins
            veins = veins + (np.abs(wave % 2 - 1) * 2 - 1) / (1.6**octave * 2)
    share = np.clip(0.5 + 0.4 * veins, 0, 1)[..., None]
    colours = np.asarray(dark) * (1 - share) + np.asarray(light) * share
    if holes:
        for a, b, c in ((0.25, 0.1, 0.963), (0.25, -0.12, 0.961), (-0.05, 0.0, 0.9987)):
            colours = np.where((a * x + b * y + c * z > 0.9955)[..., None], 0.02, colours)
    return finished(colours, 7, 0.04)


LAND: tuple[tuple[tuple[int, int], ...], ...] = (
    ((-168, 66), (-140, 70), (-95, 73), (-62, 58), (-55, 50), (-75, 38), (-81, 26), (-97, 27), (-97, 18), (-84, 9),
     (-105, 20), (-117, 33), (-125, 48), (-150, 60)),
    ((-80, 10), (-62, 10), (-35, -6), (-40, -22), (-57, -37), (-68, -54), (-74, -45), (-71, -18), (-81, -4)),
    ((-10, 36), (-9, 44), (0, 49), (8, 57), (5, 62), (25, 71), (60, 69), (100, 77), (140, 73), (178, 67), (160, 60),
     (142, 54), (130, 42), (122, 38), (121, 29), (108, 20), (104, 3), (97, 17), (88, 22), (79, 8), (72, 20), (58, 25),
     (56, 18), (44, 13), (34, 29), (28, 37), (14, 45), (3, 43)),
    ((-17, 14), (-15, 27), (-6, 36), (10, 37), (32, 31), (43, 12), (51, 11), (40, -5), (35, -24), (20, -35), (12, -17),
     (9, 4), (-8, 5)),
    ((114, -22), (130, -12), (142, -11), (153, -27), (147, -39), (130, -32), (115, -34)),
    ((-50, 60), (-22, 70), (-30, 83), (-60, 81), (-70, 76)),
)  # fmt: skip
"""Outlines of continents: longitude and latitude, in degrees."""


def earth(sea: Colour, land: Colour) -> Picture:
    """A globe: continents, ice, and a grid of longitudes and latitudes."""
    sheet = Sheet(WIDTH, HEIGHT, sea)
    pale: Colour = (0.6 * sea[0] + 0.35, 0.6 * sea[1] + 0.35, 0.6 * sea[2] + 0.35)
    for step in range(12):
        sheet.line([(step / 6, 0), (step / 6, 1)], 0.006, pale)
        sheet.line([(0, step / 12), (2, step / 12)], 0.006, pale)
    for number, outline in enumerate(LAND):
        shade = 0.8 + 0.1 * (number % 4)
        tone: Colour = (land[0] * shade, land[1] * shade, land[2] * (1.5 - shade))
        sheet.area([((lon + 180) / 180, (lat + 90) / 180) for lon, lat in outline], tone)
    sheet.bar((0, 0), (2, 0.1), (0.93, 0.95, 0.97))
    return sheet.pixels(8)


def rug(colours: Sequence[Colour], count: int) -> Picture:
    """Zigzag bands, as on a balloon."""
    columns, rows = np.meshgrid(np.arange(WIDTH) / WIDTH, np.arange(HEIGHT) / HEIGHT)
    zigzag = np.abs(columns * 12 % 2 - 1) * 0.6 / count
    return finished(np.asarray(colours)[((rows + zigzag) * count).astype(int) % len(colours)], 9)
