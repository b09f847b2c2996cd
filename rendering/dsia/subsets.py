"""Which pair is of which subset of motion."""

from __future__ import annotations

from ..splits import split_of
from .config import SUBSETS, Subset


def subset_of(splits: dict[str, list[int]], scene: int, pair: int) -> Subset:
    """The subset of a pair: taken in turns for training and validation, by quarters of the test split's scenes.

    Args:
        splits: split name to `[first, end)`, in scenes.
        scene: number of the scene.
        pair: number of the pair in its scene.
    """
    if split_of(splits, scene) != "test" or not _has_quarters(splits):
        return SUBSETS[(scene + pair) % len(SUBSETS)]
    return next(name for name, (first, end) in _quarters(splits["test"]).items() if first <= scene < end)


def pair_ranges(splits: dict[str, list[int]], pairs: int) -> dict[str, list[int]]:
    """The splits in pairs, followed by `test-ScSf` to `test-LcLf` where the test split has four scenes.

    Args:
        splits: split name to `[first, end)`, in scenes.
        pairs: pairs of each scene.
    """
    ranges = dict(splits)
    if _has_quarters(splits):
        ranges |= {f"test-{name}": quarter for name, quarter in _quarters(splits["test"]).items()}
    return {name: [first * pairs, end * pairs] for name, (first, end) in ranges.items()}


def _has_quarters(splits: dict[str, list[int]]) -> bool:
    return "test" in splits and splits["test"][1] - splits["test"][0] >= len(SUBSETS)


def _quarters(test: list[int]) -> dict[Subset, list[int]]:
    first, end = test
    cuts = [first + (end - first) * part // len(SUBSETS) for part in range(len(SUBSETS) + 1)]
    return {name: [cuts[part], cuts[part + 1]] for part, name in enumerate(SUBSETS)}
