"""Where the large vessels run before they branch: from the optic disc around the macula, and to the nose.

The temporal arcades are parabolas with their vertex at the disc, as in the models that find them in photographs
(Tobin et al. 2007; Oloumi, Rangayyan and Ells 2012).
"""

from __future__ import annotations

import math
import random

import numpy as np

from .spec import EyeSpec, Place
from .sphere import Places

STEP = 0.6
"""Distance of the nodes along a course, in visual degrees."""
STUB = 1.3
"""How far from its root a trunk divides in two, within the disc."""
WOBBLE, WAVE = 0.75, 5.0
"""How far a course strays from its curve, and the distance over which it does so."""


def stub(eye: EyeSpec, offset: float, up: int) -> Places:
    """The papillary vessel (n, 2) from the root upwards (up = 1) or downwards (-1)."""
    return np.array([eye.from_disc(offset, up * each) for each in (STUB / 2, STUB)])


def temporal(eye: EyeSpec, rng: random.Random, offset: float, opening: float, up: int) -> Places:
    """A temporal arcade (n, 2), from where its stub ends until beyond the fovea."""
    return _course(eye, rng, offset, up, end=20.0 + 10.0 * rng.random(), curve=opening)


def macular(eye: EyeSpec, rng: random.Random, offset: float, up: int) -> Places:
    """A small vessel (n, 2) from the beginning of a temporal arcade towards the macula."""
    return _course(eye, rng, offset, up, end=5.0 + 4.5 * rng.random(), curve=1.2 + 1.6 * rng.random())


def nasal(eye: EyeSpec, rng: random.Random, offset: float, up: int) -> Places:
    """A nasal vessel (n, 2), from where its stub ends."""
    return _course(eye, rng, offset, up, end=-(8.0 + 8.0 * rng.random()), curve=-(8.0 + 7.0 * rng.random()))


def inner_nasal(eye: EyeSpec, rng: random.Random, offset: float, up: int) -> Places:
    """A small vessel (n, 2) from the beginning of a nasal one, nearer to the horizontal."""
    return _course(eye, rng, offset, up, end=-(4.0 + 6.0 * rng.random()), curve=-(1.5 + 2.0 * rng.random()))


def _course(eye: EyeSpec, rng: random.Random, offset: float, up: int, end: float, curve: float) -> Places:
    """Along the parabola x = h * h / curve, h being the height above the axis, until x is `end`."""
    strays = [0.0] + [WOBBLE * (2 * rng.random() - 1) for _ in range(16)]
    height, way = STUB, 0.0
    places: list[Place] = []
    while True:
        slope = 2 * height / curve
        length = math.sqrt(1 + slope * slope)
        height += STEP / length
        way += STEP
        if abs(height * height / curve) > abs(end):
            return np.array(places)
        knot = int(way / WAVE)
        share = way / WAVE - knot
        share = share * share * (3 - 2 * share)
        stray = strays[knot] + (strays[knot + 1] - strays[knot]) * share
        # Square to the course.
        x, y = height * height / curve + stray / length, height - stray * slope / length
        places.append(eye.from_disc(offset + x, up * y))
