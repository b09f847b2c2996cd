"""The homography that fits a flow best, and the parallax that it leaves.

Sums are taken in a fixed order by elementwise additions, and the equations solved by plain elimination, so a plan and a
sample's bytes do not depend on a linear-algebra library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..cameras import Matrix, product

Points = npt.NDArray[np.float64]
"""Pixels (N, 2), or one number for each."""

STEPS = 4
"""Gauss-Newton steps; from the identity the fit of a small rotation stands still after three."""


@dataclass(frozen=True)
class Parallax:
    """What the best homography leaves of a flow."""

    p90_px: float
    """90th percentile of the distance, in pixels."""
    rms_px: float
    """Root mean square of the distance, in pixels."""
    homography: Matrix
    """Pixels of the reference to pixels of the source (3, 3), its last entry 1."""


def measure_parallax(points: Points, targets: Points, width: int, height: int) -> Parallax | None:
    """The parallax between pixels of the reference (N, 2) and where they are in the source (N, 2); None if undefined.

    The homography is the one of least squared distance in the source.
    """
    if len(points) < 8:
        return None
    matrix = fit_homography(points, targets, width, height)
    if matrix is None:
        return None
    apart = apply(matrix, points) - targets
    square = apart[:, 0] * apart[:, 0] + apart[:, 1] * apart[:, 1]
    ordered = np.sort(np.sqrt(square))
    p90 = float(ordered[min(len(ordered) - 1, (9 * len(ordered)) // 10)])
    return Parallax(p90, float(np.sqrt(_total(square) / len(points))), matrix)


def fit_homography(points: Points, targets: Points, width: int, height: int) -> Matrix | None:
    """The homography (3, 3) of least squared distance; None where the points leave it open."""
    # In units of half the picture all unknowns are of one size.
    scale, middle = max(width, height) / 2, np.array([(width - 1) / 2, (height - 1) / 2])
    start, goal = (points - middle) / scale, (targets - middle) / scale
    x, y = start[:, 0], start[:, 1]
    one, zero = np.ones(len(x)), np.zeros(len(x))
    values = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    for _ in range(STEPS):
        a, b, c, d, e, f, g, h = values
        depth = g * x + h * y + 1
        u, v = (a * x + b * y + c) / depth, (d * x + e * y + f) / depth
        px, py, p1 = x / depth, y / depth, one / depth
        rows = [
            ([px, py, p1, zero, zero, zero, -u * px, -u * py], goal[:, 0] - u),
            ([zero, zero, zero, px, py, p1, -v * px, -v * py], goal[:, 1] - v),
        ]
        normal = [[sum(_total(row[i] * row[j]) for row, _ in rows) for j in range(8)] for i in range(8)]
        right = [sum(_total(row[i] * rest) for row, rest in rows) for i in range(8)]
        step = _solve(normal, right)
        if step is None:
            return None
        values = [value + change for value, change in zip(values, step, strict=True)]
    fitted = np.array([*values, 1.0]).reshape(3, 3)
    to_units = np.array([[1 / scale, 0, -middle[0] / scale], [0, 1 / scale, -middle[1] / scale], [0, 0, 1]])
    to_pixels = np.array([[scale, 0, middle[0]], [0, scale, middle[1]], [0, 0, 1]])
    matrix = product(to_pixels, product(fitted, to_units))
    return matrix / matrix[2, 2]


def apply(matrix: Matrix, points: Points) -> Points:
    """Where a homography brings pixels (N, 2)."""
    x, y = points[:, 0], points[:, 1]
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in matrix)
    return np.stack([u / w, v / w], axis=1)


def _total(values: npt.NDArray[Any]) -> float:
    """The sum, by halves: the same order of additions on every processor."""
    while len(values) > 1:
        half = len(values) // 2
        folded = values[:half] + values[half : 2 * half]
        values = np.concatenate([folded, values[2 * half :]])
    return float(values[0])


def _solve(matrix: list[list[float]], right: list[float]) -> list[float] | None:
    """The solution of linear equations by elimination with pivots; None if there is no single one."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for column in range(size):
        best = max(range(column, size), key=lambda row: abs(rows[row][column]))
        if abs(rows[best][column]) < 1e-12:
            return None
        rows[column], rows[best] = rows[best], rows[column]
        for row in range(column + 1, size):
            factor = rows[row][column] / rows[column][column]
            rows[row] = [a - factor * b for a, b in zip(rows[row], rows[column], strict=True)]
    solution = [0.0] * size
    for row in reversed(range(size)):
        rest = rows[row][size]
        for column in range(row + 1, size):
            rest -= rows[row][column] * solution[column]
        solution[row] = rest / rows[row][row]
    return solution
