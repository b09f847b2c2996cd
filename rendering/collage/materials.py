"""What pieces are cut from: square pictures, made from a seed or taken from a picture file, and kept by the process.

A material is decided by its `MaterialSpec` alone, so what a process has kept never shows in a scene's bytes.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ...methods.errors import InputError
from ..paintings import FAMILIES, paint
from ..parallax.scenes import SurfaceSpec
from ..parallax.surfaces import PATTERNS, surface_picture
from ..pictures import bundled_folder, load_part
from ..streams import choice, stream, uniform
from .config import CollageConfig
from .scenes import MaterialSpec

SIDE = 448
"""Width and height of a material, in texels."""
KEPT = 512
"""Materials that a process keeps, about 1 MiB each with its reductions."""
REDUCTIONS = 4
"""How often a material is halved, for pieces on which it lies fine."""

Pixels = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]

GROUPS = (
    *("painting", "painting", "pattern", "pattern", "pattern", "noise", "noise", "noise", "gradient", "gradient"),
    *("windows", "stripes"),
)
"""Kinds of made materials; each is drawn as often as it stands here."""


def draw_material(config: CollageConfig, seed: int, split: str, number: int, pictures: list[str]) -> MaterialSpec:
    """Material `number` of the pool of a split of the dataset with this seed.

    Args:
        config: what a scene may look like.
        seed: the dataset's seed.
        split: name of the split.
        number: place in the pool.
        pictures: names of the split's picture files.
    """
    rng = stream("collage", seed, number, "material", split)
    own = int(rng.random() * 2**52)
    if pictures and rng.random() < config.picture_share:
        crop = (uniform(rng, config.picture_crop), rng.random(), rng.random())
        return MaterialSpec("picture", own, choice(rng, pictures), crop)
    group = choice(rng, GROUPS)
    families = {"painting": tuple(FAMILIES), "pattern": tuple(PATTERNS)}.get(group, (group,))
    return MaterialSpec(choice(rng, families), own)


@functools.lru_cache(maxsize=KEPT)
def material_pictures(spec: MaterialSpec, folder: str | None) -> tuple[Pixels, ...]:
    """The material (SIDE, SIDE, 3), sRGB, 8 bit, followed by its reductions to a half, a quarter and so on.

    Args:
        spec: the material.
        folder: the folder of the user's pictures; None for scikit-image's.

    Raises:
        InputError: the picture is not there.
    """
    levels = [_material(spec, folder)]
    for _ in range(REDUCTIONS):
        side = levels[-1].shape[0] // 2
        levels.append(np.asarray(cv2.resize(levels[-1], (side, side), interpolation=cv2.INTER_AREA), np.uint8))
    return tuple(levels)


def _material(spec: MaterialSpec, folder: str | None) -> Pixels:
    if spec.family == "picture":
        root = Path(folder) if folder is not None else bundled_folder()
        if not (root / spec.picture).is_file():
            raise InputError(f"--textures: the render process does not see {root / spec.picture}")
        return np.asarray(load_part(root / spec.picture, spec.crop, SIDE, SIDE).convert("RGB"), np.uint8)
    if spec.family in FAMILIES:
        return paint(spec.family, spec.seed, SIDE, SIDE)
    rng = random.Random(spec.seed)
    if spec.family in PATTERNS:
        side = uniform(rng, (1.2, 3.0))
        tint = (uniform(rng, (0.5, 1.0)), uniform(rng, (0.5, 1.0)), uniform(rng, (0.5, 1.0)))
        return surface_picture(SurfaceSpec(spec.family, spec.seed, (side, side), False, tint, 0.5), SIDE, SIDE)
    return np.clip(_MADE[spec.family](rng) * 255 + 0.5, 0, 255).astype(np.uint8)


def _noise_of(rng: random.Random) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(int(rng.random() * 2**52)))


def coloured_noise(rng: random.Random, power: float) -> Field:
    """Noise (SIDE, SIDE, 3), each channel of deviation 1, whose amplitude falls with the frequency to a power."""
    noise = _noise_of(rng)
    rows, columns = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]
    stretch = math.exp(uniform(rng, (-0.8, 0.8)))
    frequency = np.sqrt(rows * rows * stretch + columns * columns / stretch)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(noise.standard_normal((3, SIDE, SIDE), np.float32))
    channels = np.fft.irfft2(spectrum * frequency**-power, (SIDE, SIDE))
    channels /= channels.std(axis=(1, 2), keepdims=True)
    # Grey varies most in natural pictures: common to all channels, and a part of its own for each.
    own = uniform(rng, (0.0, 0.6))
    mixed = channels[:1] * math.sqrt(1 - own * own) + channels * own
    return np.ascontiguousarray(mixed.transpose(1, 2, 0), np.float32)


def _colour(rng: random.Random) -> Field:
    """Any brightness, and seldom much of a hue."""
    grey, strength = uniform(rng, (0.1, 0.9)), 0.4 * rng.random() ** 2
    return np.array([grey + uniform(rng, (-strength, strength)) for _ in range(3)], np.float32)


def _clouds(rng: random.Random) -> Field:
    """Noise of an amplitude of 1/f, more or less."""
    return _colour(rng) + np.float32(uniform(rng, (0.06, 0.24))) * coloured_noise(rng, uniform(rng, (0.6, 1.6)))


def _gradient(rng: random.Random) -> Field:
    """Nearly one colour, slowly changing, with a trace of noise: sky, walls, skin."""
    ramp = np.linspace(-1, 1, SIDE, dtype=np.float32)
    slopes = [np.float32(uniform(rng, (-0.18, 0.18))) for _ in range(3)]
    field = ramp[:, None] * slopes[0] + ramp[None] * slopes[1] + ramp[:, None] * ramp[None] * slopes[2]
    trace = np.float32(uniform(rng, (0.0, 0.03))) * coloured_noise(rng, uniform(rng, (0.2, 1.2)))
    return _colour(rng) + field[..., None] * (0.6 + 0.8 * _colour(rng)) + trace


def _windows(rng: random.Random) -> Field:
    """Rows of framed panes on a wall, each pane of its own brightness."""
    noise = _noise_of(rng)
    rows, columns = (4 + int(rng.random() * 8) for _ in range(2))
    y, x = (np.linspace(0, number, SIDE, endpoint=False, dtype=np.float32) for number in (rows, columns))
    reach = [uniform(rng, (0.22, 0.42)) for _ in range(2)]
    frame = uniform(rng, (0.03, 0.08))
    away = [np.abs(y % 1 - 0.5) - reach[0], np.abs(x % 1 - 0.5) - reach[1]]
    edge = np.maximum(away[0][:, None], away[1][None])
    cross = np.minimum(np.abs(y % 1 - 0.5)[:, None], np.abs(x % 1 - 0.5)[None]) < 0.5 * frame
    shade = noise.random((rows, columns), np.float32)[y.astype(int)[:, None], x.astype(int)[None]]
    wall = _colour(rng) + np.float32(0.05) * coloured_noise(rng, 0.9)
    pane = _colour(rng) * (0.4 + 0.8 * shade[..., None]) + 0.1 * (y % 1)[:, None, None]
    picture = np.where((edge < 0)[..., None], pane, wall)
    return np.where(((np.abs(edge) < frame) | ((edge < 0) & cross))[..., None], _colour(rng), picture)


def _stripes(rng: random.Random) -> Field:
    """Stripes of uneven widths in a few colours, slightly waved."""
    colours = np.stack([_colour(rng) for _ in range(2 + int(rng.random() * 4))])
    noise = coloured_noise(rng, 1.6)[..., 0]
    number = 6 + int(rng.random() * 30)
    ramp = np.linspace(0, number, SIDE, endpoint=False, dtype=np.float32)[None]
    place = ramp + np.float32(uniform(rng, (0.0, 0.35))) * noise
    widths = np.sort(_noise_of(rng).random(len(colours) - 1, np.float32))
    picture = colours[np.searchsorted(widths, place % 1)]
    return picture + np.float32(uniform(rng, (0.0, 0.05))) * coloured_noise(rng, 0.8)


_MADE: dict[str, Callable[[random.Random], Field]] = {
    "noise": _clouds, "gradient": _gradient, "windows": _windows, "stripes": _stripes,
}  # fmt: skip
