"""The front of a house across a street, with what stands before it."""

from __future__ import annotations

from ..streams import choice, count, uniform
from .config import PlaceConfig
from .geometry import turned
from .houses import house, materials
from .kit import Kit
from .outdoors import any_side, car, hedge, street_thing, tree
from .stage import Stage


def facade(config: PlaceConfig, kit: Kit) -> Stage:
    """Build a house whose front is 9 to 12 m before the camera at y = 0, its neighbours, and the street between.

    Args:
        config: what it may look like.
        kit: where it is built.
    """
    rng = kit.rng
    away, length = uniform(rng, (8.5, 11.5)), uniform(rng, (9.0, 13.0))
    ground = kit.surface("asphalt", (0.95, 0.95, 1.0), (5, 5))
    paving = kit.surface(("tiles", "concrete", "stone"), kit.warm_tint((0.03, 0.25), (0.8, 1.0)), (3, 3))
    kerb = kit.surface("concrete", (1, 1, 1), (2, 2))
    kit.box(ground, (-60, -20, -0.4), (60, 80, 0))
    kit.box(paving, (-40, away - 3.6, 0), (40, away + 0.3, 0.13))
    kit.box(kerb, (-40, away - 3.75, 0), (40, away - 3.6, 0.14))
    start = -length / 2 + uniform(rng, (-1.5, 1.5))
    street = kit.at(0, away, 0.13)
    house(street.at(start, 0), materials(kit), length, 2 + int(rng.random() * 3), 7.0, detailed=True)
    for side in (-1, 1):
        # Neighbours stand a little before or behind.
        other, shift, gap = uniform(rng, (7.0, 10.0)), uniform(rng, (-0.5, 2.5)), choice(rng, (0.02, 0.02, 1.5))
        left = start - other - gap if side < 0 else start + length + gap
        house(street.at(left, shift), materials(kit), other, 2 + int(rng.random() * 3), 7.0, detailed=True)
    for _ in range(count(rng, config.trees)):
        tree(any_side(kit, uniform(rng, (-6, 6)), away - uniform(rng, (2.2, 4.4))), uniform(rng, (3.2, 5.0)))
    for number in range(count(rng, config.posts)):
        x = -4.5 + 2.6 * number + uniform(rng, (-0.9, 0.9))
        street_thing(kit.at(x, away - uniform(rng, (1.4, 3.3)), 0.13, turned(uniform(rng, (-20, 20)))))
    if config.cars[1] and rng.random() < 0.6:
        parked = kit.at(uniform(rng, (-4, 4)), away - 4.8, 0, turned(choice(rng, (0, 180)) + uniform(rng, (-2, 2))))
        car(parked)
    if rng.random() < 0.6:
        hedge(kit.at(uniform(rng, (-4, 4)), away - 1.1, 0.13), uniform(rng, (1.5, 3.5)), uniform(rng, (0.6, 1.0)))
    _near(kit)
    return Stage((uniform(rng, (-1, 1)), 0.0, uniform(rng, (1.45, 1.8))), uniform(rng, (-14, 14)), uniform(rng, (2, 9)))


def _near(kit: Kit) -> None:
    """Something on this side of the street, at the picture's edge."""
    side = choice(kit.rng, (-1.0, 1.0))
    place = kit.at(
        side * uniform(kit.rng, (1.6, 2.4)), uniform(kit.rng, (3.4, 5.0)), 0, turned(uniform(kit.rng, (-30, 30)))
    )
    street_thing(place)
