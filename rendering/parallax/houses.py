"""Fronts of houses: walls with windows that lie deeper, sills, balconies, doors, awnings, cornices, roofs.

A front runs along a kit's x axis from 0 to its length, faces -y and stands on z = 0. Lengths in metres.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..streams import choice, uniform
from .kit import Kit, Opening

THICK = 0.35
"""Thickness of a front; window panes lie at its back."""
STOREY = (2.9, 3.4)
"""Height of a storey."""


@dataclass(frozen=True)
class Materials:
    """The surfaces of one house."""

    wall: int
    base: int
    """The ground floor's wall."""
    trim: int
    """Frames, sills, cornices."""
    panes: list[int]
    door: int
    roof: int
    metal: int


def materials(kit: Kit) -> Materials:
    """Surfaces of a new house."""
    rng = kit.rng
    wall = choice(rng, ("brick", "plaster", "stone", "brick", "planks", "concrete", "plaster"))
    tint = (
        kit.tint((0.1, 0.45), (0.75, 1.0)) if wall in ("plaster", "planks") else kit.warm_tint((0.2, 0.65), (0.6, 1.0))
    )
    base = choice(rng, ("stone", "tiles", wall))
    dusk = uniform(rng, (0.55, 0.95))
    return Materials(
        wall=kit.surface(wall, tint, (5.2, 5.2)),
        base=kit.surface(base, kit.warm_tint((0.05, 0.4), (0.6, 1.0)), (4.2, 4.2)),
        trim=kit.surface(("plaster", "wood", "stone"), kit.warm_tint((0.0, 0.35), (0.6, 1.0)), (1.8, 1.8)),
        panes=[kit.surface("pane", (0.75 * dusk, 0.85 * dusk, dusk), fitted=True, roughness=0.25) for _ in range(3)],
        door=kit.surface("planks", kit.tint((0.3, 0.8), (0.45, 0.9)), (1.5, 1.5)),
        roof=kit.surface("shingles", kit.warm_tint((0.3, 0.7), (0.5, 0.95)), (3.5, 3.5)),
        metal=kit.surface("paint", (0.33, 0.34, 0.36), (0.8, 0.8), roughness=0.4),
    )


def house(kit: Kit, cover: Materials, length: float, floors: int, depth: float, *, detailed: bool) -> None:
    """A house with its front and a body behind.

    Args:
        kit: where the front begins.
        cover: its surfaces.
        length: of the front.
        floors: number of storeys.
        depth: how far the house reaches back.
        detailed: with bars in the windows, balconies and awnings; else the front of a house far away.
    """
    rng = kit.rng
    storey = uniform(rng, STOREY)
    height = floors * storey + 0.4
    columns = max(1, round((length - 0.6) / uniform(rng, (2.0, 2.7))))
    step = (length - 0.6) / columns
    wide = min(uniform(rng, (1.05, 1.4)), step - 0.6)
    low, tall = uniform(rng, (0.75, 0.95)), uniform(rng, (1.45, 1.8))
    entry = int(rng.random() * columns)
    openings: list[tuple[Opening, list[Opening]]] = []
    ground: list[tuple[Opening, list[Opening]]] = []
    shop = columns > 1 and rng.random() < 0.5
    for column in range(columns):
        left = 0.3 + column * step + (step - wide) / 2
        across = left, left + wide
        openings.append(
            (
                across,
                [(floor * storey + low - storey, floor * storey + low + tall - storey) for floor in range(1, floors)],
            )
        )
        if column == entry:
            ground.append((across, [(0.0, 2.25)]))
        elif shop:
            ground.append(((left - 0.2, left + wide + 0.2), [(0.5, 2.45)]))
        else:
            ground.append((across, [(low, low + tall)]))
    kit.wall(cover.base, length, storey, THICK, ground)
    if floors > 1:
        kit.at(0, 0, storey).wall(cover.wall, length, height - storey, THICK, openings)
    kit.box(cover.wall, (0, THICK + 0.06, 0), (length, depth, height))
    for column, ((left, right), ((sill, top), *_)) in enumerate(ground):
        if column == entry:
            _door(kit, cover, left, right)
        else:
            _window(kit, cover, (left, right), (sill, top), detailed)
        if shop and column != entry and detailed and rng.random() < 0.8:
            _awning(kit, left - 0.15, right + 0.15, 2.55)
    for (left, right), heights in openings:
        balcony = detailed and rng.random() < 0.35
        for sill, top in heights:
            _window(kit, cover, (left, right), (storey + sill, storey + top), detailed)
            if balcony:
                _balcony(kit, cover, left - 0.35, right + 0.35, storey + sill - 0.7)
    for level in range(1, floors):
        kit.box(cover.trim, (0, -0.07, level * storey - 0.1), (length, 0, level * storey + 0.08))
    kit.box(cover.trim, (-0.12, -0.28, height), (length + 0.12, depth, height + 0.16))
    kit.box(cover.trim, (-0.05, -0.15, height - 0.2), (length + 0.05, 0, height))
    _roof(kit, cover, length, depth, height + 0.16)


def _window(kit: Kit, cover: Materials, across: Opening, heights: Opening, detailed: bool) -> None:
    (left, right), (low, high) = across, heights
    kit.box(choice(kit.rng, cover.panes), (left, THICK - 0.06, low), (right, THICK + 0.06, high))
    kit.box(cover.trim, (left - 0.08, -0.13, low - 0.09), (right + 0.08, 0.05, low))
    if not detailed:
        return
    middle, front, back = (left + right) / 2, THICK - 0.13, THICK - 0.06
    for x in (left, middle - 0.03, right - 0.06):
        kit.box(cover.trim, (x, front, low), (x + 0.06, back, high))
    for z in (low, low + 0.66 * (high - low), high - 0.06):
        kit.box(cover.trim, (left + 0.06, front + 0.01, z), (right - 0.06, back, z + 0.06))
    kit.box(cover.trim, (left - 0.1, -0.07, high), (right + 0.1, 0, high + 0.16))


def _door(kit: Kit, cover: Materials, left: float, right: float) -> None:
    kit.box(cover.door, (left, THICK - 0.12, 0), (right, THICK + 0.06, 2.25))
    kit.box(cover.panes[0], (left + 0.2, THICK - 0.15, 1.35), (right - 0.2, THICK - 0.12, 2.0))
    kit.ball(cover.metal, (right - 0.15, THICK - 0.17, 1.05), 0.045)
    kit.box(cover.base, (left - 0.2, -0.5, 0), (right + 0.2, 0, 0.14))
    kit.box(cover.trim, (left - 0.15, -0.45, 2.4), (right + 0.15, 0, 2.5))
    for x in (left - 0.12, right + 0.12):
        kit.post(cover.trim, (x, -0.3, 0.14), 0.09, 2.26, taper=0.85)


def _balcony(kit: Kit, cover: Materials, left: float, right: float, floor: float) -> None:
    kit.box(cover.trim, (left, -0.95, floor - 0.14), (right, 0, floor))
    kit.box(cover.metal, (left, -0.95, floor + 0.92), (right, -0.9, floor + 0.98))
    bars = max(4, round((right - left) / 0.16))
    for bar in range(bars + 1):
        x = left + 0.02 + (right - left - 0.04) * bar / bars
        kit.box(cover.metal, (x - 0.013, -0.94, floor), (x + 0.013, -0.91, floor + 0.92))
    for x in (left, right - 0.04):
        kit.box(cover.metal, (x, -0.9, floor + 0.93), (x + 0.04, 0, floor + 0.97))
        for bar in range(5):
            kit.box(cover.metal, (x, -0.8 + 0.17 * bar, floor), (x + 0.026, -0.77 + 0.17 * bar, floor + 0.93))


def _awning(kit: Kit, left: float, right: float, top: float) -> None:
    cloth = kit.surface("fabric", kit.tint((0.3, 0.8), (0.8, 1.0)), (1.0, 1.0))
    # Tapers to the wall, so its upper side falls away from the house.
    kit.box(cloth, (left, -1.0, top - 0.32), (right, 0, top + 0.25), taper=(1.0, 0.25))
    kit.box(cloth, (left, -1.01, top - 0.5), (right, -0.98, top - 0.32))


def _roof(kit: Kit, cover: Materials, length: float, depth: float, eaves: float) -> None:
    if kit.rng.random() < 0.35:
        kit.box(cover.trim, (0, 0, eaves), (length, 0.3, eaves + 0.5))
        return
    rise = uniform(kit.rng, (1.6, 2.8))
    kit.box(cover.roof, (-0.15, -0.2, eaves), (length + 0.15, depth, eaves + rise), taper=(0.96, 0.06))
    for _ in range(2):
        x, stack = uniform(kit.rng, (0.15, 0.85)) * length, uniform(kit.rng, (0.25, 0.4))
        kit.box(cover.base, (x, depth * 0.35, eaves), (x + 2 * stack, depth * 0.35 + stack, eaves + rise + 0.5))
