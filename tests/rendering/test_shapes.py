"""The occluders' solids: closed, seen from outside, with normals that belong to their faces."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import get_args

import numpy as np
import pytest

from raylign.rendering.shapes import SEGMENTS, OccluderShape, Solid, solid
from raylign.rendering.sidar.sampling import BOUNDING_RADIUS

VOLUME = {
    "cone": math.pi * 2 / 3,
    "sphere": math.pi * 4 / 3,
    "cylinder": math.pi * 2,
    "torus": 2 * math.pi**2 * 0.25**2,
    "cube": 8.0,
}
SHAPES = get_args(OccluderShape)


def triangles(form: Solid) -> np.ndarray:
    """Corners (N, 3, 3) of the faces, cut into fans."""
    corners = np.array(form.vertices)
    return np.array([corners[[face[0], a, b]] for face in form.faces for a, b in itertools.pairwise(face[1:])])


@pytest.mark.parametrize("shape", SHAPES)
def test_solids_are_closed(shape: OccluderShape) -> None:
    form = solid(shape)
    edges = Counter((a, b) for face in form.faces for a, b in zip(face, [*face[1:], face[0]], strict=True))
    assert set(edges.values()) == {1}
    assert all((b, a) in edges for a, b in edges)


@pytest.mark.parametrize("shape", SHAPES)
def test_solids_have_their_volume(shape: OccluderShape) -> None:
    volume = float(np.linalg.det(triangles(solid(shape))).sum() / 6)
    # Polygons inscribed into circles: a little less, and never negative (inside out).
    assert volume == pytest.approx(VOLUME[shape], rel=0.03)


@pytest.mark.parametrize("shape", SHAPES)
def test_solids_fit_their_bounding_sphere(shape: OccluderShape) -> None:
    reach = max(math.hypot(*vertex) for vertex in solid(shape).vertices)
    assert reach == pytest.approx(BOUNDING_RADIUS[shape])


@pytest.mark.parametrize("shape", SHAPES)
def test_normals_belong_to_their_faces(shape: OccluderShape) -> None:
    form = solid(shape)
    corners = np.array(form.vertices)
    for face, normals in zip(form.faces, form.normals, strict=True):
        assert len(face) == len(normals)
        a, b, c = corners[face[:3]]
        flat = np.cross(b - a, c - a)
        flat /= np.linalg.norm(flat)
        for normal in normals:
            assert math.hypot(*normal) == pytest.approx(1)
            # Within the angle that one segment spans.
            assert flat @ normal > math.cos(1.2 * math.tau / SEGMENTS * (4 if shape == "torus" else 1))
