"""All homographies of a set of frames at once, from the matches of many pairs (bundle adjustment of a plane).

Levenberg-Marquardt on the symmetric transfer error with a Cauchy loss (Hartley and Zisserman 2004, sections 4.2 and
A6.6, A6.8). The paper (arXiv 2310.11605) names this as what its pairwise homographies lack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import geometry

STEPS = 50
"""Most steps, counting those that are taken back."""
LEAST_GAIN = 1e-9
"""Share of the cost below which a step gains nothing worth another."""
MOST_DAMPING = 1e10


@dataclass(frozen=True)
class PairMatches:
    """Matches of two frames.

    Attributes:
        first: number of one frame.
        second: number of the other.
        points_first: `(K, 2)`, float64, pixels.
        points_second: `(K, 2)`, float64, pixels.
        scale: `(K,)`, float64, pixels: error of a match that halves its weight.
    """

    first: int
    second: int
    points_first: Tensor
    points_second: Tensor
    scale: Tensor


def adjust(homographies: Tensor, matches: Sequence[PairMatches], sizes: Sequence[geometry.Size]) -> Tensor:
    """Homographies that agree best with the matches of all pairs.

    The cost is the sum of `log(1 + (d / scale)^2) / 2` over the distances d of each match in both of its frames.
    Frame 0 stays the identity. A frame without matches stays where it starts.

    Args:
        homographies: `(F, 3, 3)`, frame 0 to frame k, where the search starts; the first is the identity.
        matches: of any pairs of frames.
        sizes: of the frames.

    Returns:
        `(F, 3, 3)`, float64, frame 0 to frame k, h33 = 1; of no larger cost than the start.
    """
    problem = _Problem(matches, sizes)
    current = problem.normalised(homographies)
    cost, gradient, curvature = problem.linearised(current)
    damping = 1e-4
    for _ in range(STEPS):
        diagonal = curvature.diagonal()
        # The floor keeps a frame of no matches solvable.
        damped = curvature + torch.diag(damping * diagonal.clamp_min(1e-9 * float(diagonal.max().clamp_min(1e-30))))
        factor, failed = torch.linalg.cholesky_ex(damped)
        moved = current
        if not failed:
            step = torch.cholesky_solve(-gradient[:, None], factor)[:, 0]
            entries = current[1:].flatten(1)[:, :8] + step.unflatten(0, (-1, 8))
            moved = torch.cat([current[:1], _matrices(entries)])
        if failed or not (new_cost := problem.cost(moved)) < cost:
            damping *= 10
            if damping > MOST_DAMPING:
                break
            continue
        gained = cost - new_cost
        current, damping = moved, max(damping / 10, 1e-12)
        cost, gradient, curvature = problem.linearised(current)
        if gained < LEAST_GAIN * cost:
            break
    return problem.in_pixels(current)


def cost(homographies: Tensor, matches: Sequence[PairMatches], sizes: Sequence[geometry.Size]) -> float:
    """What `adjust` makes small, of its arguments."""
    problem = _Problem(matches, sizes)
    return problem.cost(problem.normalised(homographies))


def _matrices(entries: Tensor) -> Tensor:
    """Homographies of their first eight entries `(F, 8)`."""
    return torch.cat([entries, torch.ones_like(entries[:, :1])], dim=1).unflatten(1, (3, 3))


class _Problem:
    """The matches in coordinates near 1, in which homographies have entries of like size."""

    def __init__(self, matches: Sequence[PairMatches], sizes: Sequence[geometry.Size]) -> None:
        self.to_unit = torch.stack([_unit(size) for size in sizes])
        self.matches = [each for each in matches if len(each.scale)]
        self.directions = [self._direction(each) for each in self.matches]
        self.directions += [self._direction(_swapped(each)) for each in self.matches]

    def _direction(self, pair: PairMatches) -> tuple[int, int, Tensor, Tensor, Tensor]:
        """Both frames, homogeneous points of the first, points of the second, and 1 / scale in its units."""
        start, end = (
            geometry.transform_points(self.to_unit[frame][None], points.double()[None])[0]
            for frame, points in ((pair.first, pair.points_first), (pair.second, pair.points_second))
        )
        homogeneous = torch.cat([start, torch.ones_like(start[:, :1])], dim=1)
        return pair.first, pair.second, homogeneous, end, 1 / (pair.scale * self.to_unit[pair.second, 0, 0])

    def normalised(self, homographies: Tensor) -> Tensor:
        inside = self.to_unit @ homographies.double() @ torch.linalg.inv(self.to_unit[0])
        return inside / inside[:, 2:, 2:]

    def in_pixels(self, homographies: Tensor) -> Tensor:
        found = torch.linalg.inv(self.to_unit) @ homographies @ self.to_unit[0]
        found = found / found[:, 2:, 2:]
        found[0] = torch.eye(3)
        return found

    def cost(self, homographies: Tensor) -> float:
        inverse = torch.linalg.inv_ex(homographies).inverse
        total = 0.0
        for first, second, start, end, sharpness in self.directions:
            mapped = start @ (homographies[second] @ inverse[first]).T
            error = (mapped[:, :2] / mapped[:, 2:] - end) * sharpness[:, None]
            total += float(error.square().sum(1).log1p().sum()) / 2
        return total

    def linearised(self, homographies: Tensor) -> tuple[float, Tensor, Tensor]:
        """The cost, its gradient `(8 (F-1),)` and the Gauss-Newton matrix of its reweighted squares.

        With `z = H_i^-1 x` a match goes to `y = H_j z`, and `dy = dH_j z - H_j H_i^-1 dH_i z`.
        """
        count = len(homographies)
        gradient = homographies.new_zeros(count, 8)
        curvature = homographies.new_zeros(count, 8, count, 8)
        inverse = torch.linalg.inv_ex(homographies).inverse
        total = 0.0
        for first, second, start, end, sharpness in self.directions:
            plane = start @ inverse[first].T
            mapped = plane @ homographies[second].T
            place = mapped[:, :2] / mapped[:, 2:]
            error = (place - end) * sharpness[:, None]
            squared = error.square().sum(1)
            total += float(squared.log1p().sum()) / 2
            projection = torch.zeros(len(start), 2, 3, dtype=start.dtype, device=start.device)
            projection[:, 0, 0] = projection[:, 1, 1] = 1
            projection[:, :, 2] = -place
            projection *= (sharpness / mapped[:, 2])[:, None, None]
            by_second = (projection[..., None] * plane[:, None, None]).flatten(2)[..., :8]
            through = projection @ (homographies[second] @ inverse[first])
            by_first = -(through[..., None] * plane[:, None, None]).flatten(2)[..., :8]
            both = torch.cat([by_first, by_second], dim=2)
            weighted = (both / (1 + squared)[:, None, None]).flatten(0, 1)
            form = (both.flatten(0, 1).T @ weighted).unflatten(0, (2, 8)).unflatten(2, (2, 8))
            pull = (weighted.T @ error.flatten()).unflatten(0, (2, 8))
            for row, frame in enumerate((first, second)):
                gradient[frame] += pull[row]
                for column, other in enumerate((first, second)):
                    curvature[frame, :, other] += form[row, :, column]
        free = 8 * (count - 1)
        return total, gradient[1:].flatten(), curvature[1:, :, 1:].reshape(free, free)


def _swapped(pair: PairMatches) -> PairMatches:
    return PairMatches(pair.second, pair.first, pair.points_second, pair.points_first, pair.scale)


def _unit(size: geometry.Size) -> Tensor:
    """The similarity `(3, 3)` that brings a frame's middle to 0 and half its longer side to 1."""
    height, width = size
    half = max(height, width) / 2
    rows = [[1 / half, 0, -(width - 1) / 2 / half], [0, 1 / half, -(height - 1) / 2 / half], [0, 0, 1]]
    return torch.tensor(rows, dtype=torch.float64)
