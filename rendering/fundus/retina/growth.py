"""Trees that grow on the sphere until each target has a branch nearby.

Space colonisation (Runions, Lane and Prusinkiewicz, Modeling trees with a space colonization algorithm, 2007) with two
children per node at most, then Murray's principle of minimum volume, which makes the branching angles: each vessel
pulls at its ends with its cross section (Murray, The physiological principle of minimum work applied to the angle of
branching of arteries, 1926).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from .sphere import Points, along, unit

Indices = npt.NDArray[np.int64]
Pull = Callable[[Points], npt.NDArray[np.float64]]
"""Where growth leans at points (n, 3): vectors (n, 3), of length below 1."""

ROUNDS = 400
"""Most steps of one growth; the longest way across the map takes about 200."""
TWIN = 0.82
"""Cosine of the least angle between a branch and its sibling where it begins."""


@dataclass(frozen=True)
class Habit:
    """How a plant grows. Lengths are angles at the sphere's centre, in radians."""

    reach: float
    """How far away a target is seen."""
    shortest: float
    """Targets nearer than this are not grown to."""
    clearing: float
    """How near a branch comes to a target that is reached."""
    step: float
    straight: float = 1.2
    """Weight of a tip's own direction against that to its targets."""
    lean: float = 0.25
    """The same for a new branch, whose own direction is its parent's."""


class Plant:
    """Nodes on the unit sphere, each after its parent.

    Attributes:
        points: places of the nodes (n, 3).
        parents: index of each node's parent, -1 at a root (n,).
        ways: unit vectors along which each node was reached (n, 3); zero at a root.
    """

    def __init__(self, roots: Points) -> None:
        count = len(roots)
        self.points = roots
        self.parents: Indices = np.full(count, -1, np.int64)
        self.ways = np.zeros((count, 3))
        self._children: Indices = np.zeros(count, np.int64)
        self._first: Indices = np.full(count, -1, np.int64)

    def lead(self, node: int, course: Points) -> int:
        """Grow from a node along a course (n, 3); the index of its last node."""
        for point in course:
            way = unit(along(point[None] - self.points[node], self.points[node : node + 1]))
            node = int(self._append(np.array([node]), point[None], way)[0])
        return node

    def colonise(self, targets: Points, habit: Habit, pull: Pull) -> None:
        """Grow branches to targets (n, 3), as far as they are seen."""
        near, gaps = self._nearest(targets)
        far = gaps > habit.shortest
        targets, near, gaps = targets[far], near[far], gaps[far]
        for _ in range(ROUNDS):
            kept = gaps > habit.clearing
            targets, near, gaps = targets[kept], near[kept], gaps[kept]
            order = np.lexsort((gaps, near))
            called = order[gaps[order] < habit.reach]
            if not len(called):
                return
            nodes, first, group = np.unique(near[called], return_index=True, return_inverse=True)
            tips = self._children[nodes] == 0
            ways = self._ways(targets[called], nodes, first, group, tips, habit, pull)
            siblings = self.ways[self._first[nodes]]
            good = tips | ((ways * siblings).sum(axis=1) < TWIN)
            new = self._append(nodes[good], unit(self.points[nodes[good]] + habit.step * ways[good]), ways[good])
            if len(new):
                gaps_to_new, found = cKDTree(self.points[new]).query(targets)
                nearer = gaps_to_new < gaps
                near, gaps = np.where(nearer, new[found], near), np.where(nearer, gaps_to_new, gaps)
            # A target whose branch would run beside another one is given up.
            gaps[called[first[~good]]] = 0.0
            left = np.flatnonzero(self._children[near] > 1)
            if len(left):
                near[left], gaps_left = self._nearest(targets[left])
                gaps[left] = np.where(gaps[left] > 0, gaps_left, 0.0)

    def _nearest(self, targets: Points) -> tuple[Indices, npt.NDArray[np.float64]]:
        """The nearest node that has room for another child, and the distance to it."""
        free = np.flatnonzero(self._children < 2)
        gaps, found = cKDTree(self.points[free], compact_nodes=False, balanced_tree=False).query(targets)
        return free[found], gaps

    def _ways(
        self,
        targets: Points,
        nodes: Indices,
        first: Indices,
        group: Indices,
        tips: npt.NDArray[np.bool_],
        habit: Habit,
        pull: Pull,
    ) -> npt.NDArray[np.float64]:
        """Unit vectors along which nodes grow: a tip to all of its targets, a new branch to the nearest."""
        here = self.points[nodes]
        towards = unit(targets - here[group])
        mean = unit(np.stack([np.bincount(group, towards[:, axis]) for axis in range(3)], axis=1))
        wanted = np.where(tips[:, None], mean, towards[first])
        weight = np.where(tips, habit.straight, habit.lean)[:, None]
        return unit(along(wanted + weight * self.ways[nodes] + pull(here), here))

    def _append(self, parents: Indices, points: Points, ways: npt.NDArray[np.float64]) -> Indices:
        count, more = len(self.points), len(points)
        new = np.arange(count, count + more)
        self.points = np.concatenate([self.points, points])
        self.parents = np.concatenate([self.parents, parents])
        self.ways = np.concatenate([self.ways, ways])
        only = self._children[parents] == 0
        self._first[parents[only]] = new[only]
        self._children[parents] += 1
        self._children = np.concatenate([self._children, np.zeros(more, np.int64)])
        self._first = np.concatenate([self._first, np.full(more, -1, np.int64)])
        return new


def flux(parents: Indices, leaves: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What flows through each node (n,): a leaf's own share (n,), else the sum of the children's.

    A node's parent comes before it.
    """
    total: list[float] = np.where(child_count(parents) == 0, leaves, 0.0).tolist()
    for node, parent in zip(range(len(parents) - 1, -1, -1), parents[::-1].tolist(), strict=True):
        if parent >= 0:
            total[parent] += total[node]
    return np.array(total)


def child_count(parents: Indices) -> Indices:
    """The number of each node's children (n,)."""
    return np.bincount(parents[parents >= 0], minlength=len(parents))


def relax(points: Points, parents: Indices, tension: npt.NDArray[np.float64], rounds: int) -> Points:
    """The points (n, 3), drawn towards the equilibrium of the vessels' tensions; roots and leaves stay.

    Args:
        points: places of the nodes.
        parents: their parents.
        tension: of the vessel that leads to each node (n,).
        rounds: how often each node goes half the way; few keep the large bends.
    """
    linked = parents >= 0
    own, parent = np.flatnonzero(linked), parents[linked]
    inner = linked & (child_count(parents) > 0)
    force = np.where(linked, tension, 0.0)
    total = (force + np.bincount(parent, force[own], len(points)))[inner, None]
    for _ in range(rounds):
        drawn = force[:, None] * points[parents]
        drawn += np.stack([np.bincount(parent, (force * points[:, axis])[own], len(points)) for axis in range(3)], 1)
        points = points.copy()
        points[inner] = unit(0.5 * points[inner] + 0.5 * drawn[inner] / total)
    return points


def bend(points: Points, generator: np.random.Generator, bends: list[tuple[float, float]]) -> Points:
    """The points (n, 3), moved by a smooth field, so that vessels wind and stay joined.

    Args:
        points: places on the sphere.
        generator: of the field.
        bends: size and largest shift of each kind of bends, in degrees at the sphere's centre.
    """
    shift = np.zeros_like(points)
    for size, most in bends:
        cell = math.radians(size)
        count = math.ceil(2.1 / cell) + 2
        lattice = generator.random((count, count, count, 3)) * 2 - 1
        shift += math.radians(most) * _between(lattice, (points + 1.02) / cell)
    return unit(points + along(shift, points))


def _between(lattice: npt.NDArray[np.float64], places: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Values of a lattice (k, k, k, 3) at places (n, 3) in its cells, smoothly interpolated."""
    low = np.floor(places).astype(np.int64)
    share = places - low
    share = share * share * (3 - 2 * share)
    total = np.zeros((len(places), 3))
    for corner in range(8):
        offset = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        weight = np.where(offset, share, 1 - share).prod(axis=1)
        at = low + offset
        total += weight[:, None] * lattice[at[:, 0], at[:, 1], at[:, 2]]
    return total


def prune(parents: Indices, doomed: npt.NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """What is left without the doomed nodes and all that hangs on them.

    Returns:
        Indices of the nodes that stay, in order, and their parents, as indices into these.
    """
    gone = doomed.tolist()
    for node, parent in enumerate(parents.tolist()):
        gone[node] = gone[node] or (parent >= 0 and gone[parent])
    kept = np.flatnonzero(~np.array(gone))
    place = np.full(len(parents) + 1, -1, np.int64)
    place[kept] = np.arange(len(kept))
    return kept, place[parents[kept]]
