"""Which scenes are for training, validation and test."""

from __future__ import annotations

SPLITS = ("train", "val", "test")
"""The splits, in the order of their scenes."""


def split_ranges(scenes: int, val_fraction: float, test_fraction: float) -> dict[str, list[int]]:
    """Split name to `[first, end)`, in scene indices; a split without scenes is left out.

    From three scenes on, a split with a fraction above 0 has a scene at least; one or two scenes are all for training.
    """
    held_out = {
        name: max(1, round(scenes * fraction)) if fraction > 0 and scenes >= len(SPLITS) else 0
        for name, fraction in (("val", val_fraction), ("test", test_fraction))
    }
    # Large fractions of few scenes, rounded up both, would leave no scene to train on.
    while scenes - sum(held_out.values()) < 1:
        held_out[max(held_out, key=lambda name: held_out[name])] -= 1
    counts = {"train": scenes - sum(held_out.values()), **held_out}
    ranges: dict[str, list[int]] = {}
    first = 0
    for name in SPLITS:
        if counts[name]:
            ranges[name] = [first, first + counts[name]]
        first += counts[name]
    return ranges


def split_of(ranges: dict[str, list[int]], index: int) -> str:
    """The split that a scene belongs to."""
    return next(name for name, (first, end) in ranges.items() if first <= index < end)
