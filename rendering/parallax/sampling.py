"""Draws a scene from (dataset seed, scene index): the same on every machine, Python and NumPy.

The scene comes first, then the cameras: the direction from one to the other and the turn between them are drawn, the
distance follows from the parallax that is asked for. It is estimated by rays through a coarse grid of pixels; the
renderer measures it (`meta.py`).
"""

from __future__ import annotations

import colorsys
import math
import random

import numpy as np
import numpy.typing as npt

from ...methods.errors import InputError
from ..cameras import SENSOR_WIDTH, Vector
from ..streams import choice, stream, uniform
from .casting import Caster
from .config import Difficulty, Layout, ParallaxConfig
from .facades import facade
from .fitting import measure_parallax
from .geometry import AHEAD, axes, combine, forward, inside, rays, to_camera, to_pixels, turned, unit
from .kit import Kit
from .rooms import room
from .scenes import Colour, ParallaxSpec, PartSpec, SkySpec, ViewSpec
from .stage import Stage
from .streets import street

SAMPLER_VERSION = 1
"""Counts the changes to this package or to the renderer that change what a seed makes; it is part of the settings."""

KIND = "parallax"
GRID = 24
"""Rays along each axis of the estimate."""
STEP = 256
"""Camera distances are whole multiples of 1/STEP metres."""
ATTEMPTS = 60
"""Scenes that are drawn before the settings count as impossible."""
CLEARANCE = 0.35
"""Least distance between a camera and the box around any part, in metres."""
NEAR, NEAR_SHARE = 1.4, 0.12
"""A camera's view is blocked if more than this share of it is nearer than that many metres."""
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
        colour = _colour(config, light)
        stage = _build(config, layout, kit, colour)
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
                sky=_sky(config, light, layout, colour),
                views=views,
            )
    raise InputError(
        f"--scene.{difficulty}: no {layout} of {ATTEMPTS} has such a parallax within the ranges of overlap and baseline"
    )


def _build(config: ParallaxConfig, layout: Layout, kit: Kit, colour: Colour) -> Stage:
    match layout:
        case "room":
            return room(config, kit, colour)
        case "facade":
            return facade(config, kit)
        case "street":
            return street(config, kit)


def _colour(config: ParallaxConfig, rng: random.Random) -> Colour:
    """Colour of a lamp or the sun, between orange and white, seldom blue."""
    hue = 0.09 if rng.random() < 0.8 else 0.6
    return colorsys.hsv_to_rgb(hue, uniform(rng, config.light_saturation), 1.0)


def _sky(config: ParallaxConfig, rng: random.Random, layout: Layout, colour: Colour) -> SkySpec:
    # Outdoors the sun is mostly behind the camera, so that what is seen is lit.
    side = turned(uniform(rng, (-180, 180) if layout == "room" else (-75, 75)))
    height = uniform(rng, (0.5, 1.3))
    grey = rng.random()
    return SkySpec(
        zenith=(0.16 + 0.34 * grey, 0.32 + 0.22 * grey, 0.75 - 0.1 * grey),
        horizon=(0.72 + 0.1 * rng.random(), 0.8, 0.86 + 0.06 * rng.random()),
        strength=uniform(rng, config.sky_strength),
        clouds=0.25 + 0.4 * rng.random(),
        shift=(20 * rng.random(), 20 * rng.random(), 20 * rng.random()),
        sun=unit((side[1], -side[0], height)),
        sun_strength=uniform(rng, config.sun_strength) * (1 - 0.6 * grey) * (layout != "room" or rng.random() < 0.5),
        sun_colour=colour,
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
    grid = _Grid(caster, reference, size)
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
    if not config.overlap[0] <= overlap <= config.overlap[1] or not _Grid(caster, moved, size).free:
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


class _Grid:
    """What a camera sees along a coarse grid of rays."""

    def __init__(self, caster: Caster, view: ViewSpec, size: tuple[int, int]) -> None:
        self.caster, self.view, self.size = caster, view, size
        steps = (np.arange(GRID) + 0.5) / GRID
        # Cells reach to the picture's borders; their middles stand for them.
        x, y = np.meshgrid(steps * size[0] - 0.5, steps * size[1] - 0.5)
        pixels = np.stack([x.ravel(), y.ravel()], axis=1)
        directions = rays(view, pixels, *size)
        self.depth, _ = caster.cast(view.position, directions)
        self.sky = np.isinf(self.depth)
        known = np.where(self.sky, 1.0, self.depth)
        self.points = np.asarray(view.position) + directions * known[:, None]
        self.directions = directions
        # Where the rays really are, by the same arithmetic as the source's pixels.
        self.pixels = to_pixels(view, to_camera(view, directions, points=False), *size)

    @property
    def free(self) -> bool:
        """Whether the camera stands in free space and little is right before it."""
        if self.caster.clearance(self.view.position) < CLEARANCE:
            return False
        return float((self.depth < NEAR).mean()) <= NEAR_SHARE and float(self.sky.mean()) < 0.45

    @property
    def usual_distance(self) -> float:
        """Median depth, in metres; of the sky's 40."""
        return float(np.sort(np.minimum(self.depth, 40.0))[len(self.depth) // 2])

    def look(self, source: ViewSpec) -> tuple[float | None, float]:
        """The estimated parallax in percent of the diagonal, and the share of the points that the source sees.

        The share counts as 0 where something is beside or behind the source camera.
        """
        visible, targets = self._seen(source)
        found = measure_parallax(self.pixels[visible], targets[visible], *self.size)
        width, height = self.size
        behind = bool((to_camera(source, self.points)[~self.sky, 2] < 0.2).any())
        share = 0.0 if behind else float(visible.mean())
        return None if found is None else 100 * found.p90_px / math.sqrt(width * width + height * height), share

    def _seen(self, source: ViewSpec) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
        """Which points the source sees, and at which of its pixels."""
        camera = np.where(
            self.sky[:, None], to_camera(source, self.directions, points=False), to_camera(source, self.points)
        )
        front = camera[:, 2] > 1e-3
        camera[~front, 2] = 1.0
        targets = to_pixels(source, camera, *self.size)
        towards = np.where(self.sky[:, None], self.directions, self.points - np.asarray(source.position))
        reach, _ = self.caster.cast(source.position, towards)
        clear = np.where(self.sky, np.isinf(reach), reach > 1 - 1e-3)
        return front & inside(targets, *self.size) & clear, targets
