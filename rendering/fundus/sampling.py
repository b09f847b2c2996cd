"""Draws a scene from (dataset seed, scene index): the same on every machine, Python and NumPy.

The eye comes first, then the photographs. Of two standard ones the overlap is drawn, and the way between their centres
follows from it; an ultra-widefield one is cut so that the standard one lies in it. A pair has control points enough.
"""

from __future__ import annotations

import dataclasses
import random

import numpy as np

from ...methods.errors import InputError
from ..streams import stream, uniform
from .config import FundusConfig, PairKind
from .optics import at_centre, grid, in_field, map_degree, project, seen_at
from .points import LEAST_POINTS, control_points
from .retina.measures import bifurcations
from .retina.sampling import change_retina, sample_retina
from .scenes import EyeSpec, FundusSpec, Place, ShotSpec
from .shots import StandardShot, around, wide_shot

SAMPLER_VERSION = 1
"""Counts the changes to this package or to the renderer that change what a seed makes; it is part of the settings."""

KIND = "fundus"
ATTEMPTS = 60
"""Pairs of photographs that are drawn before the settings count as impossible."""
COARSE = 48
"""Points along each axis at which an overlap is measured."""
FARTHEST = 45.0
"""Largest visual angle between the centres of two standard pictures."""
HALVINGS = 14
"""Steps of the search for that angle."""
SLACK = 0.01
"""How far an overlap may be out of its range."""


def sample_fundus(config: FundusConfig, seed: int, index: int, size: int, kind: PairKind) -> FundusSpec:
    """The scene `index` of the dataset with seed `seed`.

    Args:
        config: what a scene may look like.
        seed: the dataset's seed.
        index: the scene's place in the dataset.
        size: height and width of the pictures, in pixels.
        kind: what the pair shows.

    Raises:
        InputError: the settings leave no room for such a pair.
    """
    rng = stream(KIND, seed, index, "eye")
    eye = EyeSpec(uniform(rng, config.eye_radius), uniform(rng, config.eye_stretch))
    retina = sample_retina(config, seed, index, map_degree(eye))
    later = change_retina(retina, seed, index) if kind == "A" else retina
    # Six digits: an arctangent's last digit differs between machines.
    branchings = [(round(x, 6), round(y, 6)) for x, y, _ in bifurcations(retina)]
    for attempt in range(ATTEMPTS):
        rng = stream(KIND, seed, index, attempt, "cameras")
        shots = _wide_pair(config, rng, eye, size) if kind == "sfi-uwfi" else _pair(config, rng, eye, size, kind)
        points = control_points(eye, shots, branchings, size) if shots else ()
        if shots and len(points) >= LEAST_POINTS:
            return FundusSpec(seed, index, size, size, kind, config.samples, eye, (retina, later), shots, points)
    flags = {"sfi-uwfi": "field, --scene.wide-crop", "P": "overlap-little"}.get(kind, "overlap")
    raise InputError(
        f"--scene.{flags}: none of {ATTEMPTS} pairs {kind} keeps to it and has {LEAST_POINTS} vessel branchings in both"
    )


def _pair(
    config: FundusConfig, rng: random.Random, eye: EyeSpec, size: int, kind: PairKind
) -> tuple[ShotSpec, ShotSpec] | None:
    """Two standard photographs, or None where they do not overlap as they should."""
    field = uniform(rng, config.field)
    reference = StandardShot(config, rng, eye, size, field)
    source = StandardShot(config, rng, eye, size, field / uniform(rng, config.magnification))
    start, way = _target(config, rng, eye), around(rng)
    first = reference.at(start)
    low, high = config.overlap_little if kind == "P" else config.overlap
    wanted = uniform(rng, (low, high))

    def second(visual: float) -> ShotSpec:
        far = at_centre(eye, visual)
        return source.at((start[0] + far * way[0], start[1] + far * way[1]))

    near, far = 0.0, FARTHEST
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        near, far = (middle, far) if field_overlap(eye, first, second(middle)) > wanted else (near, middle)
    shot = second(near)
    # Two pictures of different scale never show all the same, so the largest overlaps may be out of reach.
    return (first, shot) if low - SLACK <= field_overlap(eye, first, shot) <= high + SLACK else None


def _wide_pair(config: FundusConfig, rng: random.Random, eye: EyeSpec, size: int) -> tuple[ShotSpec, ShotSpec] | None:
    """A part of an ultra-widefield photograph, and a standard one; None where the part is too small for the other."""
    whole = wide_shot(config, rng, eye, size)
    standard = StandardShot(config, rng, eye, size, uniform(rng, config.field)).at(_target(config, rng, eye))
    turns = np.array([around(rng) for _ in range(COARSE)])
    rim = project(whole, seen_at(eye, standard, np.array(standard.centre) + standard.stop[0] * turns))
    side = 2 * whole.centre[0] + 1
    corner = []
    for axis in range(2):
        low = max(0.0, float(rim[:, axis].max()) - size + 1)
        high = min(side - size, float(rim[:, axis].min()))
        corner.append(low + (high - low) * rng.random())
        if high < low:
            return None
    return dataclasses.replace(whole, centre=(whole.centre[0] - corner[0], whole.centre[1] - corner[1])), standard


def _target(config: FundusConfig, rng: random.Random, eye: EyeSpec) -> Place:
    """The place of the retina's map that a picture is centred on."""
    far, way = at_centre(eye, uniform(rng, config.gaze)), around(rng)
    return far * way[0], far * way[1]


def field_overlap(eye: EyeSpec, reference: ShotSpec, source: ShotSpec) -> float:
    """Share of the reference's field that lies in the source's, on a coarse grid."""
    step = 2 * reference.stop[0] / COARSE
    pixels = (grid(COARSE, COARSE) - (COARSE - 1) / 2) * step + np.array(reference.centre)
    pixels = pixels[in_field(reference, pixels)]
    return float(in_field(source, project(source, seen_at(eye, reference, pixels))).mean())
