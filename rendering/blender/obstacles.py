"""What hides points from a camera."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from mathutils.bvhtree import BVHTree

from ..parallax.meshes import Mesh
from ..parallax.scenes import ViewSpec

SAME = 1e-4
"""A point is hidden if something is nearer to the camera by more than this share of its distance."""
FAR = 1e6
"""How far a ray to the sky is followed, in metres."""

Field = npt.NDArray[np.float64]


class Obstacles:
    """Meshes that stand in the way of rays."""

    def __init__(self, meshes: Sequence[Mesh]) -> None:
        vertices: list[list[float]] = []
        faces: list[list[int]] = []
        for mesh in meshes:
            ends, first = np.cumsum(mesh.counts).tolist(), len(vertices)
            corners = (mesh.corners + first).tolist()
            faces += [corners[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
            vertices += mesh.vertices.tolist()
        self.tree = BVHTree.FromPolygons(vertices, faces)

    def hide(
        self, view: ViewSpec, points: Field, directions: Field, sky: npt.NDArray[np.bool_], slack: float = 0.0
    ) -> npt.NDArray[np.bool_]:
        """Which points (N, 3), and for the sky which directions (N, 3), something hides from a view.

        Args:
            view: the camera.
            points: in the world; of the sky's any.
            directions: of the sky's, from the camera; of the others any.
            sky: which are the sky's (N,).
            slack: how much nearer an obstacle must be besides, in metres.
        """
        towards = np.where(sky[:, None], directions, points - np.asarray(view.position))
        length = np.sqrt((towards * towards).sum(axis=1))
        reach = np.minimum(np.where(sky, np.inf, length * (1 - SAME) - slack), FAR)
        rows = zip((towards / length[:, None]).tolist(), reach.tolist(), strict=True)
        return np.array([self.tree.ray_cast(view.position, ray, far)[0] is not None for ray, far in rows], bool)
