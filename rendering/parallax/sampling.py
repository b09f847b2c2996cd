"""Draws a scene from (dataset seed, scene index): the same on every machine, Python and NumPy.

The scene comes first, then the cameras: the direction from one to the other and the turn between them are drawn, the
distance follows from the parallax that is asked for. It is estimated by rays through a coarse grid of pixels; the
renderer measures it (`meta.py`).
"""

from __future__ import annotations

import math
import random

import numpy as np

from ...methods.errors import InputError
from ..cameras import SENSOR_WIDTH, Vector
from ..streams import choice, stream, uniform
from .casting import Caster
from .config import Difficulty, ParallaxConfig
from .geometry import AHEAD, axes, combine, forward, to_camera, turned, unit
from .kit import Kit
from .looking import CLEARANCE, Grid
from .places import build_place, draw_sky, light_colour
from .scenes import ParallaxSpec, PartSpec, ViewSpec
from .stage import Stage

SAMPLER_VERSION = 1
"""Counts the changes to this package or to the renderer that change what a seed makes; it is part of the settings."""

KIND = "parallax"
STEP = 256
"""Camera distances are whole multiples of 1/STEP metres."""
ATTEMPTS = 60
"""Scenes that are drawn before the settings count as impossible."""
INNER = 0.12
"""The estimate keeps this share of a class's width away from its ends, for the measured value differs from it."""


def sample_parallax(config: ParallaxConfig, seed: int, index: int, size: int, difficulty: Difficulty) -> ParallaxSpec:
    """The scene `index` of the dataset with seed `seed`.

    Args:
        config: what a scene may look like.
        seed: the dataset's seed.
        index: the scene's place in the dataset.
        size: height of the pictures, in pixels.
        difficulty: class of its parallax.

    Raises:
        InputError: the settings leave no room for such a scene.
    """
    width = round(size * config.aspect)
    layout = choice(stream(KIND, seed, index, "layout"), config.layouts)
    for attempt in range(ATTEMPTS):
        kit = Kit(stream(KIND, seed, index, attempt, "scene"))
        light = stream(KIND, seed, index, attempt, "light")
        colour = light_colour(config, light)
        stage = build_place(config, layout, kit, colour)
        views = _views(config, stream(KIND, seed, index, attempt, "cameras"), kit, stage, (width, size), difficulty)
        if views:
            return ParallaxSpec(
                dataset_seed=seed,
                index=index,
                width=width,
                height=size,
                layout=layout,
                difficulty=difficulty,
                samples=config.samples,
                bounces=config.bounces,
                exposure=config.exposure,
                ambient=uniform(light, config.ambient),
                surfaces=tuple(kit.surfaces),
                parts=tuple(kit.parts),
                lamps=tuple(kit.lamps),
                sky=draw_sky(config, light, layout, colour),
                views=views,
            )
    raise InputError(
        f"--scene.{difficulty}: no {layout} of {ATTEMPTS} has such a parallax within the ranges of overlap and baseline"
    )


def _views(
    config: ParallaxConfig,
    rng: random.Random,
    kit: Kit,
    stage: Stage,
    size: tuple[int, int],
    difficulty: Difficulty,
) -> tuple[ViewSpec, ViewSpec] | None:
    """Both cameras, or None where the scene leaves no room for them."""
    lens = uniform(rng, config.lens)
    pan, tilt = turned(stage.pan), turned(stage.tilt)
    reference = _view(config, rng, stage.eye, axes(pan, tilt, AHEAD), lens)
    caster = Caster(_around(config, kit.parts, reference))
    grid = Grid(caster, reference, size)
    if not grid.free:
        return None
    source_axes = axes(
        combine(pan, turned(uniform(rng, config.pan))),
        combine(tilt, turned(uniform(rng, config.tilt))),
        turned(uniform(rng, config.roll)),
    )
    direction = _direction(config, rng, reference)
    source = _view(config, rng, stage.eye, source_axes, lens * uniform(rng, config.lens_ratio))
    low, high = config.parallax(difficulty)
    low, high = low + INNER * (high - low), high - INNER * (high - low)
    # Evenly in the logarithm, by the geometric mean: twice as much is as far from a value as half of it.
    wanted = low + (math.sqrt(low * high) - low) * 2 * rng.random() if rng.random() < 0.5 else uniform(rng, (low, high))
    distance = grid.usual_distance * wanted / 100
    for _ in range(8):
        distance = round(distance * STEP) / STEP
        if not max(config.baseline[0], 1 / STEP) <= distance <= config.baseline[1]:
            return None
        moved = _moved(source, direction, distance)
        estimate, overlap = grid.look(moved)
        if estimate is None:
            return None
        if low <= estimate <= high and abs(estimate - wanted) < 0.2 * wanted:
            break
        distance = distance * min(3.0, max(1 / 3, wanted / max(estimate, 1e-6)))
    else:
        return None
    if not config.overlap[0] <= overlap <= config.overlap[1] or not Grid(caster, moved, size).free:
        return None
    return reference, moved


def _view(
    config: ParallaxConfig, rng: random.Random, eye: Vector, frame: tuple[Vector, Vector], lens: float
) -> ViewSpec:
    shift, seed = uniform(rng, config.exposure_shift), int(rng.random() * 2**31)
    return ViewSpec(eye, frame[0], frame[1], lens, shift, seed)


def _direction(config: ParallaxConfig, rng: random.Random, reference: ViewSpec) -> Vector:
    """Unit vector from the first camera to the second."""
    side = 1 if rng.random() < 0.5 else -1
    ahead, rise = uniform(rng, config.forward), uniform(rng, config.rise)
    right, front = reference.right, forward(reference)
    return unit((side * right[0] + ahead * front[0], side * right[1] + ahead * front[1], rise))


def _moved(view: ViewSpec, direction: Vector, distance: float) -> ViewSpec:
    x, y, z = (start + distance * step for start, step in zip(view.position, direction, strict=True))
    return ViewSpec((x, y, z), view.right, view.up, view.lens, view.exposure_shift, view.seed)


def _around(config: ParallaxConfig, parts: list[PartSpec], view: ViewSpec) -> list[PartSpec]:
    """The parts that one of both cameras may see or stand in: the others need not be looked at."""
    cosine, sine = turned(max(abs(each) for bound in (config.pan, config.tilt) for each in bound))
    opening, turn = SENSOR_WIDTH / (2 * view.lens * config.lens_ratio[0]), sine / cosine
    if opening * turn > 0.8:
        return parts
    slope = (opening + turn) / (1 - opening * turn) + 0.1
    slant = math.sqrt(1 + slope * slope)
    centres = to_camera(view, np.array([each.centre for each in parts])).tolist()
    kept = []
    for part, (x, y, z) in zip(parts, centres, strict=True):
        a, b, c = part.half
        widest = max(1.0, *part.taper)
        reach = math.sqrt(a * a + b * b + c * c) * widest + config.baseline[1] + CLEARANCE
        if z > -reach and max(abs(x), abs(y)) - slope * z < reach * slant:
            kept.append(part)
    return kept
