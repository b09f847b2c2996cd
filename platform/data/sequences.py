"""Sequences for training and validation, from `sequence` datasets that have a ground truth picture.

Frame 0 is the reference: the ground truth shows the same picture from the same place. All frames of a sequence are seen
through one view.
"""

from __future__ import annotations

from functools import partial
from typing import Unpack

import torch
from torch import Tensor

from ...methods.errors import DatasetError
from .augment import (
    AugmentOptions,
    change_inputs,
    draw_changes,
    draw_views,
    mirror_homographies,
    mirror_pictures,
    render_pictures,
    render_views,
)
from .loading import Batch, Loaded, SampleCache, Share, TrainingBatches, seeded
from .pairs import WHOLE, between_views, known_or_nan
from .samples import Samples, spread


def check_sequences(samples: Samples, frames: int) -> None:
    """Refuse samples that give no sequence of `frames` frames with a ground truth.

    Raises:
        DatasetError: the dataset is of another kind, or has too few frames or no ground truth.
    """
    reader = samples.reader
    if reader.info.kind != "sequence":
        raise DatasetError(
            f"{reader.url} is of kind '{reader.info.kind}', but sequences are needed; "
            "make a dataset with 'raylign render sidar'"
        )
    for position in range(len(samples)):
        there = len(samples.frame_names(position))
        if there < frames:
            raise DatasetError(
                f"{samples.where(position)} has {there} frames, not {frames}; set --augment.frames {max(there, 2)}, "
                f"or render more with --scene.frames {frames}"
            )
        if samples.gt_name(position) is None:
            raise DatasetError(
                f"{samples.where(position)} has no ground truth picture (gt.png), which sequences need; "
                "make a dataset with 'raylign render sidar'"
            )


def _frames(frames: int, *, draws: Tensor, count: int) -> list[int]:
    """Numbers of the frames of a sequence, the first of them 0, the others drawn without repetition.

    Args:
        frames: of the sample.
        draws: at least `frames` - 1 random numbers.
        count: of the numbers that are taken.
    """
    return [0, *(draws[: frames - 1].argsort()[: count - 1] + 1).tolist()]


def _view(loaded: Loaded, corners: Tensor, size: int) -> Batch:
    """One sequence as seen through one view.

    Args:
        loaded: the sample with the frames that are taken, the first of them frame 0, and the ground truth.
        corners: `(4, 2)`, of the view.
        size: S.

    Returns:
        What `TrainingSequences` gives, without the batch axis and without `inputs`.
    """
    each = corners.expand(len(loaded.frames), 4, 2)
    frames, to_frames = render_pictures(loaded.frames, each, size)
    assert loaded.gt is not None, "check_sequences has seen it"
    truth, _ = render_pictures([loaded.gt], each[:1], size)
    relations = torch.stack([known_or_nan(loaded.homography(0, number)) for number in loaded.numbers])
    batch = {
        "frames": frames,
        "truth": truth[0],
        "homographies": between_views(relations, to_frames[:1].expand_as(to_frames), to_frames),
    }
    if loaded.masks is not None:
        masks = [mask.float()[None, None] for mask in loaded.masks]
        rendered = [render_views(mask, to_frames[k : k + 1], size) for k, mask in enumerate(masks)]
        batch["masks"] = torch.cat(rendered)
    return batch


def _stack(sequences: list[Batch]) -> Batch:
    return {name: torch.stack([sequence[name] for sequence in sequences]) for name in sequences[0]}


class TrainingSequences(TrainingBatches):
    """Batches of augmented training sequences; see `TrainingBatches`."""

    def __init__(self, url: str, size: int, batch_size: int, options: AugmentOptions, **share: Unpack[Share]) -> None:
        """Open the training split of the dataset at `url`; `size` is the side S of the views in pixels.

        Raises:
            DatasetError: the split is missing, empty or of another kind, or has too few frames or no ground truth.
            InputError: there are fewer samples than parts.
        """
        super().__init__(SampleCache(url, "train", masks=True), batch_size, **share)
        samples = self._cache.samples
        check_sequences(samples, options.frames)
        self._most = max(len(samples.frame_names(position)) for position in range(len(samples)))
        self._size, self._options = size, options

    def _make(self, epoch: int, step: int, rows: slice) -> Batch:
        """Some rows of a batch.

        Returns:
            `frames (B, T, 3, S, S)` in [0, 1], the first of them frame 0, the others drawn without repetition; where
            any change of the inputs is on, their changed twins `inputs (B, T, 3, S, S)` that the network sees;
            `truth (B, 3, S, S)` in [0, 1], what frame 0 would show undisturbed; `homographies (B, T, 3, 3)` float64,
            frame 0 to each (NaN where unknown); where the dataset has them `masks (B, T, 1, S, S)` in [0, 1], 1 on
            occluders.
        """
        generator = seeded(self._seed, epoch, step)
        count, options = self._batch, self._options
        others = torch.rand(count, self._most - 1, generator=generator)[rows]
        flip = (torch.rand(count, generator=generator) < options.flip)[rows]
        views = draw_views(count, options, generator)[rows]
        changes = draw_changes(count, options.frames, options, generator).map(lambda each: each[rows].flatten(0, 1))
        sequences = []
        for row, position in enumerate(self._order(epoch, step)[rows]):
            choose = partial(_frames, draws=others[row], count=options.frames)
            loaded = self._cache.good(position, choose, gt=True)
            sequences.append(_view(loaded, views.reference[row], self._size))
        batch = _stack(sequences)
        if options.flip:
            homographies = mirror_homographies(batch.pop("homographies"), flip, self._size)
            batch = {name: mirror_pictures(pictures, flip) for name, pictures in batch.items()}
            batch["homographies"] = homographies
        if options.varies_inputs:
            pixels = batch["frames"]
            batch["inputs"] = change_inputs(pixels.flatten(0, 1), changes, options).view(pixels.shape)
        return batch


def validation_sequences(url: str, split: str, size: int, limit: int, frames: int) -> Batch:
    """Up to `limit` sequences of a split, evenly spread over its samples, the first `frames` whole frames of each.

    Returns:
        What `TrainingSequences` gives, without `inputs`.

    Raises:
        DatasetError: the split is missing, empty or of another kind, has too few frames or no ground truth, or too many
            of its samples are damaged.
    """
    cache = SampleCache(url, split, masks=True, limit_mb=0)
    check_sequences(cache.samples, frames)
    corners = torch.tensor(WHOLE)
    positions = spread(len(cache), limit)
    first = range(frames)
    return _stack([_view(cache.good(position, lambda _: first, gt=True), corners, size) for position in positions])
