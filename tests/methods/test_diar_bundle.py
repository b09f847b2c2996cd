"""All homographies of a set at once."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import least_squares

from raylign.methods import geometry
from raylign.methods.diar.bundle import PairMatches, adjust, cost

SIZE = (240, 320)
CORNERS = geometry.image_corners(SIZE)


def homographies(count: int, seed: int, shift: float = 40.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    moved = CORNERS + shift * torch.randn(count - 1, 4, 2, generator=generator, dtype=torch.float64) / 2
    found = geometry.homography_from_points(CORNERS.expand(count - 1, -1, -1), moved)
    return torch.cat([torch.eye(3, dtype=torch.float64)[None], found])


def noisy_pairs(
    truth: torch.Tensor, pairs: list[tuple[int, int]], seed: int, count: int = 25, noise: float = 1.0, wrong: int = 0
) -> list[PairMatches]:
    generator = torch.Generator().manual_seed(seed)
    matches = []
    for i, j in pairs:
        plane = torch.rand(1, count, 2, generator=generator, dtype=torch.float64) * torch.tensor([320.0, 240.0])
        a, b = (geometry.transform_points(truth[k][None], plane)[0] for k in (i, j))
        a, b = (each + noise * torch.randn(count, 2, generator=generator, dtype=torch.float64) for each in (a, b))
        b[:wrong] = torch.rand(wrong, 2, generator=generator, dtype=torch.float64) * 240
        matches.append(PairMatches(i, j, a, b, torch.full((count,), 2.0, dtype=torch.float64)))
    return matches


def corner_error(found: torch.Tensor, truth: torch.Tensor) -> float:
    corners = CORNERS.expand(len(truth), -1, -1)
    off = geometry.transform_points(found, corners) - geometry.transform_points(truth, corners)
    return float(off.norm(dim=-1).mean())


def all_pairs(count: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(count) for j in range(i + 1, count)]


def pairwise(matches: list[PairMatches], count: int) -> torch.Tensor:
    """Each frame by itself from its matches with frame 0, by the normalised direct linear transform."""
    found = [torch.eye(3, dtype=torch.float64)]
    for k in range(1, count):
        pair = next(each for each in matches if (each.first, each.second) == (0, k))
        a, b = (geometry.normalise_points(each, SIZE)[None] for each in (pair.points_first, pair.points_second))
        fitted = geometry.fit_homography(a, b, torch.ones(a.shape[:2]))[0]
        unit = torch.tensor([[2 / 319, 0, -1], [0, 2 / 239, -1], [0, 0, 1]], dtype=torch.float64)
        back = torch.linalg.inv(unit) @ fitted @ unit
        found.append(back / back[2, 2])
    return torch.stack(found)


def scipy_cost(start: torch.Tensor, matches: list[PairMatches]) -> float:
    """The same cost, with residuals and derivatives of SciPy's own."""

    def robust(entries: np.ndarray) -> np.ndarray:
        eights = entries.reshape(-1, 8)
        found = [np.eye(3), *(np.append(each, 1).reshape(3, 3) for each in eights)]
        parts = []
        for pair in matches:
            for i, j, a, b in (
                (pair.first, pair.second, pair.points_first, pair.points_second),
                (pair.second, pair.first, pair.points_second, pair.points_first),
            ):
                mapped = np.column_stack([a.numpy(), np.ones(len(a))]) @ (found[j] @ np.linalg.inv(found[i])).T
                error = (mapped[:, :2] / mapped[:, 2:] - b.numpy()) / pair.scale.numpy()[:, None]
                squared = np.maximum((error**2).sum(1, keepdims=True), 1e-18)
                parts.append((error * np.sqrt(np.log1p(squared) / squared)).ravel())
        return np.concatenate(parts)

    result = least_squares(robust, start[1:].flatten(1)[:, :8].numpy().ravel(), x_scale="jac", max_nfev=200)
    return float(result.cost)


def test_the_minimum_is_scipys() -> None:
    truth = homographies(4, 0)
    matches = noisy_pairs(truth, all_pairs(4), 1, wrong=4)
    start = pairwise(noisy_pairs(truth, all_pairs(4), 1), 4)
    found = adjust(start, matches, [SIZE] * 4)
    expected = scipy_cost(start, matches)
    reached = cost(found, matches, [SIZE] * 4)
    assert reached < cost(start, matches, [SIZE] * 4)
    assert abs(reached - expected) < 1e-4 * expected


def test_all_pairs_together_are_better_than_each_frame_by_itself() -> None:
    ratios = []
    for seed in range(4):
        truth = homographies(6, seed)
        matches = noisy_pairs(truth, all_pairs(6), seed + 10)
        alone = pairwise(matches, 6)
        ratios.append(corner_error(adjust(alone, matches, [SIZE] * 6), truth) / corner_error(alone, truth))
    assert np.mean(ratios) < 0.8


def test_exact_matches_give_the_truth_from_afar_and_frames_of_any_size() -> None:
    truth = homographies(4, 5)
    matches = noisy_pairs(truth, [(0, 1), (1, 2), (2, 3)], 6, noise=0.0)
    start = homographies(4, 5, shift=34.0)
    found = adjust(start, matches, [SIZE, (100, 90), (480, 640), SIZE])
    assert corner_error(found, truth) < 1e-4
    assert torch.equal(found[0], torch.eye(3, dtype=torch.float64))


def test_a_third_of_wrong_matches_does_not_matter() -> None:
    truth = homographies(4, 7)
    start = homographies(4, 7, shift=39.0)
    found = adjust(start, noisy_pairs(truth, all_pairs(4), 8, count=60, noise=0.3, wrong=20), [SIZE] * 4)
    assert corner_error(found, truth) < 0.5


def test_a_frame_without_matches_stays() -> None:
    truth = homographies(3, 9)
    found = adjust(truth, noisy_pairs(truth, [(0, 1)], 10), [SIZE] * 3)
    assert torch.allclose(found[2], truth[2], atol=1e-9)
    assert not torch.allclose(found[1], truth[1], atol=1e-9)
    assert torch.allclose(adjust(truth, [], [SIZE] * 3), truth, atol=1e-9)
