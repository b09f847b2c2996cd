"""A street between two rows of houses."""

from __future__ import annotations

from ..streams import choice, count, uniform
from .config import PlaceConfig
from .geometry import turned
from .houses import Materials, house, materials
from .kit import Kit
from .outdoors import any_side, car, street_thing, tree
from .stage import Stage


def street(config: PlaceConfig, kit: Kit) -> Stage:
    """Build a street along y; the camera stands at y = 0 near its middle.

    Args:
        config: what it may look like.
        kit: where it is built.
    """
    rng = kit.rng
    road, walk = uniform(rng, (3.4, 4.6)), uniform(rng, (2.2, 3.0))
    _ground(kit, road, walk)
    covers = [materials(kit) for _ in range(5)]
    for side in (-1, 1):
        # Seen from its own row, each side of the street is a front along x that faces -y.
        row = kit.at(side * (road + walk), 0, 0.13, turned(90 if side < 0 else -90))
        _houses(row, covers, side)
        verge = kit.at(side * road, 0, 0)
        _verge(config, verge, side)
    _end(kit, covers, road + walk)
    eye = (uniform(rng, (-0.4, 0.4)) * road, 0.0, uniform(rng, (1.5, 1.9)))
    # Away from the nearer side.
    return Stage(eye, 10 * eye[0] / road + uniform(rng, (-9, 9)), uniform(rng, (0, 5)))


def _ground(kit: Kit, road: float, walk: float) -> None:
    asphalt = kit.surface(("asphalt", "asphalt", "tiles", "stone"), (0.9, 0.9, 0.95), (4.5, 4.5))
    paving = kit.surface(("tiles", "concrete", "stone"), kit.warm_tint((0.03, 0.25), (0.8, 1.0)), (3, 3))
    kerb = kit.surface("concrete", (1, 1, 1), (2, 2))
    paint = kit.surface("paint", (1, 1, 0.95), (1.5, 1.5))
    kit.box(asphalt, (-60, -30, -0.4), (60, 110, 0))
    for side in (-1, 1):
        edge, wall = sorted((side * road, side * (road + walk + 0.4)))
        kit.box(paving, (edge, -30, 0), (wall, 60, 0.13))
        inner, outer = sorted((side * road, side * (road - 0.14)))
        kit.box(kerb, (inner, -30, 0), (outer, 60, 0.14))
    for dash in range(14):
        kit.box(paint, (-0.07, 2.5 + 3.2 * dash, 0), (0.07, 4.1 + 3.2 * dash, 0.008))
    crossing = uniform(kit.rng, (6, 12))
    for stripe in range(int(road * 2 / 0.9)):
        x = -road + 0.45 + 0.9 * stripe
        kit.box(paint, (x, crossing, 0), (x + 0.45, crossing + 2.4, 0.009))


def _houses(row: Kit, covers: list[Materials], side: int) -> None:
    """Houses from behind the camera to far away; the row's x runs along the street, towards it on the right."""
    y = uniform(row.rng, (-4.0, -1.0))
    number = 0 if side < 0 else 2
    while y < 46:
        length = uniform(row.rng, (5.5, 10.0))
        start = y if side < 0 else -(y + length)
        house(
            row.at(start, uniform(row.rng, (0.0, 0.8))),
            covers[number % len(covers)],
            length,
            2 + int(row.rng.random() * 3),
            8.0,
            detailed=y + length < 18,
        )
        number += 1
        y += length + choice(row.rng, (0.02, 0.02, 1.8))


def _verge(config: PlaceConfig, verge: Kit, side: int) -> None:
    """Cars along the kerb, trees and posts on the pavement; x = 0 is the kerb, towards the houses is `side`."""
    rng = verge.rng
    y = uniform(rng, (4.5, 8.0))
    for _ in range(count(rng, config.cars)):
        car(verge.at(-side * 1.05, y, 0, turned(90 if rng.random() < 0.5 else -90)))
        y += uniform(rng, (5.2, 9.0))
    y = uniform(rng, (5.0, 9.0))
    for _ in range(1 + count(rng, config.trees)):
        tree(any_side(verge, side * 0.75, y), uniform(rng, (3.5, 5.5)))
        y += uniform(rng, (5.0, 9.0))
    y = uniform(rng, (3.0, 5.0))
    for _ in range(count(rng, config.posts)):
        street_thing(verge.at(side * uniform(rng, (0.55, 1.3)), y, 0.13, turned(side * uniform(rng, (0, 40)))))
        y += uniform(rng, (3.0, 6.0))


def _end(kit: Kit, covers: list[Materials], half: float) -> None:
    """What closes the view: houses across and hills behind."""
    hill = kit.surface("leaves", (0.72, 0.85, 0.9), (9, 9))
    for x, wide, tall in ((-26, 34, 13), (14, 40, 17), (44, 30, 11)):
        kit.ball(hill, (x + uniform(kit.rng, (-6, 6)), 92, -2), wide / 2, flat=2 * tall / wide)
    across = kit.at(-half - 4, 58, 0.13)
    place = 0.0
    while place < 2 * half + 8:
        length = uniform(kit.rng, (6.0, 9.0))
        house(across.at(place, 0), choice(kit.rng, covers), length, 2 + int(kit.rng.random() * 3), 6.0, detailed=False)
        place += length + 0.02
