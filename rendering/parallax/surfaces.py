"""What walls, floors and things are covered with: patterns made from a seed, in the manner of `paintings.py`.

An alignment method needs structure everywhere, and a person must recognise what he sees. So each pattern is a real
material's, with strong variation from piece to piece, and all but paintings join seamlessly at their edges. Sizes are
in metres, so a seed shows the same wall at any resolution, apart from detail.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..paintings import FAMILIES, paint
from .scenes import SurfaceSpec

Field = npt.NDArray[Any]
"""Numbers (height, width), float32."""


class Canvas:
    """A tile to paint: where each texel lies, in metres, and noise that joins at the edges."""

    def __init__(self, spec: SurfaceSpec, width: int, height: int) -> None:
        self.rng, self.noise = random.Random(spec.seed), np.random.Generator(np.random.PCG64(spec.seed))
        self.wide, self.high = spec.tile
        self.width, self.height = width, height
        columns = (np.arange(width, dtype=np.float32) + np.float32(0.5)) / np.float32(width)
        rows = (np.arange(height, dtype=np.float32) + np.float32(0.5)) / np.float32(height)
        self.x, self.y = np.broadcast_to(columns, (height, width)), np.broadcast_to(rows[:, None], (height, width))

    def cells(self, size: float, extent: float) -> int:
        """How many pieces of a size go into an extent."""
        return max(1, round(extent / size))

    def smooth(self, across: float, along: float) -> Field:
        """Noise (height, width) of deviation about 1, with bumps of a size in metres."""
        # Bumps finer than two texels would be grain of the texel's size instead of the material's.
        columns = min(max(2, round(self.wide / across)), max(2, self.width // 2))
        rows = min(max(2, round(self.high / along)), max(2, self.height // 2))
        grid = (self.noise.random((rows, columns), dtype=np.float32) * 2 - 1) * np.float32(2.4)
        return _interpolate(_interpolate(grid, self.height, 0), self.width, 1)

    def fractal(self, size: float, octaves: int = 4, gain: float = 0.7) -> Field:
        """Octaves of noise from a size on, each half as large and `gain` as strong; deviation about 1."""
        total, power = np.zeros((self.height, self.width), np.float32), 0.0
        for octave in range(octaves):
            total += np.float32(gain**octave) * self.smooth(size / 2**octave, size / 2**octave)
            power += gain ** (2 * octave)
        return total / np.float32(power**0.5)

    def shades(self, rows: Field, columns: Field, spread: float) -> Field:
        """Brightness factors by piece: `rows` and `columns` (height, width) number the pieces."""
        table = 1 + spread * (self.noise.random(4096, dtype=np.float32) * 2 - 1)
        return table[(rows.astype(np.int64) * 131 + columns.astype(np.int64) * 17) % 4096]


def _interpolate(grid: Field, size: int, axis: int) -> Field:
    """A periodic grid, spread smoothly over `size` texels along an axis."""
    count = grid.shape[axis]
    place = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(count / size)
    first = place.astype(np.int64)
    share = place - first
    share = share * share * (3 - 2 * share)
    shape = (size, 1) if axis == 0 else (1, size)
    weight = share.reshape(shape)
    lower, upper = grid.take(first % count, axis), grid.take((first + 1) % count, axis)
    return lower + (upper - lower) * weight


def _colour(brightness: Field, warm: Field | float = 0.0) -> Field:
    """Brightness 0 to 1 as sRGB values (height, width, 3); `warm` moves them from blue to red."""
    red, green, blue = brightness * (1 + 0.5 * warm), brightness, brightness * (1 - 0.5 * warm)
    return np.stack([red, green, blue], axis=2)


def _bonded(canvas: Canvas, brick: tuple[float, float], gap: float) -> tuple[Field, Field]:
    """Brightness of bricks in a running bond, and a mask of the joints between them."""
    rows = 2 * canvas.cells(2 * brick[1], canvas.high)
    columns = canvas.cells(brick[0], canvas.wide)
    row = np.floor(canvas.y * rows)
    across = canvas.x * columns + 0.5 * (row % 2)
    column = np.floor(across) % columns
    from_side = np.minimum(across % 1, 1 - across % 1) * (canvas.wide / columns)
    from_edge = np.minimum(canvas.y * rows % 1, 1 - canvas.y * rows % 1) * (canvas.high / rows)
    joint = (np.minimum(from_side, from_edge) < gap / 2).astype(np.float32)
    return canvas.shades(row, column, 0.3), joint


def _brick(canvas: Canvas) -> Field:
    """Bricks of many tones with pale joints."""
    size = canvas.rng.uniform(0.9, 1.5)
    shade, joint = _bonded(canvas, (0.26 * size, 0.09 * size), 0.018 * size)
    rough = canvas.fractal(0.5)
    body = 0.78 * shade * (1 + 0.11 * rough)
    return _colour(body + joint * (0.85 + 0.06 * rough - body), 0.12 * (1 - joint))


def _stone(canvas: Canvas) -> Field:
    """Large hewn blocks with dark joints."""
    size = canvas.rng.uniform(0.8, 1.4)
    shade, joint = _bonded(canvas, (0.75 * size, 0.38 * size), 0.03 * size)
    body = 0.8 * shade * (1 + 0.13 * canvas.fractal(0.6, 5, 0.8))
    return _colour(body * (1 - 0.55 * joint), 0.05 * canvas.smooth(0.9, 0.9))


def _planks(canvas: Canvas) -> Field:
    """Boards across the tile, staggered, with grain and dark gaps."""
    rows, columns = 2 * canvas.cells(0.26, canvas.high), canvas.cells(1.3, canvas.wide)
    row = np.floor(canvas.y * rows)
    across = canvas.x * columns + 0.37 * (row % 2)
    column = np.floor(across) % columns
    edge = np.minimum(canvas.y * rows % 1, 1 - canvas.y * rows % 1) * (canvas.high / rows)
    end = np.minimum(across % 1, 1 - across % 1) * (canvas.wide / columns)
    gap = (np.minimum(edge, end) < 0.006).astype(np.float32)
    grain = 0.1 * canvas.smooth(0.5, 0.025) + 0.08 * canvas.smooth(0.9, 0.07) + 0.05 * canvas.fractal(0.3)
    return _colour(0.78 * canvas.shades(row, column, 0.28) * (1 + grain) * (1 - 0.6 * gap), 0.1 + 0.05 * grain)


def _wood(canvas: Canvas) -> Field:
    """Grain along the tile, in bands."""
    bend = canvas.smooth(0.5, 0.5)
    rings = np.abs((canvas.y * canvas.high * canvas.rng.uniform(9, 16) + 0.7 * bend) % 2 - 1)
    fine = 0.1 * canvas.smooth(0.35, 0.012) + 0.09 * canvas.fractal(0.4)
    return _colour(0.62 + 0.26 * rings * (1 + 0.3 * bend) + fine, 0.12)


def _tiles(canvas: Canvas) -> Field:
    """Square tiles, some of a second colour, with joints."""
    side = canvas.rng.uniform(0.18, 0.42)
    rows, columns = 2 * canvas.cells(2 * side, canvas.high), 2 * canvas.cells(2 * side, canvas.wide)
    row, column = np.floor(canvas.y * rows), np.floor(canvas.x * columns)
    edge = np.minimum(canvas.y * rows % 1, 1 - canvas.y * rows % 1) * (canvas.high / rows)
    end = np.minimum(canvas.x * columns % 1, 1 - canvas.x * columns % 1) * (canvas.wide / columns)
    joint = (np.minimum(edge, end) < 0.008).astype(np.float32)
    chequer = (row + column) % 2 * canvas.rng.choice((0.0, 0.35))
    body = 0.85 * canvas.shades(row, column, 0.16) * (1 - chequer) * (1 + 0.08 * canvas.fractal(0.3))
    return _colour(body + joint * (0.5 - body), 0.06 * canvas.shades(column, row, 1.0))


def _plaster(canvas: Canvas) -> Field:
    """Painted plaster: clouds, stains that run down, and speckles."""
    stains = np.maximum(canvas.smooth(0.35, 1.6), 0.0)
    speckle = canvas.smooth(0.05, 0.05)
    return _colour(0.86 + 0.06 * canvas.fractal(1.1, 5, 0.75) - 0.05 * stains + 0.035 * speckle, 0.03 * stains)


def _concrete(canvas: Canvas) -> Field:
    """Slabs with seams, clouds and pores."""
    rows, columns = canvas.cells(1.0, canvas.high), canvas.cells(1.0, canvas.wide)
    edge = np.minimum(canvas.y * rows % 1, 1 - canvas.y * rows % 1) * (canvas.high / rows)
    end = np.minimum(canvas.x * columns % 1, 1 - canvas.x * columns % 1) * (canvas.wide / columns)
    seam = (np.minimum(edge, end) < 0.02).astype(np.float32)
    pores = (canvas.smooth(0.07, 0.07) > 1.5).astype(np.float32)
    shade = canvas.shades(np.floor(canvas.y * rows), np.floor(canvas.x * columns), 0.12)
    return _colour(0.74 * shade * (1 + 0.12 * canvas.fractal(0.8, 5)) * (1 - 0.45 * seam) * (1 - 0.25 * pores))


def _shingles(canvas: Canvas) -> Field:
    """Rows of roof tiles, each darker at its lower edge."""
    shade, _ = _bonded(canvas, (0.3, 0.28), 0.0)
    rows = 2 * canvas.cells(0.56, canvas.high)
    down = canvas.y * rows % 1
    return _colour(0.72 * shade * (0.55 + 0.55 * down) * (1 + 0.1 * canvas.fractal(0.4)), 0.1)


def _asphalt(canvas: Canvas) -> Field:
    """Speckles, patches of repair and dark lines of cracks."""
    patch = (canvas.smooth(1.8, 1.8) > 0.9).astype(np.float32)
    crack = (np.abs(canvas.fractal(1.2, 3)) < 0.035).astype(np.float32)
    speckle = 0.1 * canvas.smooth(0.05, 0.05) + 0.09 * canvas.smooth(0.12, 0.12) + 0.08 * canvas.fractal(1.0)
    return _colour((0.6 - 0.12 * patch) * (1 + speckle) * (1 - 0.4 * crack))


def _grass(canvas: Canvas) -> Field:
    """Tufts and bare places."""
    tufts = 0.2 * canvas.smooth(0.06, 0.12) + 0.14 * canvas.smooth(0.16, 0.2) + 0.16 * canvas.fractal(1.2)
    return np.clip(0.66 + tufts, 0.1, 1)[..., None] * np.array([0.62, 0.86, 0.34], np.float32)


def _leaves(canvas: Canvas) -> Field:
    """Foliage: bright leaves before dark gaps."""
    clumps = 0.24 * canvas.smooth(0.055, 0.055) + 0.14 * canvas.smooth(0.14, 0.14)
    bright = np.clip(0.58 + clumps + 0.14 * canvas.smooth(0.025, 0.025), 0.08, 1)
    return _colour(bright, 0.12 * canvas.smooth(0.3, 0.3)) * np.array([0.66, 0.92, 0.4], np.float32)


def _bark(canvas: Canvas) -> Field:
    """Furrows along the trunk."""
    return _colour(0.6 + 0.17 * canvas.smooth(0.05, 0.35) + 0.1 * canvas.fractal(0.3), 0.1)


def _fabric(canvas: Canvas) -> Field:
    """A woven check: stripes of random widths both ways."""
    bands = []
    for along in (canvas.x, canvas.y):
        table = canvas.noise.random(12, dtype=np.float32)
        stripes = table[np.floor(along * 24).astype(np.int64) % 12]
        bands.append(stripes)
    check = 0.45 + 0.24 * bands[0] + 0.24 * bands[1] + 0.05 * canvas.smooth(0.03, 0.03) + 0.04 * canvas.fractal(0.4)
    return _colour(check, 0.5 * (bands[0] - bands[1]))


def _carpet(canvas: Canvas) -> Field:
    """A rug: borders, diamonds and pile."""
    rim = np.minimum(np.minimum(canvas.x, 1 - canvas.x), np.minimum(canvas.y, 1 - canvas.y))
    count = canvas.rng.choice((3, 4, 5))
    diamond = np.abs(canvas.x * count % 1 - 0.5) + np.abs(canvas.y * count % 1 - 0.5)
    tone = 0.6 + 0.28 * (diamond < 0.3) - 0.22 * (np.abs(diamond - 0.42) < 0.05)
    tone = np.where(rim < 0.12, 0.4 + 0.35 * (np.floor((canvas.x + canvas.y) * 24) % 2), tone)
    tone = np.where(rim < 0.03, 0.8, tone).astype(np.float32)
    pile = 1 + 0.1 * canvas.smooth(0.05, 0.05) + 0.06 * canvas.fractal(0.5)
    return _colour(tone * pile, 0.5 * (diamond < 0.3).astype(np.float32) - 0.15)


def _wallpaper(canvas: Canvas) -> Field:
    """Stripes and blossoms over clouds."""
    count = canvas.cells(canvas.rng.uniform(0.3, 0.6), canvas.wide)
    rows = canvas.cells(canvas.wide / count, canvas.high)
    across, along = canvas.x * count % 1 - 0.5, (canvas.y * rows + 0.5 * (np.floor(canvas.x * count) % 2)) % 1 - 0.5
    radius = across * across + along * along
    petals = (radius < 0.05 + 0.03 * np.sign(across * along)) & (radius > 0.008)
    stripe = np.abs(np.abs(across) - 0.42) < 0.04
    tone = 0.84 - 0.2 * petals - 0.12 * stripe + 0.06 * canvas.fractal(0.9, 5, 0.8) + 0.02 * canvas.smooth(0.04, 0.04)
    return _colour(tone.astype(np.float32), (0.25 * petals).astype(np.float32))


def _paint(canvas: Canvas) -> Field:
    """Painted metal or board: dust, scratches and wear."""
    scratch = (canvas.smooth(0.8, 0.02) > 1.7).astype(np.float32)
    return _colour(0.8 + 0.09 * canvas.fractal(0.6, 5, 0.8) - 0.05 * scratch)


def _pane(canvas: Canvas) -> Field:
    """A window pane: what the sky and the houses opposite leave in it, a curtain behind."""
    sky = 0.62 - 0.35 * canvas.y + 0.13 * canvas.fractal(0.9, 5, 0.7)
    roofs = (canvas.y > 0.55 + 0.1 * canvas.smooth(0.5, 9.0)).astype(np.float32)
    curtain = canvas.x < canvas.rng.uniform(0.0, 0.5)
    folds = 0.62 + 0.1 * canvas.smooth(0.07, 9.0)
    tone = np.where(curtain, folds, sky - 0.12 * roofs).astype(np.float32)
    return _colour(tone, np.where(curtain, 0.08, -0.22).astype(np.float32))


PATTERNS: dict[str, Callable[[Canvas], Field]] = {
    "asphalt": _asphalt, "bark": _bark, "brick": _brick, "carpet": _carpet, "concrete": _concrete,
    "fabric": _fabric, "grass": _grass, "leaves": _leaves, "paint": _paint, "pane": _pane, "planks": _planks,
    "plaster": _plaster, "shingles": _shingles, "stone": _stone, "tiles": _tiles, "wallpaper": _wallpaper,
    "wood": _wood,
}  # fmt: skip
"""The kinds of surfaces, beside the families of `paintings.py`."""


def seamless(family: str) -> bool:
    """Whether tiles of a family join at their edges; paintings have to be mirrored."""
    return family not in FAMILIES


def surface_picture(spec: SurfaceSpec, width: int, height: int) -> npt.NDArray[np.uint8]:
    """One tile of a surface (height, width, 3), sRGB, 8 bit."""
    if spec.family in FAMILIES:
        picture: Field = paint(spec.family, spec.seed, width, height).astype(np.float32)
    else:
        picture = 255 * PATTERNS[spec.family](Canvas(spec, width, height))
    return np.clip(picture * np.asarray(spec.tint, np.float32) + 0.5, 0, 255).astype(np.uint8)
