"""Draws a retina from (dataset seed, scene index), and what it looks like at a later visit."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Literal

from ...parallax.geometry import turned
from ...streams import choice, count, stream, uniform
from .lesions import draw_lesions, later_lesions
from .spec import (
    CONDITIONS,
    MICROMETRES,
    Condition,
    DiscSpec,
    EyeSpec,
    GroundSpec,
    Place,
    RetinaConfig,
    RetinaSpec,
    VesselSpec,
)

KIND = "retina"
SEEDS = 2**52
"""Seeds of noise are below it."""
VORTEX: tuple[float, float] = (68.0, 82.0)
"""Distance of the vortices' ampullae from the pole, in degrees of the map: at the equator or little before it."""


def sample_retina(config: RetinaConfig, seed: int, index: int, map_degree: float) -> RetinaSpec:
    """The retina of scene `index` of the dataset with seed `seed`.

    Args:
        config: what a retina may look like.
        seed: the dataset's seed.
        index: the scene's place in the dataset.
        map_degree: millimetres of retina per degree of the map. 0.29 makes them visual degrees; in an eye of radius R a
            degree of angle at its centre is 0.0175 R, which is 0.2 for 11.5 mm.
    """
    rng = stream(KIND, seed, index, "side")
    side: Literal["left", "right"] = "left" if rng.random() < config.left else "right"
    condition = _condition(config, rng)
    eye = _eye(config, stream(KIND, seed, index, "eye"), map_degree)
    return RetinaSpec(
        side=side,
        eye=eye,
        vessels=_vessels(config, stream(KIND, seed, index, "vessels")),
        disc=_disc(config, stream(KIND, seed, index, "disc")),
        ground=_ground(config, stream(KIND, seed, index, "ground")),
        condition=condition,
        lesions=draw_lesions(config, stream(KIND, seed, index, "lesions"), eye, condition),
    )


def change_retina(spec: RetinaSpec, seed: int, index: int) -> RetinaSpec:
    """The same eye at a later visit: lesions came, grew and went, and the colours differ a little.

    The vessels, the disc and the ground's structure stay as they were.

    Args:
        spec: the retina before.
        seed: the dataset's seed.
        index: the scene's place in the dataset.
    """
    rng = stream(KIND, seed, index, "change")
    red, green, blue = (each * uniform(rng, (0.94, 1.06)) for each in spec.ground.tone)
    reflex = min(1.0, spec.ground.reflex * uniform(rng, (0.5, 1.5)))
    condition: Condition = "diabetic" if spec.condition == "healthy" else spec.condition
    return replace(
        spec,
        ground=replace(spec.ground, tone=(red, green, blue), reflex=reflex),
        condition=condition,
        lesions=later_lesions(rng, spec.eye, spec.lesions, condition),
    )


def _condition(config: RetinaConfig, rng: random.Random) -> Condition:
    return "healthy" if rng.random() < config.healthy else choice(rng, CONDITIONS[1:])


def _eye(config: RetinaConfig, rng: random.Random, map_degree: float) -> EyeSpec:
    fovea = -uniform(rng, config.fovea), uniform(rng, (-1.0, 1.0))
    rise, distance = uniform(rng, config.disc_rise), uniform(rng, config.disc)
    return EyeSpec(
        scale=MICROMETRES / 1000 / map_degree,
        fovea=fovea,
        disc=(fovea[0] + (distance * distance - rise * rise) ** 0.5, fovea[1] - rise),
        disc_height=uniform(rng, config.disc_height),
    )


def _vessels(config: RetinaConfig, rng: random.Random) -> VesselSpec:
    return VesselSpec(
        seed=int(rng.random() * SEEDS),
        arteriole=uniform(rng, config.arteriole),
        ratio=uniform(rng, config.ratio),
        exponent=uniform(rng, config.exponent),
        tortuosity=uniform(rng, config.tortuosity),
        arcade=(uniform(rng, config.arcade), uniform(rng, config.arcade)),
        avascular=uniform(rng, config.avascular),
        vortices=_vortices(rng, count(rng, config.vortices)),
    )


def _vortices(rng: random.Random, number: int) -> tuple[Place, ...]:
    """Ampullae all around, away from the horizontal where the long ciliary nerves run."""
    places = []
    for each in range(number):
        cosine, sine = turned(360 * (each + 0.5 + uniform(rng, (-0.25, 0.25))) / number)
        distance = uniform(rng, VORTEX)
        places.append((distance * cosine, distance * sine))
    return tuple(places)


def _disc(config: RetinaConfig, rng: random.Random) -> DiscSpec:
    return DiscSpec(
        aspect=uniform(rng, config.disc_aspect),
        tilt=turned(uniform(rng, (-20, 20))),
        cup=uniform(rng, config.cup),
        crescent=uniform(rng, config.crescent),
        pallor=rng.random(),
    )


def _ground(config: RetinaConfig, rng: random.Random) -> GroundSpec:
    return GroundSpec(
        seed=int(rng.random() * SEEDS),
        pigment=uniform(rng, config.pigment),
        redness=uniform(rng, config.redness),
        tessellation=uniform(rng, config.tessellation),
        macula=uniform(rng, config.macula),
        fibres=uniform(rng, config.fibres),
        reflex=uniform(rng, config.reflex),
        tone=(1.0, 1.0, 1.0),
    )
