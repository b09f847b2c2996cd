"""Draws lesions: where they lie, how large and how clear they are."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from ...parallax.geometry import turned
from ...streams import Range, count, uniform
from .spec import Condition, EyeSpec, LesionKind, LesionSpec, Place, RetinaConfig

LASTING: frozenset[LesionKind] = frozenset({"drusen", "laser"})
"""What does not go away; the other lesions are absorbed within months."""


def draw_lesions(
    config: RetinaConfig, rng: random.Random, eye: EyeSpec, condition: Condition
) -> tuple[LesionSpec, ...]:
    """The lesions of an eye with a condition."""

    def several(bounds: tuple[int, int], draw: Callable[[random.Random, EyeSpec], LesionSpec]) -> list[LesionSpec]:
        return [draw(rng, eye) for _ in range(count(rng, bounds))]

    match condition:
        case "healthy":
            return ()
        case "drusen":
            return tuple(several(config.drusen, _drusen))
        case "diabetic":
            found = several(config.haemorrhages, _haemorrhage) + _exudates(rng, eye, count(rng, config.exudates))
            return tuple(found + several(config.cotton, _cotton))
        case "occlusion":
            return tuple(_sector(rng, eye, count(rng, config.flames), count(rng, config.cotton)))
        case "treated":
            return tuple(_scars(rng, eye, count(rng, config.laser)) + several(config.haemorrhages, _haemorrhage)[:8])


def later_lesions(
    rng: random.Random, eye: EyeSpec, before: tuple[LesionSpec, ...], condition: Condition
) -> tuple[LesionSpec, ...]:
    """The lesions at a later visit: half of those that heal are gone, the others grew or shrank, some are new."""
    stayed = [
        replace(lesion, radius=lesion.radius * uniform(rng, (0.9, 1.2) if lesion.kind in LASTING else (0.6, 1.3)))
        for lesion in before
        if lesion.kind in LASTING or rng.random() < 0.5
    ]
    fresh = RetinaConfig(drusen=(5, 20), haemorrhages=(5, 20), flames=(2, 6), exudates=(5, 20), cotton=(0, 3))
    new = [each for each in draw_lesions(fresh, rng, eye, condition) if each.kind != "laser"]
    return (*stayed, *new)


def _around(rng: random.Random, centre: Place, bounds: Range) -> Place:
    """A place at a distance from a centre, evenly over the ring."""
    cosine, sine = turned(360 * rng.random() - 180)
    distance = (bounds[0] ** 2 + (bounds[1] ** 2 - bounds[0] ** 2) * rng.random()) ** 0.5
    return centre[0] + distance * cosine, centre[1] + distance * sine


def _lesion(
    rng: random.Random,
    kind: LesionKind,
    place: Place,
    radius: Range,
    stretch: Range = (1.0, 1.5),
    strength: Range = (0.5, 1.0),
) -> LesionSpec:
    """A lesion of any direction; small ones are more frequent than large ones."""
    size = radius[0] + (radius[1] - radius[0]) * rng.random() ** 2
    turn = turned(360 * rng.random() - 180)
    return LesionSpec(kind, place, size, uniform(rng, stretch), turn, uniform(rng, strength))


def _drusen(rng: random.Random, eye: EyeSpec) -> LesionSpec:
    return _lesion(rng, "drusen", _around(rng, eye.fovea, (0.2, 7.5)), (0.09, 0.4), strength=(0.3, 0.8))


def _haemorrhage(rng: random.Random, eye: EyeSpec) -> LesionSpec:
    bounds = (2.0, 22.0) if rng.random() < 0.6 else (18.0, 70.0 / eye.scale)
    return _lesion(rng, "haemorrhage", _around(rng, eye.fovea, bounds), (0.08, 0.75), strength=(0.6, 1.0))


def _cotton(rng: random.Random, eye: EyeSpec) -> LesionSpec:
    return _lesion(rng, "cotton", _around(rng, eye.disc, (5.0, 18.0)), (0.5, 1.1), (1.1, 1.8), (0.5, 0.95))


def _exudates(rng: random.Random, eye: EyeSpec, number: int) -> list[LesionSpec]:
    """Hard exudates in rings around leaking vessels."""
    found: list[LesionSpec] = []
    while len(found) < number:
        centre, ring = _around(rng, eye.fovea, (1.0, 11.0)), uniform(rng, (0.5, 2.2))
        for _ in range(min(number - len(found), count(rng, (4, 22)))):
            found.append(_lesion(rng, "exudate", _around(rng, centre, (0.7 * ring, 1.2 * ring)), (0.06, 0.3)))
    return found


def _sector(rng: random.Random, eye: EyeSpec, flames: int, cotton: int) -> list[LesionSpec]:
    """Flame-shaped haemorrhages along the nerve fibres, between the temporal arcade and the periphery of one side."""
    up = 1 if rng.random() < 0.5 else -1
    found = []
    for each in range(flames + cotton):
        height, opening = up * uniform(rng, (3.0, 15.0)), uniform(rng, (5.0, 16.0))
        along = height * height / opening
        place = eye.from_disc(along, height)
        # The parabola's direction, in the frame of disc and fovea and then in the map's.
        length = (4 * along * along + height * height) ** 0.5
        x, y = 2 * along / length, height / length
        turn = (x * eye.axis[0] - y * eye.axis[1], x * eye.axis[1] + y * eye.axis[0])
        if each < flames:
            lesion = _lesion(rng, "flame", place, (0.25, 0.8), (1.8, 4.0), (0.6, 1.0))
        else:
            lesion = _lesion(rng, "cotton", place, (0.5, 1.0), (1.1, 1.8), (0.5, 0.95))
        found.append(replace(lesion, turn=turn))
    return found


def _scars(rng: random.Random, eye: EyeSpec, number: int) -> list[LesionSpec]:
    """Scars of a panretinal treatment: outside the arcades, and not on each other."""
    found: list[LesionSpec] = []
    for _ in range(20 * number):
        place = _around(rng, eye.fovea, (16.0, 60.0 / eye.scale))
        apart = min((_square(place, each.place) for each in found), default=4.0)
        if apart > 1.8**2 and _square(place, eye.disc) > 8.0**2:
            found.append(_lesion(rng, "laser", place, (0.4, 0.8), (1.0, 1.3), (0.5, 1.0)))
            if len(found) == number:
                break
    return found


def _square(first: Place, second: Place) -> float:
    return (first[0] - second[0]) ** 2 + (first[1] - second[1]) ** 2
