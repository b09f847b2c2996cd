"""All things, by number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from ...parallax.meshes import Mesh
from ...streams import stream
from ..coverings import Covering
from . import aircraft, cycles, flying, furniture, household, rolling, street, toys, vehicles
from .bench import Bench, Finish
from .members import Motion
from .solids import join

MEMBERS = (
    *rolling.MEMBERS,
    *household.MEMBERS,
    *furniture.MEMBERS,
    *vehicles.MEMBERS,
    *cycles.MEMBERS,
    *flying.MEMBERS,
    *aircraft.MEMBERS,
    *street.MEMBERS,
    *toys.MEMBERS,
)
THINGS: int = len(MEMBERS)
"""How many there are."""


@dataclass(frozen=True)
class ThingSpec:
    """A thing of the catalogue."""

    number: int
    """In [0, THINGS)."""
    name: str
    """What it is called; no two are called the same."""
    family: str
    """What it is."""
    motion: Motion
    """How it moves (`members.Motion`)."""
    radius: float
    """Of the upright cylinder around the own z axis that holds it at rest, in metres."""
    height: float
    """In metres; what rolls is as wide, and turns about the own x axis through the middle."""


@cache
def thing(number: int) -> ThingSpec:
    """The thing of a number, in [0, THINGS)."""
    member = MEMBERS[number]
    vertices = _build(number)[0].vertices
    radius = float(np.sqrt(vertices[:, 0] ** 2 + vertices[:, 1] ** 2).max())
    return ThingSpec(number, member.name, member.family, member.motion, radius, float(vertices[:, 2].max()))


def thing_mesh(spec: ThingSpec) -> Mesh:
    """A thing at rest: metres, its true size; the origin below its middle, z = 0 its lowest point, y forward.

    `surfaces` are places in `thing_coverings`.
    """
    return _build(spec.number)[0]


def thing_coverings(spec: ThingSpec) -> list[Covering]:
    """What the surfaces of a thing's mesh show."""
    return [Covering(each.paint(), each.roughness, each.wraps) for each in _build(spec.number)[1]]


@lru_cache(maxsize=16)
def _build(number: int) -> tuple[Mesh, list[Finish]]:
    bench = Bench(stream("things", 0, number))
    MEMBERS[number].build(bench)
    mesh = join(bench.pieces)
    base = np.array([0.0, 0.0, mesh.vertices[:, 2].min()])
    # A finish may be at hand for what this thing has not.
    used, surfaces = np.unique(mesh.surfaces, return_inverse=True)
    stood = Mesh(mesh.vertices - base, mesh.counts, mesh.corners, surfaces.astype(np.int32), mesh.normals, mesh.texture)
    return stood, [bench.finishes[each] for each in used]
