"""Pairs for training and validation, from datasets of either kind.

From a `sequence` of T frames a training pair is any ordered pair of frames; validation and test pairs are (0, k), as in
the evaluation. Decoded frames are kept in memory up to a limit, so that small datasets are decoded once.
"""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Generator, Tensor

from .augment import AugmentOptions, draw_views, render_views, view_homography
from .samples import Sample, Samples, float_image

Batch = dict[str, Tensor]
Item = TypeVar("Item")


class SampleCache:
    """Samples of one split, the most recently used of them decoded in memory."""

    def __init__(self, url: str, split: str, limit_mb: int = 4096) -> None:
        self.samples = Samples(url, split)
        self._limit = limit_mb * 2**20
        self._kept: OrderedDict[int, Sample] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> Sample:
        if position in self._kept:
            self._kept.move_to_end(position)
            return self._kept[position]
        sample = self.samples[position]
        self._kept[position] = sample
        self._bytes += _bytes(sample)
        while self._bytes > self._limit and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._bytes -= _bytes(old)
        return sample


def _bytes(sample: Sample) -> int:
    return sum(frame.numel() for frame in sample.frames)


def _seeded(*numbers: int) -> Generator:
    """A generator whose stream depends on all the numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 0x9E3779B97F4A7C15) % (1 << 63)
    generator = Generator()
    generator.manual_seed(seed)
    return generator


class TrainingPairs:
    """Batches of augmented training pairs; batch (epoch, step) is the same whenever and by whoever it is made.

    With several workers each takes its slice of the global batch, so the numbers do not depend on their count.
    """

    def __init__(
        self,
        url: str,
        size: int,
        batch_size: int,
        options: AugmentOptions,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Open the training split of the dataset at `url`; `batch_size` counts over all workers."""
        self._cache = SampleCache(url, "train")
        self._size, self._batch, self._options, self._seed = size, batch_size, options, seed
        self._rows = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in one pass over the samples."""
        return max(1, len(self._cache) // self._batch)

    def epoch(self, epoch: int, steps: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from `first_step` on, made one ahead in a background thread."""
        return prefetch(self.batch(epoch, step) for step in range(first_step, steps))

    def batch(self, epoch: int, step: int) -> Batch:
        """One batch: `reference`, `source` `(B,3,S,S)` in [0, 1], their jittered twins `reference_input` and
        `source_input` that the network sees, and `homography (B,3,3)` reference to source (NaN where unknown)."""
        generator = _seeded(self._seed, epoch, step)
        count = self._batch
        order = self._order(epoch, step)
        frame_draw = torch.rand(count, 2, generator=generator)
        views = draw_views(count, self._options, generator)
        rows = range(self._rows.start, self._rows.stop)
        views = views[self._rows]
        references, sources, relations = [], [], []
        for row, number in enumerate(rows):
            sample = self._cache[order[number]]
            frames = len(sample.frames)
            a = int(frame_draw[number, 0] * frames)
            b = (a + 1 + int(frame_draw[number, 1] * (frames - 1))) % frames
            if views.same_frame[row]:
                b = a
            references.append(sample.frames[a])
            sources.append(sample.frames[b])
            relation = sample.homography(a, b)
            relations.append(torch.full((3, 3), torch.nan, dtype=torch.float64) if relation is None else relation)
        reference, to_reference = self._render(references, views.reference)
        source, to_source = self._render(sources, views.source)
        homography = torch.linalg.inv(to_source) @ torch.stack(relations) @ to_reference
        homography = homography / homography[:, 2:, 2:]
        return {
            "reference": reference,
            "source": source,
            "reference_input": (reference * views.gain_reference).clamp_(0, 1),
            "source_input": (source * views.gain_source).clamp_(0, 1),
            "homography": homography,
        }

    def _order(self, epoch: int, step: int) -> list[int]:
        """Positions of the samples of one step: passes over shuffled samples, one after the other."""
        total, first = len(self._cache), step * self._batch
        order: list[int] = []
        while len(order) < self._batch:
            turn, start = divmod(first + len(order), total)
            shuffled = torch.randperm(total, generator=_seeded(self._seed, epoch, -1 - turn))
            order += shuffled[start : start + self._batch - len(order)].tolist()
        return order

    def _render(self, pictures: list[Tensor], corners: Tensor) -> tuple[Tensor, Tensor]:
        """Views of pictures that may differ in size; returns them and their homographies into the pictures."""
        images = torch.empty(len(pictures), 3, self._size, self._size)
        matrices = torch.empty(len(pictures), 3, 3, dtype=torch.float64)
        groups: dict[tuple[int, ...], list[int]] = {}
        for row, picture in enumerate(pictures):
            groups.setdefault(tuple(picture.shape), []).append(row)
        for shape, rows in groups.items():
            matrix = view_homography(corners[rows], self._size, shape[-2], shape[-1])
            stack = float_image(torch.stack([pictures[row] for row in rows]))
            images[rows] = render_views(stack, matrix, self._size)
            matrices[rows] = matrix
        return images, matrices


def validation_pairs(url: str, split: str, size: int, limit: int) -> Batch:
    """The first `limit` pairs (0, k) of a split, spread over its samples, whole frames at `size` x `size`.

    Returns:
        `reference`, `source` `(P, 3, S, S)` in [0, 1] and `homography (P, 3, 3)`, NaN where unknown.
    """
    samples = Samples(url, split)
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])[None]
    references: list[Tensor] = []
    sources: list[Tensor] = []
    matrices: list[Tensor] = []
    per_sample = -(-limit // len(samples))
    for position in range(len(samples)):
        sample = samples[position]
        for k in range(1, min(len(sample.frames), per_sample + 1)):
            if len(matrices) == limit:
                break
            pair = []
            for frame in (0, k):
                picture = sample.frames[frame]
                matrix = view_homography(corners, size, picture.shape[-2], picture.shape[-1])
                pair.append((render_views(float_image(picture)[None], matrix, size)[0], matrix[0]))
            relation = sample.homography(0, k)
            if relation is None:
                relation = torch.full((3, 3), torch.nan, dtype=torch.float64)
            matrix = torch.linalg.inv(pair[1][1]) @ relation @ pair[0][1]
            references.append(pair[0][0])
            sources.append(pair[1][0])
            matrices.append(matrix / matrix[2, 2])
    return {
        "reference": torch.stack(references),
        "source": torch.stack(sources),
        "homography": torch.stack(matrices),
    }


def prefetch(items: Iterator[Item], depth: int = 2) -> Iterator[Item]:
    """Run an iterator in a background thread, `depth` items ahead; its errors come out here."""
    ready: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[Item | None, BaseException | None]) -> None:
        while not stop.is_set():
            try:
                ready.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stop.is_set():
                    return
            put((None, None))
        except BaseException as error:  # handed over to the consumer
            put((None, error))

    thread = threading.Thread(target=work, daemon=True, name="prefetch")
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stop.set()
        thread.join()
