"""Which scene shows which kind of pair."""

from __future__ import annotations

from ..splits import split_of
from ..streams import stream
from .config import KINDS, FundusConfig, PairKind


def kind_of(config: FundusConfig, seed: int, splits: dict[str, list[int]], index: int) -> PairKind:
    """The kind of scene `index`: drawn by its shares for training and validation, in blocks in the test split.

    Args:
        config: the settings, with the shares.
        seed: the dataset's seed.
        splits: split name to `[first, end)`.
        index: a scene's place in the dataset.
    """
    if split_of(splits, index) == "test":
        return next(kind for kind, (first, end) in _blocks(config, splits["test"]).items() if first <= index < end)
    place = stream("fundus", seed, index, "kind").random()
    for kind, share in config.shares.items():
        if place < share:
            return kind
        place -= share
    return max(KINDS, key=lambda kind: config.shares[kind])


def split_ranges_by_kind(config: FundusConfig, splits: dict[str, list[int]]) -> dict[str, list[int]]:
    """The splits, followed by `test-sfi-uwfi`, `test-s`, `test-p`, `test-a` for each kind that the test split has."""
    ranges = {name: [first, end] for name, (first, end) in splits.items()}
    if "test" in splits:
        for kind, block in _blocks(config, splits["test"]).items():
            ranges[f"test-{kind.lower()}"] = block
    return ranges


def _blocks(config: FundusConfig, test: list[int]) -> dict[PairKind, list[int]]:
    """Kind to `[first, end)` in the test split, by largest remainders; kinds without scenes are left out."""
    first, end = test
    wanted = {kind: share * (end - first) for kind, share in config.shares.items()}
    counts = {kind: int(amount) for kind, amount in wanted.items()}
    rest = end - first - sum(counts.values())
    for kind in sorted(KINDS, key=lambda kind: counts[kind] - wanted[kind])[:rest]:
        counts[kind] += 1
    blocks: dict[PairKind, list[int]] = {}
    for kind in KINDS:
        if counts[kind]:
            blocks[kind] = [first, first + counts[kind]]
        first += counts[kind]
    return blocks
