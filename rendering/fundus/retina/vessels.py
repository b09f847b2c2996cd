"""The vessels of an eye: a tree of arteries, one of veins, and those of the choroid, grown from a seed.

The trunks follow their courses (`courses.py`); what is between them is filled by growth, large branches first, veins
between the arteries. Widths follow from Murray's law, from the last twigs to the disc, and are scaled so that the large
vessels beside the disc have the calibre that is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from ...parallax.geometry import turned
from ...streams import stream, uniform
from .calibres import ARTERIOLES, VENULES, beside_disc, central_equivalent
from .courses import inner_nasal, macular, nasal, stub, temporal
from .growth import Habit, Plant, Pull, bend, flux, prune, relax
from .spec import MICROMETRES, EyeSpec, VesselSpec
from .sphere import Places, Points, along, spread, to_sphere, unit
from .tree import Tree

EDGE = 104.0
"""How far from the pole vessels reach, in degrees of the map."""
ROOT = {"artery": -0.5, "vein": 0.2}
"""Where each root lies beside the disc's centre, towards the fovea: the artery on the nasal side of the vein."""
MACULA = 8.0
"""Radius around the fovea with finer and denser twigs, in visual degrees."""
BENDS = ((7.0, 1.4), (3.5, 0.75), (1.6, 0.24))
"""Size and largest shift of the bends of a usual eye, in visual degrees."""
CHOROID_BENDS = [(9.0, 1.1), (4.5, 0.5)]
"""The same in the choroid, in degrees of the map."""
CHOROID_TWIG = 0.5
"""Width of the choroid's last twigs, in degrees of the map."""
SPOKES = 7
"""Veins that meet in an ampulla."""


@dataclass(frozen=True)
class Stage:
    """Growth to targets of one density. Lengths are in visual degrees."""

    spacing: float
    """Distance between the targets."""
    step: float
    """Distance of the nodes."""
    straight: float
    """Weight of a tip's direction against that to its targets."""
    from_fovea: float
    """Around the fovea, this far, there is no target."""
    within: float
    """Farther away from the fovea there is none either."""
    thinning: float
    """How much larger the spacing is at the edge of the map."""

    def habit(self, scale: float) -> Habit:
        """How branches of this stage grow, with so many degrees of the map per visual degree."""
        spacing = math.radians(self.spacing * scale)
        return Habit(
            reach=2.1 * spacing,
            # No branch is so short that it looks like a thorn.
            shortest=0.75 * spacing,
            clearing=0.42 * spacing,
            step=math.radians(self.step * scale),
            straight=self.straight,
        )


STAGES = (
    Stage(10.0, 0.8, 2.2, 9.0, math.inf, 1.0),
    Stage(5.2, 0.7, 1.6, 4.0, math.inf, 1.2),
    Stage(2.3, 0.5, 1.3, 2.4, math.inf, 1.9),
    Stage(1.3, 0.4, 1.2, 1.3, MACULA, 1.0),
)
"""From the large branches to the twigs around the fovea."""
APART = 0.22
"""Least distance of a vein's targets from the arteries of the same stage, relative to the stage's spacing."""


@dataclass(frozen=True, eq=False)
class Vessels:
    """All vessels of an eye."""

    arteries: Tree
    """Its widths are in visual degrees."""
    veins: Tree
    """Its widths are in visual degrees."""
    choroid: Tree
    """Its widths are in degrees of the map."""


@lru_cache(maxsize=8)
def grow_vessels(eye: EyeSpec, spec: VesselSpec) -> Vessels:
    """The vessels of an eye; those of a right one, see `spec.py`."""
    noise = np.random.Generator(np.random.PCG64(spec.seed))
    artery, vein = _sprout(eye, spec, "artery"), _sprout(eye, spec, "vein")
    for stage in STAGES:
        artery.colonise(_targets(eye, stage, noise), stage.habit(eye.scale), _outwards(eye))
        # Veins lie between the arteries.
        targets = _targets(eye, stage, noise)
        gaps, _ = cKDTree(artery.points).query(targets)
        apart = gaps > math.radians(APART * stage.spacing * eye.scale)
        vein.colonise(targets[apart], stage.habit(eye.scale), _outwards(eye))
    return Vessels(
        _tree(eye, spec, artery, noise, spec.arteriole, ARTERIOLES),
        _tree(eye, spec, vein, noise, spec.arteriole / spec.ratio, VENULES),
        _choroid(spec, noise),
    )


def _sprout(eye: EyeSpec, spec: VesselSpec, kind: str) -> Plant:
    """The trunks of one tree."""

    def place(course: Places) -> Points:
        return to_sphere(course * eye.scale)

    rng = stream("retina", spec.seed, 0, kind)
    offset = ROOT[kind] + uniform(rng, (-0.2, 0.2))
    plant = Plant(place(np.array([eye.from_disc(offset, 0.0)])))
    for up, opening in zip((1, -1), spec.arcade, strict=True):
        # Artery and vein run side by side; which of them is nearer to the macula differs.
        drawn = uniform(stream("retina", spec.seed, 0, "apart", up), (-0.2, 0.2))
        apart = drawn + (0.08 if drawn > 0 else -0.08)
        curve = opening * (1 + (apart if kind == "artery" else -apart))
        stem = plant.lead(0, place(stub(eye, offset, up)))
        for main, minor in (
            (temporal(eye, rng, offset, curve, up), macular(eye, rng, offset, up)),
            (nasal(eye, rng, offset, up), inner_nasal(eye, rng, offset, up)),
        ):
            first = plant.lead(stem, place(main[:1]))
            plant.lead(first, place(main[1:]))
            plant.lead(first, place(minor[1:]))
    return plant


def _targets(eye: EyeSpec, stage: Stage, noise: np.random.Generator) -> Points:
    """What the branches of a stage grow to."""
    places = spread(EDGE, noise, stage.spacing * eye.scale)
    outer = np.maximum(0.0, np.sqrt((places * places).sum(axis=1)) - 30.0) / (EDGE - 30.0)
    thinning = 1 + (stage.thinning - 1) * outer
    places = places[noise.random(len(places)) * thinning * thinning < 1]
    from_fovea = _distance(places, eye.fovea, eye)
    inside = (from_fovea > stage.from_fovea) & (from_fovea < stage.within)
    return to_sphere(places[inside & (_distance(places, eye.disc, eye) > 0.6 * eye.disc_height)])


def _distance(places: Places, centre: tuple[float, float], eye: EyeSpec) -> npt.NDArray[np.float64]:
    """Distance of places of the map from a centre (n,), in visual degrees."""
    offset = places / eye.scale - np.asarray(centre)
    return np.sqrt((offset * offset).sum(axis=1))


def _outwards(eye: EyeSpec) -> Pull:
    """Away from between disc and fovea, where that is far away."""
    centre = to_sphere([(a + b) / 2 * eye.scale for a, b in zip(eye.fovea, eye.disc, strict=True)])
    near, far = math.radians(12 * eye.scale), math.radians(30 * eye.scale)

    def pull(points: Points) -> npt.NDArray[np.float64]:
        offset = points - centre
        length = np.sqrt((offset * offset).sum(axis=1, keepdims=True))
        return np.clip((length - near) / (far - near), 0, 1) * unit(along(offset, points))

    return pull


def _tree(
    eye: EyeSpec, spec: VesselSpec, plant: Plant, noise: np.random.Generator, calibre: float, factor: float
) -> Tree:
    """The tree with its bends, its widths and the zone without vessels.

    Args:
        eye: where fovea and disc lie.
        spec: what the vessels grow from.
        plant: the nodes.
        noise: draws the bends and the twigs.
        calibre: the central equivalent, in micrometres.
        factor: of the equivalent's formula.
    """
    leaves = 0.6 + 0.8 * noise.random(len(plant.points))
    fovea = to_sphere(np.array(eye.fovea) * eye.scale)
    from_fovea = np.sqrt(((plant.points - fovea) ** 2).sum(axis=1))
    leaves[from_fovea < math.radians(MACULA * eye.scale)] *= 0.6
    tension = flux(plant.parents, leaves) ** (2 / spec.exponent)
    points = relax(plant.points, plant.parents, tension, 14)
    points = bend(points, noise, [(size * eye.scale, most * eye.scale * spec.tortuosity) for size, most in BENDS])
    # Between its nodes a vessel comes nearer to the fovea, by less than a tenth of the zone's radius.
    near = np.sqrt(((points - fovea) ** 2).sum(axis=1)) < math.radians(1.1 * spec.avascular * eye.scale)
    kept, parents = prune(plant.parents, near)
    points, flows = points[kept], flux(parents, leaves[kept])
    widths = flows ** (1 / spec.exponent)
    scale = calibre / MICROMETRES / central_equivalent(beside_disc(points, parents, widths, eye), factor)
    return Tree(points, parents, flows, widths * scale)


def _choroid(spec: VesselSpec, noise: np.random.Generator) -> Tree:
    """The veins of the choroid, which meet in the vortices."""
    spokes = [turned(360 * spoke / SPOKES) for spoke in range(SPOKES)]
    plant = Plant(to_sphere([(x + 0.6 * a, y + 0.6 * b) for x, y in spec.vortices for a, b in spokes]))
    habit = Habit(math.radians(9), math.radians(2.4), math.radians(1.4), math.radians(1), straight=2.5, lean=1.3)
    plant.colonise(to_sphere(spread(EDGE + 8, noise, 2.8)), habit, np.zeros_like)
    flows = flux(plant.parents, 0.5 + noise.random(len(plant.points)))
    points = relax(plant.points, plant.parents, flows ** (2 / 3), 4)
    return Tree(bend(points, noise, CHOROID_BENDS), plant.parents, flows, CHOROID_TWIG * flows ** (1 / 3))
