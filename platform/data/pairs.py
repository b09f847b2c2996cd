"""Pairs for training and validation, from datasets of either kind.

From a `sequence` of T frames a training pair is any ordered pair of frames; validation and test pairs are (0, k), as in
the evaluation. Only these two frames are read and decoded, and kept in memory up to a limit, so that small datasets are
decoded once.

Where a method asks for it, pairs of a `pair` dataset come with what the source shows from the view of the reference.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import Unpack

import torch
from torch import Tensor

from ...methods.errors import DatasetError
from .augment import (
    AugmentOptions,
    InputChanges,
    change_inputs,
    displacement_field,
    draw_changes,
    draw_views,
    mirror_displacement,
    mirror_homographies,
    mirror_pictures,
    render_pictures,
    render_views,
)
from .loading import VESSELS, Batch, Loaded, SampleCache, Share, TrainingBatches, seeded
from .samples import Samples

WHOLE = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
"""Corners of the view of a whole frame."""
STILL = ("collage", "fundus", "parallax")
"""Generators of pairs in which nothing moves by itself; they write no `dynamic.png`."""


def known_or_nan(homography: Tensor | None) -> Tensor:
    """A homography `(3, 3)`, NaN where it is unknown."""
    return torch.full((3, 3), torch.nan, dtype=torch.float64) if homography is None else homography


def between_views(homographies: Tensor, to_first: Tensor, to_second: Tensor) -> Tensor:
    """Homographies between views, from those between their pictures.

    Args:
        homographies: `(..., 3, 3)`, first picture to second.
        to_first: `(..., 3, 3)`, first view to its picture.
        to_second: `(..., 3, 3)`, second view to its picture.

    Returns:
        `(..., 3, 3)` float64, first view to second, h33 = 1.
    """
    matrices = torch.linalg.inv(to_second) @ homographies @ to_first
    return matrices / matrices[..., 2:, 2:]


def _two_frames(frames: int, *, draws: Tensor, same: bool, ordered: bool) -> tuple[int, int]:
    """Numbers of the two frames of a pair.

    Args:
        frames: of the sample.
        draws: `(2,)`, in [0, 1).
        same: take one frame twice.
        ordered: if not the same, take the first two as they are.
    """
    a = int(draws[0] * frames)
    b = (a + 1 + int(draws[1] * (frames - 1))) % frames
    return (a, a) if same else (0, 1) if ordered else (a, b)


def check_truth(samples: Samples) -> None:
    """Refuse samples of which nobody knows what the source shows from the view of the reference.

    Raises:
        DatasetError: the dataset has sequences, or no ground truth picture.
    """
    reader = samples.reader
    if reader.info.kind != "pair":
        raise DatasetError(
            f"{reader.url} holds sequences, but this method trains on pairs with a ground truth picture; "
            "make some with 'raylign render dsia'"
        )
    for position in range(len(samples)):
        if samples.gt_name(position) is None:
            raise DatasetError(
                f"{samples.where(position)} has no ground truth picture (gt.png), which this method trains on; "
                "make a dataset with 'raylign render dsia'"
            )


def check_vessels(samples: Samples) -> None:
    """Refuse samples of which nobody knows where the vessels are.

    Raises:
        DatasetError: they are no pairs of retinas with masks.
    """
    for position in range(len(samples)):
        if not set(VESSELS) <= set(samples.reader.fields(position)):
            raise DatasetError(
                f"{samples.where(position)} has no masks of vessels ({', '.join(VESSELS)}), which this method trains "
                "on; make a dataset with 'raylign render fundus'"
            )


def check_homographies(samples: Samples) -> None:
    """Refuse samples without homographies; the first sample is looked at.

    Raises:
        DatasetError: it has neither a true one nor one that comes closest.
    """
    content = samples.reader.read(0, ["meta.json"])["meta.json"]
    if samples.homographies(0, content, fitted=True) is None:
        raise DatasetError(
            f"{samples.where(0)} has no homography, which this method trains on; make a dataset with "
            "'raylign render fundus' or another of its kinds"
        )


def check_fields(samples: Samples, fields: Collection[str]) -> None:
    """Refuse samples that do not have what a method asks for (`LearnedAligner.batch_fields`).

    Raises:
        DatasetError: with the cure.
    """
    if "truth" in fields or "dynamic" in fields:
        check_truth(samples)
    if "vessels" in fields:
        check_vessels(samples)
    if "best_homography" in fields:
        check_homographies(samples)


class _Truth:
    """What batches of pairs have besides, for methods that ask for it."""

    def __init__(self, samples: Samples, fields: Collection[str]) -> None:
        """Get ready for pairs of `samples` with `fields`, of `truth`, `dynamic` and `vessels`.

        Raises:
            DatasetError: fields are asked for that the samples do not have.
        """
        self.gt, self.dynamic, self.vessels = (name in fields for name in ("truth", "dynamic", "vessels"))
        self.ordered = self.gt or self.dynamic
        check_fields(samples, fields)
        self._still = samples.reader.info.generator in STILL

    def seen(self, pair: Loaded, corners: Tensor, to_reference: Tensor, to_source: Tensor, size: int) -> Batch:
        """What one pair has besides, from the view of its reference.

        Args:
            pair: frames 0 and 1, or one frame twice; in any order where only vessels are asked for.
            corners: `(4, 2)`, of the view of the reference.
            to_reference: `(3, 3)`, that view to the reference.
            to_source: `(3, 3)`, the view of the source to the source.
            size: S.

        Returns:
            What was asked for of `truth (3, S, S)` in [0, 1], `dynamic (1, S, S)` in {0, 1} or NaN, and
            `vessels (2, S, S)` in [0, 1], of the reference from its view and of the source from its own.
        """
        batch: Batch = {}
        same = pair.numbers[0] == pair.numbers[1]
        if self.gt:
            truth = pair.frames[0] if same else pair.gt
            assert truth is not None, "check_truth has seen it"
            batch["truth"] = render_pictures([truth], corners[None], size)[0][0]
        if self.dynamic and (same or pair.dynamic is None):
            batch["dynamic"] = torch.full((1, size, size), 0.0 if same or self._still else torch.nan)
        elif self.dynamic and pair.dynamic is not None:
            moving = render_views(pair.dynamic.float()[None, None], to_reference[None], size)
            batch["dynamic"] = (moving[0] > 0.5).float()
        if self.vessels:
            assert pair.vessels is not None, "check_fields has seen them"
            views = zip(pair.vessels, (to_reference, to_source), strict=True)
            drawn = [render_views(mask[None, None] / 255, view[None], size)[0] for mask, view in views]
            batch["vessels"] = torch.cat(drawn)
        return batch


def _stack(rows: list[Batch]) -> Batch:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def in_the_light_of(source: Tensor, truth: Tensor, changes: InputChanges, options: AugmentOptions) -> Tensor:
    """The truth in the colours that `change_inputs` gives the source, without what is no colour: blur, noise, JPEG.

    Args:
        source: `(N, 3, S, S)` in [0, 1], before its changes.
        truth: `(N, 3, S, S)` in [0, 1].
        changes: those of the source, with N rows.
        options: which changes are on.

    Returns:
        `(N, 3, S, S)` in [0, 1]; what is of the same colour in source and truth stays so.
    """
    lit = (truth * changes.gain).clamp_(0, 1)
    if options.contrast:
        from kornia.color import rgb_to_grayscale

        # Contrast changes about the mean grey of a picture: about the source's here.
        grey = rgb_to_grayscale((source * changes.gain).clamp_(0, 1)).mean((1, 2, 3), keepdim=True)
        factor = changes.contrast[:, None, None, None]
        lit = (lit * factor + grey * (1 - factor)).clamp_(0, 1)
    rest = replace(options, contrast=0.0, blur=0.0, noise=0.0, jpeg=0.0, degradation=0.0)
    return change_inputs(lit, replace(changes, gain=torch.ones_like(changes.gain)), rest)


class TrainingPairs(TrainingBatches):
    """Batches of augmented training pairs; see `TrainingBatches`."""

    def __init__(
        self,
        url: str,
        size: int,
        batch_size: int,
        options: AugmentOptions,
        *,
        fields: Collection[str] = (),
        **share: Unpack[Share],
    ) -> None:
        """Open the training split of the dataset at `url`.

        Args:
            url: of the dataset.
            size: side S of the views in pixels.
            batch_size: samples in a step, over all workers and all parts.
            options: how samples are varied.
            fields: what batches have besides, of `truth` and `dynamic`, with which frames are never swapped, and
                `vessels`; and `best_homography`, with which `homography` is the one that comes closest to a pair's flow
                where none is true of it.
            share: which of them, and how.

        Raises:
            DatasetError: there is no such split, nothing in it, or not what is asked for.
            InputError: there are fewer samples than parts.
        """
        super().__init__(SampleCache(url, "train", fitted="best_homography" in fields), batch_size, **share)
        self._size, self._options = size, options
        self._truth = _Truth(self._cache.samples, fields)

    def _make(self, epoch: int, step: int, rows: slice) -> Batch:
        """Some rows of a batch.

        Returns:
            `reference`, `source` `(B, 3, S, S)` in [0, 1], their changed twins `reference_input` and `source_input`
            that the network sees, and `homography (B, 3, 3)` reference to source (NaN where unknown). With
            displacement also `displacement (B, 2, S, S)` float32 in pixels (x, y): the source pixel q shows what the
            undisturbed source view, which `homography` leads to, shows at q + d(q). Where they were asked for,
            `truth (B, 3, S, S)` in [0, 1], what the undisturbed source shows from the view of the reference, in the
            colours of `source_input`, and `dynamic (B, 1, S, S)` in {0, 1}, 1 where something moves by itself, NaN in
            the whole row of a sample of which that is unknown, and `vessels (B, 2, S, S)` in [0, 1], of reference and
            source (undisturbed), 1 where a pixel shows nothing but vessels.
        """
        generator = seeded(self._seed, epoch, step)
        count, options = self._batch, self._options
        order = self._order(epoch, step)[rows]
        frame_draw = torch.rand(count, 2, generator=generator)[rows]
        views = draw_views(count, options, generator)
        more = seeded(self._seed, epoch, step, 1)
        gain = torch.stack([views.gain_reference, views.gain_source], dim=1)
        changes = draw_changes(count, 2, options, more, gain).map(lambda each: each[rows])
        flip = (torch.rand(count, generator=more) < options.flip)[rows]
        displacement = None
        if options.displacement:
            length = torch.rand(count, 1, 1, 1, generator=more) * options.displacement * self._size
            grid = options.displacement_grid
            controls = torch.rand(count, 2, grid, grid, generator=more) * 2 - 1
            displacement = displacement_field(controls[rows], self._size) * length[rows]
        views = views[rows]
        pairs = []
        for row, position in enumerate(order):
            same = bool(views.same_frame[row])
            choose = partial(_two_frames, draws=frame_draw[row], same=same, ordered=self._truth.ordered)
            asked = {"gt": self._truth.gt and not same, "dynamic": self._truth.dynamic and not same}
            asked["vessels"] = self._truth.vessels
            pairs.append(self._cache.good(position, choose, **asked))
        reference, to_reference = render_pictures([pair.frames[0] for pair in pairs], views.reference, self._size)
        source, to_source = render_pictures([pair.frames[1] for pair in pairs], views.source, self._size, displacement)
        relations = torch.stack([known_or_nan(pair.homography(*pair.numbers)) for pair in pairs])
        homography = between_views(relations, to_reference, to_source)
        seen = [
            self._truth.seen(pair, views.reference[k], to_reference[k], to_source[k], self._size)
            for k, pair in enumerate(pairs)
        ]
        more_fields = _stack(seen)
        if options.flip:
            reference, source = mirror_pictures(reference, flip), mirror_pictures(source, flip)
            more_fields = {name: mirror_pictures(value, flip) for name, value in more_fields.items()}
            homography = mirror_homographies(homography, flip, self._size)
            displacement = None if displacement is None else mirror_displacement(displacement, flip)
        of_source = changes.map(lambda each: each[:, 1])
        if "truth" in more_fields:
            more_fields["truth"] = in_the_light_of(source, more_fields["truth"], of_source, options)
        batch = {
            "reference": reference,
            "source": source,
            "reference_input": change_inputs(reference, changes.map(lambda each: each[:, 0]), options),
            "source_input": change_inputs(source, of_source, options),
            "homography": homography,
            **more_fields,
        }
        return batch if displacement is None else {**batch, "displacement": displacement}


def _first_frames(frames: int, *, most: int) -> range:
    return range(min(frames, most))


def validation_pairs(url: str, split: str, size: int, limit: int, fields: Collection[str] = ()) -> Batch:
    """The first `limit` pairs (0, k) of a split, spread over its samples, whole frames at `size` x `size`.

    Returns:
        `reference`, `source` `(P, 3, S, S)` in [0, 1] and `homography (P, 3, 3)`, NaN where unknown; of `fields`
        `truth (P, 3, S, S)` in [0, 1], `dynamic (P, 1, S, S)` and `vessels (P, 2, S, S)`, see `TrainingPairs`.

    Raises:
        DatasetError: the split is missing or empty, its samples have one frame each, too many are damaged, or fields
            are asked for that they do not have.
    """
    cache = SampleCache(url, split, fitted="best_homography" in fields, limit_mb=0)
    known = _Truth(cache.samples, fields)
    corners = torch.tensor(WHOLE)[None]
    rows: list[Batch] = []
    per_sample = -(-limit // len(cache))
    for position in range(len(cache)):
        if len(rows) == limit:
            break
        most = min(per_sample, limit - len(rows))
        choose = partial(_first_frames, most=most + 1)
        loaded = cache.good(position, choose, gt=known.gt, dynamic=known.dynamic, vessels=known.vessels)
        for k in loaded.numbers[1:]:
            reference, to_reference = render_pictures([loaded.frames[0]], corners, size)
            source, to_source = render_pictures([loaded.frames[k]], corners, size)
            homography = between_views(known_or_nan(loaded.homography(0, k)), to_reference[0], to_source[0])
            seen = known.seen(loaded, corners[0], to_reference[0], to_source[0], size)
            rows.append({"reference": reference[0], "source": source[0], "homography": homography, **seen})
    if not rows:
        raise DatasetError(f"the split '{split}' of {url} has one frame in each sample; pairs need two, render more")
    return _stack(rows)
