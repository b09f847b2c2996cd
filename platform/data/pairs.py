"""Pairs for training and validation, from datasets of either kind.

From a `sequence` of T frames a training pair is any ordered pair of frames; validation and test pairs are (0, k), as in
the evaluation. Only these two frames are read and decoded, and kept in memory up to a limit, so that small datasets are
decoded once.
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
    displacement_field,
    draw_changes,
    draw_views,
    mirror_displacement,
    mirror_homographies,
    mirror_pictures,
    render_pictures,
)
from .loading import Batch, SampleCache, Share, TrainingBatches, seeded

WHOLE = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
"""Corners of the view of a whole frame."""


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


def _two_frames(frames: int, *, draws: Tensor, same: bool) -> tuple[int, int]:
    """Numbers of the two frames of a pair.

    Args:
        frames: of the sample.
        draws: `(2,)`, in [0, 1).
        same: take one frame twice.
    """
    a = int(draws[0] * frames)
    b = (a + 1 + int(draws[1] * (frames - 1))) % frames
    return (a, a) if same else (a, b)


class TrainingPairs(TrainingBatches):
    """Batches of augmented training pairs; see `TrainingBatches`."""

    def __init__(self, url: str, size: int, batch_size: int, options: AugmentOptions, **share: Unpack[Share]) -> None:
        """Open the training split of the dataset at `url`; `size` is the side S of the views in pixels.

        Raises:
            DatasetError: there is no such split, or nothing in it.
            InputError: there are fewer samples than parts.
        """
        super().__init__(SampleCache(url, "train"), batch_size, **share)
        self._size, self._options = size, options

    def _make(self, epoch: int, step: int, rows: slice) -> Batch:
        """Some rows of a batch.

        Returns:
            `reference`, `source` `(B, 3, S, S)` in [0, 1], their changed twins `reference_input` and `source_input`
            that the network sees, and `homography (B, 3, 3)` reference to source (NaN where unknown). With
            displacement also `displacement (B, 2, S, S)` float32 in pixels (x, y): the source pixel q shows what the
            undisturbed source view, which `homography` leads to, shows at q + d(q).
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
        references, sources, relations = [], [], []
        for row, position in enumerate(order):
            choose = partial(_two_frames, draws=frame_draw[row], same=bool(views.same_frame[row]))
            loaded = self._cache.good(position, choose)
            references.append(loaded.frames[0])
            sources.append(loaded.frames[1])
            relations.append(known_or_nan(loaded.homography(*loaded.numbers)))
        reference, to_reference = render_pictures(references, views.reference, self._size)
        source, to_source = render_pictures(sources, views.source, self._size, displacement)
        homography = between_views(torch.stack(relations), to_reference, to_source)
        if options.flip:
            reference, source = mirror_pictures(reference, flip), mirror_pictures(source, flip)
            homography = mirror_homographies(homography, flip, self._size)
            displacement = None if displacement is None else mirror_displacement(displacement, flip)
        batch = {
            "reference": reference,
            "source": source,
            "reference_input": change_inputs(reference, changes.map(lambda each: each[:, 0]), options),
            "source_input": change_inputs(source, changes.map(lambda each: each[:, 1]), options),
            "homography": homography,
        }
        return batch if displacement is None else {**batch, "displacement": displacement}


def _first_frames(frames: int, *, most: int) -> range:
    return range(min(frames, most))


def validation_pairs(url: str, split: str, size: int, limit: int) -> Batch:
    """The first `limit` pairs (0, k) of a split, spread over its samples, whole frames at `size` x `size`.

    Returns:
        `reference`, `source` `(P, 3, S, S)` in [0, 1] and `homography (P, 3, 3)`, NaN where unknown.

    Raises:
        DatasetError: the split is missing or empty, its samples have one frame each, or too many are damaged.
    """
    cache = SampleCache(url, split, limit_mb=0)
    corners = torch.tensor(WHOLE)[None]
    references: list[Tensor] = []
    sources: list[Tensor] = []
    matrices: list[Tensor] = []
    per_sample = -(-limit // len(cache))
    for position in range(len(cache)):
        if len(matrices) == limit:
            break
        most = min(per_sample, limit - len(matrices))
        loaded = cache.good(position, partial(_first_frames, most=most + 1))
        for k in loaded.numbers[1:]:
            reference, to_reference = render_pictures([loaded.frames[0]], corners, size)
            source, to_source = render_pictures([loaded.frames[k]], corners, size)
            references.append(reference[0])
            sources.append(source[0])
            matrices.append(between_views(known_or_nan(loaded.homography(0, k)), to_reference[0], to_source[0]))
    if not matrices:
        raise DatasetError(f"the split '{split}' of {url} has one frame in each sample; pairs need two, render more")
    return {
        "reference": torch.stack(references),
        "source": torch.stack(sources),
        "homography": torch.stack(matrices),
    }
