"""Training and validation batches of the kind that a method eats."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Unpack

from ...methods.errors import DatasetError
from .augment import AugmentOptions
from .layouts.opening import load_info
from .loading import Batch, Share, TrainingBatches
from .pairs import TrainingPairs, check_fields, validation_pairs
from .samples import Samples
from .sequences import TrainingSequences, check_sequences, validation_sequences

__all__ = ["Batch", "BatchKind", "TrainingBatches", "check_data", "held_out", "training_batches"]

BatchKind = Literal["pair", "sequence"]
"""What a method's `training_step` eats (`LearnedAligner.batch_kind`)."""


def training_batches(
    kind: BatchKind,
    url: str,
    size: int,
    batch_size: int,
    options: AugmentOptions,
    *,
    fields: Collection[str] = (),
    **share: Unpack[Share],
) -> TrainingBatches:
    """Batches from the split `train` of a dataset.

    Args:
        kind: what the method eats.
        url: of the dataset.
        size: side of the pictures in pixels.
        batch_size: samples in a step, over all workers and all parts.
        options: how samples are varied.
        fields: what pairs must have besides (`LearnedAligner.batch_fields`).
        share: which of them, and how.

    Raises:
        DatasetError: the dataset is of a kind that the method cannot use, lacks `fields`, or the split is missing or
            empty.
        InputError: there are fewer samples than parts.
    """
    _check(kind, url, "train")
    if kind == "pair":
        return TrainingPairs(url, size, batch_size, options, fields=fields, **share)
    return TrainingSequences(url, size, batch_size, options, **share)


def held_out(
    kind: BatchKind, url: str, split: str, size: int, limit: int, frames: int, fields: Collection[str] = ()
) -> Batch:
    """A fixed batch of whole frames for validation.

    Args:
        kind: what the method eats.
        url: of the dataset.
        split: that is held out.
        size: side of the pictures in pixels.
        limit: most pairs or sequences.
        frames: of a sequence; pairs have two.
        fields: what pairs must have besides (`LearnedAligner.batch_fields`).

    Raises:
        DatasetError: the dataset is of a kind that the method cannot use, lacks `fields`, or the split is missing or
            empty.
    """
    _check(kind, url, split)
    if kind == "pair":
        return validation_pairs(url, split, size, limit, fields)
    return validation_sequences(url, split, size, limit, frames)


def check_data(kind: BatchKind, url: str, frames: int, fields: Collection[str] = ()) -> None:
    """Refuse a dataset that a method cannot be trained on, before anything starts.

    Args:
        kind: what the method eats.
        url: of the dataset.
        frames: of a training sequence.
        fields: what pairs must have besides (`LearnedAligner.batch_fields`).

    Raises:
        DatasetError: the dataset is of a kind that the method cannot use, lacks `fields`, or a split is missing or
            empty.
    """
    for split in ("train", "val"):
        _check(kind, url, split)
        samples = Samples(url, split)
        if kind == "sequence":
            check_sequences(samples, frames)
        else:
            check_fields(samples, fields)


def _check(kind: BatchKind, url: str, split: str) -> None:
    """Raise DatasetError where the dataset cannot give such batches, before any shard is opened."""
    info = load_info(url)
    if kind == "sequence" and info.kind == "pair":
        raise DatasetError(
            f"{url} holds pairs, but this method trains on sequences; make some with 'raylign render sidar'"
        )
    first, end = info.splits.get(split, (0, 1))
    if first >= end:
        raise DatasetError(f"the split '{split}' of {url} is empty; render more scenes, or give it a larger fraction")
