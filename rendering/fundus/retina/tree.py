"""A grown vessel tree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .growth import Indices
from .sphere import Places, Points, to_map, unit


@dataclass(frozen=True, eq=False)
class Tree:
    """A vessel tree. A node's parent comes before it; the vessel that leads to a node has one width.

    Attributes:
        points: places of the nodes on the sphere, unit vectors (n, 3).
        parents: index of each node's parent (n,), -1 at a root.
        flux: what flows to each node (n,), the sum of what flows to its children.
        widths: diameter of the vessel that leads to each node (n,).
    """

    points: Points
    parents: Indices
    flux: npt.NDArray[np.float64]
    widths: npt.NDArray[np.float64]

    @property
    def heavy(self) -> Indices:
        """The child of each node that takes most of its flux (n,), -1 at a leaf."""
        order = np.argsort(self.flux, kind="stable")
        order = order[self.parents[order] >= 0]
        heavy = np.full(len(self.parents), -1, np.int64)
        heavy[self.parents[order]] = order
        return heavy

    def strands(self) -> tuple[Places, Places, npt.NDArray[np.float64]]:
        """The vessels as short straight pieces.

        Returns:
            Starts and ends (m, 2), in degrees of the map, and widths (m,).
        """
        own = np.flatnonzero(self.parents >= 0)
        parent, heavy = self.parents[own], self.heavy[own]
        before = np.where(self.parents[parent] >= 0, self.parents[parent], parent)
        after = np.where(heavy >= 0, heavy, own)
        p, q = self.points[parent], self.points[own]
        # The four-point rule (Dyn, Levin and Gregory 1987) makes a smooth curve of the nodes.
        middle = to_map(unit(9 * (p + q) - self.points[before] - self.points[after]))
        first, last = to_map(p), to_map(q)
        return np.concatenate([first, middle]), np.concatenate([middle, last]), np.tile(self.widths[own], 2)

    def forks(self) -> tuple[Indices, Indices, Indices]:
        """The nodes where a vessel branches, and the larger and the smaller of each one's two children."""
        order = np.argsort(self.parents, kind="stable")
        parents = self.parents[order]
        # No vessel comes before a root, so none branches there.
        twice = np.flatnonzero((parents[1:] == parents[:-1]) & (self.parents[parents[1:]] >= 0))
        first, second = order[twice], order[twice + 1]
        swap = self.flux[first] < self.flux[second]
        return parents[twice], np.where(swap, second, first), np.where(swap, first, second)
