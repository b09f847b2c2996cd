"""From the light that the renderer gives to a photograph: distortion, reflexes of the flash, lids, blur, noise.

Light is linear; 1 is full scale once it is exposed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..exposure import MIDDLE_GREY, Light, frame_gain, metered_gain, to_srgb
from .lids import Shade
from .maps import bilinear
from .optics import Array, grid, straighten
from .scenes import FilmSpec, ShotSpec
from .truth import Truth

Gains = tuple[float, float, float]
"""Factors of red, green and blue."""

FINER = 2
"""Rendered pixels along a pixel of the photograph."""
WIDE_LEVEL = 1.5
"""Brightness of an ultra-widefield picture's red light over middle grey: its makers' pictures are orange."""
MARGIN = 4
"""Rendered pixels beyond those that are needed."""


@dataclass(frozen=True)
class Window:
    """The part of the plane at depth 1 that a pinhole camera renders for a photograph."""

    width: int
    height: int
    focal: float
    """Rendered pixels for one unit of the plane."""
    centre: tuple[float, float]
    """Rendered pixel of the line of sight."""


def window(shot: ShotSpec, pixels: Array) -> Window:
    """The smallest window around pixels (N, 2) of a photograph."""
    focal = FINER * shot.focal
    plane = straighten(shot, pixels) * focal
    low, high = np.floor(plane.min(axis=0)) - MARGIN, np.ceil(plane.max(axis=0)) + MARGIN
    width, height = (high - low + 1).astype(int).tolist()
    return Window(width, height, focal, (float(-low[0]), float(-low[1])))


def through_lens(light: Light, part: Window, shot: ShotSpec, width: int, height: int) -> Light:
    """The rendered light (h, w, 3) as it falls onto the photograph (height, width, 3); each pixel takes a mean."""
    total = np.zeros((height, width, 3), np.float32)
    steps = [(number + 0.5) / FINER - 0.5 for number in range(FINER)]
    for across in steps:
        for along in steps:
            place = straighten(shot, grid(width, height) + np.array([across, along])) * part.focal
            total += bilinear(light, place[..., 0] + part.centre[0], place[..., 1] + part.centre[1])
    return total / np.float32(FINER * FINER)


def field_cover(shot: ShotSpec, width: int, height: int) -> npt.NDArray[np.float32]:
    """Share (H, W) of each pixel that the field stop leaves open, about."""
    place = (grid(width, height) - np.array(shot.centre)) / np.array(shot.stop)
    radius = np.sqrt((place * place).sum(axis=2))
    # The distance to an ellipse, to first order.
    slope = np.sqrt(((place / np.array(shot.stop)) ** 2).sum(axis=2)) / np.maximum(radius, 1e-9)
    return np.clip((1 - radius) / np.maximum(slope, 1e-9) + 0.5, 0, 1).astype(np.float32)


def gains_of(light: Light, film: FilmSpec) -> Gains:
    """The exposure of a photograph, from the light (N, 1, 3) within its field."""
    if not film.green:
        gain = frame_gain(light, "metered", film.exposure_shift)
        return gain * film.tint[0], gain * film.tint[1], gain * film.tint[2]
    # Two lasers, each metered by itself; there is no blue one.
    red, green = (metered_gain(np.repeat(light[..., channel, None], 3, axis=2)) for channel in range(2))
    shift = WIDE_LEVEL * 2.0**film.exposure_shift
    return red * shift * film.tint[0], green * shift * film.green * film.tint[1], 0.0


def develop(light: Light, gains: Gains, shot: ShotSpec, shade: Shade) -> npt.NDArray[np.uint8]:
    """The photograph (H, W, 3), 8-bit sRGB, of the light (H, W, 3) that falls onto its film."""
    height, width = light.shape[:2]
    exposed = _exposed(light, gains, shot.film) + _stray(shot, grid(width, height))
    seen = blurred(exposed, shot.film.blur) * (1 - shade.taken)[..., None] + shade.added
    grain = np.random.Generator(np.random.PCG64(shot.seed)).random((3, *seen.shape), dtype=np.float32)
    # The sum of three uniform numbers is nearly normal, and the same with each version of NumPy.
    normal = (grain.sum(axis=0) - np.float32(1.5)) * np.float32(2)
    seen += np.float32(shot.film.noise) * normal * np.sqrt(np.maximum(seen, 0))
    return to_srgb(seen * field_cover(shot, width, height)[..., None])


def aligned(
    light: Light, gains: Gains, shot: ShotSpec, shade: Shade, blur: float, truth: Truth
) -> npt.NDArray[np.uint8]:
    """A photograph as if it were taken from where the other one was, without noise; black where it shows nothing.

    Args:
        light: (H, W, 3), from the place of the other one under this one's flash.
        gains: of this photograph.
        shot: this photograph, the source.
        shade: its lids.
        blur: its blur, in pixels of the other one.
        truth: where the other one's pixels are in it.
    """
    x, y = truth.targets[..., 0], truth.targets[..., 1]
    exposed = _exposed(light, gains, shot.film) + _stray(shot, truth.targets)
    seen = blurred(exposed, blur) * (1 - bilinear(shade.taken, x, y))[..., None] + bilinear(shade.added, x, y)
    return to_srgb(seen * truth.visible[..., None])


def _exposed(light: Light, gains: Gains, film: FilmSpec) -> Light:
    """Light (H, W, 3) at its exposure; lasers, which see no stray light, have contrasts to the power of 1.25."""
    exposed = light * np.array(gains, np.float32)
    if not film.green:
        return exposed
    middle = MIDDLE_GREY * WIDE_LEVEL * np.array([1.0, film.green, 1.0])
    return np.asarray(exposed * np.sqrt(np.sqrt(exposed / middle.astype(np.float32))))


def _stray(shot: ShotSpec, pixels: Array) -> Light:
    """The light (..., 3) that haze and reflexes add at pixels (..., 2) of a photograph."""
    total = np.full((*pixels.shape[:-1], 3), shot.film.haze, np.float32)
    for reflex in shot.film.reflexes:
        away = (pixels - np.array(shot.centre)) / shot.stop[0] - np.array(reflex.centre)
        share = np.clip((reflex.radius - np.sqrt((away * away).sum(axis=-1))) / reflex.softness + 0.5, 0, 1)
        total += (share * share * (3 - 2 * share))[..., None].astype(np.float32) * np.array(reflex.light, np.float32)
    return total


def blurred(light: Light, sigma: float) -> Light:
    """Light (H, W, 3) behind a Gaussian of a standard deviation in pixels; the rim repeats.

    One axis after the other, by sums in a fixed order, so that the bytes do not depend on a library.
    """
    reach = math.ceil(3 * sigma)
    # Six digits: an exponential's last digit must not show in a scene's bytes.
    weights = [round(math.exp(-0.5 * (step / sigma) ** 2), 6) for step in range(-reach, reach + 1)] if reach else [1.0]
    for axis in (0, 1):
        margins = [(0, 0)] * 3
        margins[axis] = (reach, reach)
        padded = np.pad(light, margins, "edge")
        size = light.shape[axis]
        parts = (padded.take(range(step, step + size), axis) * np.float32(w) for step, w in enumerate(weights))
        light = sum(parts, np.zeros_like(light)) / np.float32(sum(weights))
    return light
