"""Measured on a retina: its branchings as landmarks, and the numbers that studies publish of fundus photographs."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .calibres import ARTERIOLES, VENULES, beside_disc, central_equivalent
from .painting import paint_retina
from .spec import MICROMETRES, EyeSpec, RetinaSpec
from .sphere import to_map
from .tree import Tree
from .vessels import grow_vessels

Numbers = npt.NDArray[np.float64]

FIELD = 45.0
"""Diameter of the round field in which the map is measured, in visual degrees; in its middle is that between fovea and
disc."""
DENSITY = 10.0
"""Pixels per visual degree of that map."""
COVERED = 76
"""From this value on, of 255, a pixel of the map counts as vessel."""
VISIBLE = 0.09
"""Least width of vessels whose angles and bends are measured, in visual degrees: 26 micrometres."""
SHORTEST, LONGEST = 5.0, 15.0
"""Length of the pieces of vessels whose bends are measured, in visual degrees."""


def bifurcations(spec: RetinaSpec) -> list[tuple[float, float, float]]:
    """Branchings of the retina's vessels: x, y and width of the vessel that branches, in degrees of the map.

    The most prominent come first, by the width of the smaller branch. Those on the optic disc are left out.
    """
    vessels = grow_vessels(spec.eye, spec.vessels)
    found: list[list[float]] = []
    for tree in (vessels.arteries, vessels.veins):
        forks, _, smaller = tree.forks()
        places = to_map(tree.points[forks])
        offset = places / spec.eye.scale - np.array(spec.eye.disc)
        off_disc = np.sqrt((offset * offset).sum(axis=1)) > 0.55 * spec.eye.disc_height
        rows = np.column_stack([places, tree.widths[forks] * spec.eye.scale, tree.widths[smaller]])
        found += rows[off_disc].tolist()
    found.sort(key=lambda row: -row[3])
    sign = -1 if spec.side == "left" else 1
    return [(sign * x, y, width) for x, y, width, _ in found]


def vessel_statistics(spec: RetinaSpec) -> dict[str, float]:
    """Numbers that studies of fundus photographs publish.

    Returns:
        `arteriole`, `venule`: central retinal equivalents in micrometres (Knudtson et al. 2003); `ratio` of the two.
        `widest_arteriole`, `widest_venule`: the largest single vessels in zone B, in micrometres.
        `exponent`: x of Murray's law, the median over the branchings of visible vessels in a usual field.
        `angle`: their mean angle between the branches, in degrees, measured two nodes (1.2 visual degrees) after them.
        `asymmetry`: their mean ratio of the smaller branch's width to the larger's.
        `tortuosity`: mean of length over chord of visible vessels.
        `fractal`: box-counting dimension of the map of vessels, in a round field of 45 visual degrees.
        `density`: share of that field that vessels cover.
    """
    vessels = grow_vessels(spec.eye, spec.vessels)
    trees = vessels.arteries, vessels.veins
    widths = [MICROMETRES * beside_disc(tree.points, tree.parents, tree.widths, spec.eye) for tree in trees]
    arteriole, venule = central_equivalent(widths[0], ARTERIOLES), central_equivalent(widths[1], VENULES)
    forks = [_fork_numbers(tree, spec.eye) for tree in trees]
    angles, ratios, exponents = (np.concatenate(each) for each in zip(*forks, strict=True))
    mask = _field(spec)
    return {
        "arteriole": arteriole,
        "venule": venule,
        "ratio": arteriole / venule,
        "widest_arteriole": float(widths[0][0]),
        "widest_venule": float(widths[1][0]),
        "exponent": float(np.median(exponents)),
        "angle": float(np.mean(angles)),
        "asymmetry": float(np.mean(ratios)),
        "tortuosity": float(np.mean(np.concatenate([_tortuosities(tree, spec.eye) for tree in trees]))),
        "fractal": box_dimension(mask),
        "density": float(mask.sum() / (math.pi / 4 * len(mask) ** 2)),
    }


def box_dimension(mask: npt.NDArray[np.bool_]) -> float:
    """Box-counting dimension of a square mask (n, n): minus the slope of log count over log side, sides 2 to n / 4."""
    sides = [2**power for power in range(1, int(math.log2(len(mask) / 4)) + 1)]
    counts = []
    for side in sides:
        padded = np.pad(mask, (0, -len(mask) % side))
        boxes = padded.reshape(len(padded) // side, side, -1, side).any(axis=(1, 3))
        counts.append(int(boxes.sum()))
    return float(-np.polyfit(np.log(sides), np.log(counts), 1)[0])


def _fork_numbers(tree: Tree, eye: EyeSpec) -> tuple[Numbers, Numbers, Numbers]:
    """Of the branchings of visible vessels: angle in degrees, ratio of the widths, and Murray's exponent."""
    forks, larger, smaller = tree.forks()
    heavy, places = tree.heavy, to_map(tree.points) / eye.scale
    seen = (tree.widths[smaller] > VISIBLE) & (np.sqrt((places[forks] ** 2).sum(axis=1)) < FIELD / 2)
    forks, larger, smaller = forks[seen], larger[seen], smaller[seen]
    one, other = (places[np.where(heavy[node] >= 0, heavy[node], node)] - places[forks] for node in (larger, smaller))
    cosine = (one * other).sum(axis=1) / np.sqrt((one * one).sum(axis=1) * (other * other).sum(axis=1))
    widths = [tree.widths[node].tolist() for node in (forks, larger, smaller)]
    exponents = np.array([_exponent(*each) for each in zip(*widths, strict=True)])
    return np.degrees(np.arccos(np.clip(cosine, -1, 1))), tree.widths[smaller] / tree.widths[larger], exponents


def _exponent(parent: float, larger: float, smaller: float) -> float:
    """The x with parent^x = larger^x + smaller^x, by bisection between 0.5 and 8."""
    low, high = 0.5, 8.0
    for _ in range(50):
        middle = (low + high) / 2
        if (larger / parent) ** middle + (smaller / parent) ** middle > 1:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _tortuosities(tree: Tree, eye: EyeSpec) -> Numbers:
    """Length over chord of visible vessels, from where they branch off."""
    places, heavy = to_map(tree.points) / eye.scale, tree.heavy
    begins = (tree.parents >= 0) & (heavy[tree.parents] != np.arange(len(heavy))) & (tree.widths > VISIBLE)
    ratios = []
    for start in np.flatnonzero(begins).tolist():
        node, length = start, 0.0
        while heavy[node] >= 0 and tree.widths[heavy[node]] > VISIBLE and length < LONGEST:
            length += math.dist(places[node], places[heavy[node]])
            node = int(heavy[node])
        if length > SHORTEST:
            ratios.append(length / math.dist(places[start], places[node]))
    return np.array(ratios)


def _field(spec: RetinaSpec) -> npt.NDArray[np.bool_]:
    """Where vessels are in the round field (n, n)."""
    sign = -1 if spec.side == "left" else 1
    x, y = ((a + b) / 2 * spec.eye.scale for a, b in zip(spec.eye.fovea, spec.eye.disc, strict=True))
    half = FIELD / 2 * spec.eye.scale
    part = sign * x - half, y - half, sign * x + half, y + half
    covered = paint_retina(spec, DENSITY / spec.eye.scale, part).vessels >= COVERED
    steps = np.linspace(-1, 1, min(covered.shape))
    return covered[: len(steps), : len(steps)] & (steps[:, None] ** 2 + steps**2 < 1)
