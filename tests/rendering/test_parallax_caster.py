"""The sampler's caster against an independent one in float64.

The other one takes each part as the half-spaces of the polyhedron that is rendered. It shares nothing with the
sampler's caster or with Blender but the description of a part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raylign.rendering.parallax.casting import Caster
from raylign.rendering.parallax.config import DIFFICULTIES, ParallaxConfig
from raylign.rendering.parallax.geometry import rays
from raylign.rendering.parallax.meshes import RINGS, SEGMENTS
from raylign.rendering.parallax.sampling import sample_parallax
from raylign.rendering.parallax.scenes import PartSpec


def corners(part: PartSpec) -> tuple[np.ndarray, list[list[int]]]:
    """Corners (V, 3) along (across, across, axis), in half extents, and three of each face."""
    if part.shape == "sphere":
        rings = np.linspace(-np.pi / 2, np.pi / 2, RINGS + 1)
        around = np.arange(SEGMENTS) * 2 * np.pi / SEGMENTS
        table = np.array([[np.cos(t) * np.cos(a), np.cos(t) * np.sin(a), np.sin(t)] for t in rings for a in around])
        faces = []
        for ring in range(RINGS):
            for step in range(SEGMENTS):
                after = (step + 1) % SEGMENTS
                low, high = ring * SEGMENTS, (ring + 1) * SEGMENTS
                # At the lower pole two of the lower corners fall together, so the third is taken from above.
                faces.append(
                    [low + step, high + after, high + step] if ring == 0 else [low + step, low + after, high + step]
                )
        return table, faces
    count = 4 if part.shape == "box" else SEGMENTS
    if part.shape == "box":
        outline = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    else:
        angles = np.arange(count) * 2 * np.pi / count
        outline = np.column_stack([np.cos(angles), np.sin(angles)])
    low = np.column_stack([outline, -np.ones(count)])
    high = np.column_stack([outline * part.taper, np.ones(count)])
    faces = [[step, (step + 1) % count, count + step] for step in range(count)]
    quarter = count // 4
    return np.concatenate([low, high]), [
        *faces,
        [0, 2 * quarter, quarter],
        [count, count + quarter, count + 2 * quarter],
    ]


def nearest_hits(
    parts: Sequence[PartSpec], origin: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distance (N,), in lengths of the direction, and part (N,) of what rays (N, 3) meet first; inf and -1 for none."""
    nearest, owner = np.full(len(directions), np.inf), np.full(len(directions), -1)
    for number, part in enumerate(parts):
        table, faces = corners(part)
        order = [(part.axis + 1) % 3, (part.axis + 2) % 3, part.axis]
        own = np.empty_like(table)
        own[:, order] = table * np.asarray(part.half)[order]
        cosine, sine = part.turn
        turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        world = own @ turn.T + part.centre
        # Rays that pass the part's ball need no planes.
        ball = np.sqrt(((world - part.centre) ** 2).sum(axis=1).max())
        offset = np.asarray(part.centre) - origin
        along = directions @ offset / (directions**2).sum(axis=1)
        close = ((along[:, None] * directions - offset) ** 2).sum(axis=1) < ball**2 * 1.0001
        if not close.any():
            continue
        a, b, c = (world[[face[k] for face in faces]] for k in range(3))
        normals = np.cross(b - a, c - a)
        speed = directions[close] @ normals.T
        excess = ((origin - a) * normals).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = -excess / speed
        enter = np.where(speed < 0, distance, -np.inf).max(axis=1)
        leave = np.where(speed > 0, distance, np.inf).min(axis=1)
        outside = ((speed == 0) & (excess > 0)).any(axis=1)
        hit = (enter < leave) & (enter > 0) & ~outside & (enter < nearest[close])
        rows = np.flatnonzero(close)[hit]
        nearest[rows], owner[rows] = enter[hit], number
    return nearest, owner


def test_the_caster_agrees_with_half_spaces() -> None:
    # The sampler's round parts are ideal, those of the oracle and the renderer have sides: outlines differ a little.
    for index in range(6):
        plan = sample_parallax(ParallaxConfig(), 11, index, 64, DIFFICULTIES[index % 3])
        steps = (np.arange(20) + 0.5) * 3.2 - 0.5
        pixels = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        directions = rays(plan.views[0], pixels, 64, 64)
        depth, part = Caster(plan.parts).cast(plan.views[0].position, directions)
        expected, owner = nearest_hits(plan.parts, np.asarray(plan.views[0].position), directions)
        same = part == owner
        assert same.mean() > 0.97
        boxes = np.array([each.shape == "box" for each in plan.parts])
        flat = same & (owner >= 0) & boxes[owner]
        np.testing.assert_allclose(depth[flat], expected[flat], rtol=1e-9)
        round_ones = same & (owner >= 0) & ~boxes[owner]
        np.testing.assert_allclose(depth[round_ones], expected[round_ones], rtol=0.05)
