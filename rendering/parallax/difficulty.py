"""Which scene is of which class of parallax."""

from __future__ import annotations

from ..splits import split_of
from .config import DIFFICULTIES, Difficulty


def difficulty_of(splits: dict[str, list[int]], index: int) -> Difficulty:
    """The class of scene `index`: taken in turns for training and validation, by thirds of the test split.

    Args:
        splits: split name to `[first, end)`.
        index: a scene's place in the dataset.
    """
    if split_of(splits, index) != "test":
        return DIFFICULTIES[index % 3]
    for name, (first, end) in zip(DIFFICULTIES, _thirds(*splits["test"]), strict=True):
        if first <= index < end:
            return name
    raise AssertionError(f"scene {index} is in no third of {splits['test']}")


def split_ranges_by_difficulty(splits: dict[str, list[int]]) -> dict[str, list[int]]:
    """The splits, followed by `test-easy`, `test-moderate`, `test-hard` where the test split has three scenes."""
    ranges = {name: [first, end] for name, (first, end) in splits.items()}
    if "test" in splits and splits["test"][1] - splits["test"][0] >= len(DIFFICULTIES):
        for name, third in zip(DIFFICULTIES, _thirds(*splits["test"]), strict=True):
            ranges[f"test-{name}"] = third
    return ranges


def _thirds(first: int, end: int) -> list[list[int]]:
    cuts = [first + (end - first) * part // 3 for part in range(4)]
    return [[cuts[part], cuts[part + 1]] for part in range(3)]
