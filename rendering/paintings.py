"""Procedural paintings: coloured pictures with structure everywhere, made from a seed without any file.

An alignment method needs content that tells every place from every other: no flat areas, no repetition, edges of many
sizes. Each family draws its own kind of structure; a fine unrepeated grain is laid over all of them, so that no part of
a picture is flat. Sizes are relative to the picture, so a seed shows the same painting at any resolution, apart from
detail. scikit-image's and the user's pictures are in `pictures.py`.
"""

from __future__ import annotations

import colorsys
import math
import random
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Field = npt.NDArray[np.float32]
Polygon = list[tuple[float, float]]

GRAIN = 0.14
"""Contrast of the grain over all paintings: standard deviation of the brightness factor."""


def paint(family: str, seed: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """A painting (height, width, 3), sRGB, 8 bit.

    Args:
        family: one of `FAMILIES`.
        seed: two seeds make two paintings.
        width: width in pixels.
        height: height in pixels.
    """
    rng = random.Random(seed)
    noise = np.random.Generator(np.random.PCG64(seed))
    picture = FAMILIES[family](rng, noise, width, height).astype(np.float32)
    picture *= 1.0 + GRAIN * _fractal(noise, width, height, cells=9, octaves=4, gain=0.8)[..., None]
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def _smooth_noise(noise: np.random.Generator, width: int, height: int, cells: float) -> Field:
    """Noise (height, width), mean 0 and standard deviation about 1, with `cells` bumps along the height."""
    rows, columns = max(2, round(cells)) + 1, max(2, round(cells * width / height)) + 1
    grid = Image.fromarray(noise.random((rows, columns), dtype=np.float32) * 2 - 1)
    # The standard deviation of uniform noise is 0.58 of its bound, of which the interpolation leaves about 0.7.
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)) * np.float32(2.4)


def _fractal(noise: np.random.Generator, width: int, height: int, cells: float, octaves: int, gain: float) -> Field:
    """Octaves of smooth noise, each twice as fine and `gain` as strong; mean 0, standard deviation about 1."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        # 2.1 instead of 2 keeps the octaves' grids from falling together.
        total += np.float32(gain**octave) * _smooth_noise(noise, width, height, cells * 2.1**octave)
    return total / np.float32(math.sqrt(sum(gain ** (2 * octave) for octave in range(octaves))))


def _palette(rng: random.Random, colours: int) -> Field:
    """Colours (colours, 3) in 0 to 255: related hues, lightness spread evenly so that neighbours differ."""
    base, spread = rng.random(), 0.1 + 0.5 * rng.random()
    lightness = sorted(((number + 0.5) / colours for number in range(colours)), key=lambda _: rng.random())
    rows = []
    for value in lightness:
        hue = (base + spread * (rng.random() - 0.5) + (0.5 if rng.random() < 0.25 else 0.0)) % 1.0
        rows.append(colorsys.hls_to_rgb(hue, 0.12 + 0.76 * value, 0.35 + 0.6 * rng.random()))
    return np.asarray(rows, np.float32) * 255


def _ink(colour: Field) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour)
    return red, green, blue


def _gradient_map(field: Field, palette: Field) -> Field:
    """Colours (H, W, 3) along the palette for a field in [0, 1]."""
    steps = np.linspace(0, len(palette) - 1, 512)
    table = np.stack([np.interp(steps, np.arange(len(palette)), palette[:, channel]) for channel in range(3)], axis=1)
    return table.astype(np.float32)[np.clip(field * 511, 0, 511).astype(np.int32)]


def _marble(rng: random.Random, noise: np.random.Generator, width: int, height: int) -> Field:
    """Veins: fractal noise, read at places that other noise has shifted, folded into bands of colour."""
    field = _fractal(noise, width, height, cells=3, octaves=5, gain=0.55)
    shift = [_fractal(noise, width, height, cells=3, octaves=2, gain=0.5) * (0.08 * height) for _ in range(2)]
    rows, columns = np.indices((height, width), dtype=np.float32)
    rows = np.clip(rows + shift[0], 0, height - 1).astype(np.int32)
    columns = np.clip(columns + shift[1], 0, width - 1).astype(np.int32)
    folded = np.abs((field[rows, columns] * rng.uniform(0.5, 1.0)) % 2 - 1)
    return _gradient_map(folded, _palette(rng, 7))


def _strokes(rng: random.Random, noise: np.random.Generator, width: int, height: int) -> Field:
    """Brush strokes along a smooth direction field, broad ones first."""
    palette = _palette(rng, 8)
    ground = _gradient_map(_smooth_noise(noise, width, height, 3) * 0.25 + 0.5, palette)
    canvas = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    angles = np.asarray(_smooth_noise(noise, 32, 32, 3)) * 1.5
    for breadth, strokes in ((0.06, 90), (0.03, 220), (0.014, 320)):
        for _ in range(strokes):
            x, y = rng.random(), rng.random()
            ink = _ink(palette[int(rng.random() * len(palette))] * rng.uniform(0.8, 1.1))
            points = [(x * width, y * height)]
            for _ in range(4):
                angle = float(angles[int(np.clip(y * 32, 0, 31)), int(np.clip(x * 32, 0, 31))])
                x, y = x + breadth * math.cos(angle) * height / width, y + breadth * math.sin(angle)
                points.append((x * width, y * height))
            draw.line(points, fill=ink, width=max(1, round(breadth * height * rng.uniform(0.4, 1.0))), joint="curve")
    return np.asarray(canvas, np.float32)


def _mosaic(rng: random.Random, noise: np.random.Generator, width: int, height: int) -> Field:
    """Shards of glass: the picture is cut by random lines again and again, each piece gets a colour and a dark edge."""
    palette = _palette(rng, 9)
    pieces: list[Polygon] = [[(0, 0), (width, 0), (width, height), (0, height)]]
    finished: list[Polygon] = []
    while pieces:
        piece = pieces.pop()
        share = _area(piece) / (width * height)
        if share < 0.0015 or (share < 0.02 and rng.random() < 0.15):
            finished.append(piece)
        else:
            pieces.extend(_cut(rng, piece))
    canvas = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(canvas)
    for piece in finished:
        ink = _ink(palette[int(rng.random() * len(palette))] * rng.uniform(0.75, 1.15))
        draw.polygon(piece, fill=ink)
        draw.line([*piece, piece[0]], fill=(24, 22, 20), width=max(1, round(0.005 * height)))
    light = 1 + 0.2 * _smooth_noise(noise, width, height, 4)
    return np.asarray(canvas, np.float32) * light[..., None]


def _area(polygon: Polygon) -> float:
    following = [*polygon[1:], polygon[0]]
    return abs(sum(x * b - a * y for (x, y), (a, b) in zip(polygon, following, strict=True))) / 2


def _cut(rng: random.Random, polygon: Polygon) -> list[Polygon]:
    """Both parts of a convex polygon beside a line through about its middle, across its longer extent."""
    xs, ys = [x for x, _ in polygon], [y for _, y in polygon]
    wide = max(xs) - min(xs) > max(ys) - min(ys)
    angle = (0.0 if wide else math.pi / 2) + rng.uniform(-0.6, 0.6)
    normal = math.cos(angle), math.sin(angle)
    middle = sum(xs) / len(xs), sum(ys) / len(ys)
    reach = 0.15 * min(max(xs) - min(xs), max(ys) - min(ys))
    offset = normal[0] * middle[0] + normal[1] * middle[1] + rng.uniform(-reach, reach)
    parts: tuple[Polygon, Polygon] = ([], [])
    for (x, y), (a, b) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        here, there = normal[0] * x + normal[1] * y - offset, normal[0] * a + normal[1] * b - offset
        parts[here > 0].append((x, y))
        if (here > 0) != (there > 0):
            share = here / (here - there)
            crossing = (x + share * (a - x), y + share * (b - y))
            parts[0].append(crossing)
            parts[1].append(crossing)
    return [part for part in parts if len(part) >= 3]


def _landscape(rng: random.Random, noise: np.random.Generator, width: int, height: int) -> Field:
    """A sky with clouds and a sun, ridges one before the other, trees on them."""
    sky = _palette(rng, 5)
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    clouds = _fractal(noise, width, height, cells=5, octaves=3, gain=0.6)
    canvas = Image.fromarray(_gradient_map(rows * 0.9 + 0.18 * clouds, sky).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    x, y, radius = rng.uniform(0.1, 0.9) * width, rng.uniform(0.08, 0.3) * height, rng.uniform(0.03, 0.08) * height
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(250, 236, 190))
    ground = _palette(rng, 6)
    columns = np.arange(width)
    for layer in range(6):
        ridge = (0.3 + 0.12 * layer + 0.04 * _fractal(noise, width, 2, 0.05, 1, 0.5)[0] / 2) * height
        ridge = ridge + 0.05 * height * np.interp(columns, np.linspace(0, width, 24), noise.random(24) - 0.5)
        ink = ground[layer]
        draw.polygon(
            [(0, height), *zip(columns.tolist(), ridge.tolist(), strict=True), (width, height)], fill=_ink(ink)
        )
        for _ in range(26):
            column = int(rng.random() * width)
            foot, tall = float(ridge[column]) + rng.uniform(0, 0.1) * height, rng.uniform(0.02, 0.09) * height
            broad = tall * rng.uniform(0.2, 0.7)
            shade = _ink(ground[int(rng.random() * 6)] * rng.uniform(0.5, 1.0))
            tree = [(column - broad, foot), (column, foot - tall), (column + broad, foot)]
            draw.polygon(tree, fill=shade)
    return np.asarray(canvas, np.float32)


def _poster(rng: random.Random, noise: np.random.Generator, width: int, height: int) -> Field:
    """Discs, rings, bars, triangles and rows of letter-like marks over a soft ground."""
    palette = _palette(rng, 9)
    ground = _gradient_map(_fractal(noise, width, height, 3, 3, 0.5) * 0.22 + 0.5, palette[:4])
    canvas = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    for number in range(150):
        reach = height * (0.16 * 0.985**number) * rng.uniform(0.5, 1.0)
        x, y = rng.random() * width, rng.random() * height
        ink = _ink(palette[int(rng.random() * 9)] * rng.uniform(0.8, 1.1))
        box = (x - reach, y - reach, x + reach, y + reach)
        match int(rng.random() * 5):
            case 0:
                draw.ellipse(box, fill=ink)
            case 1:
                draw.ellipse(box, outline=ink, width=max(1, round(0.25 * reach)))
            case 2:
                turn = rng.random() * 360
                draw.pieslice(box, turn, turn + rng.uniform(60, 250), fill=ink)
            case 3:
                corners = [rng.random() * math.tau for _ in range(4)]
                draw.polygon([(x + reach * math.cos(each), y + reach * math.sin(each)) for each in corners], fill=ink)
            case _:
                _marks(rng, draw, x, y, reach, ink)
    return np.asarray(canvas, np.float32)


def _marks(
    rng: random.Random, draw: ImageDraw.ImageDraw, x: float, y: float, reach: float, ink: tuple[int, int, int]
) -> None:
    """A row of marks like handwriting, from (x, y) to the right."""
    tall = 0.35 * reach
    for letter in range(6):
        left = x + letter * 0.8 * tall
        points = [(left + rng.random() * 0.6 * tall, y + rng.random() * tall) for _ in range(4)]
        draw.line(points, fill=ink, width=max(1, round(0.16 * tall)))


FAMILIES: dict[str, Callable[[random.Random, np.random.Generator, int, int], Field]] = {
    "landscape": _landscape,
    "marble": _marble,
    "mosaic": _mosaic,
    "poster": _poster,
    "strokes": _strokes,
}
"""The kinds of paintings."""
