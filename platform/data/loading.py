"""What training batches of either kind have in common: order, shares of workers, loader threads, damaged samples.

Batch (epoch, step) is the same whenever and by whoever it is made: all its random numbers are drawn for the whole
batch, then each worker takes its rows of them.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Required, TypedDict, TypeVar, Unpack

import torch
from torch import Generator, Tensor

from ...methods.draws import MOST
from ...methods.errors import DatasetError, InputError
from .samples import Samples, homography_between

Batch = dict[str, Tensor]
Item = TypeVar("Item")

DAMAGED_SHARE = 0.01
"""Share of a split's samples that may be damaged and left out."""

DYNAMIC = "dynamic.png"
"""Suffix of the mask of what moves by itself."""

VESSELS = ("vessels.png", "vessels-src.png")
"""Suffixes of the masks of vessels, of reference and source."""

LOADER = "raylign-loader"
"""Name of the loader threads."""

_log = logging.getLogger(__name__)


def mixed(*numbers: int) -> int:
    """One seed that depends on all the numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 0x9E3779B97F4A7C15) % (1 << 63)
    return seed


def seeded(*numbers: int) -> Generator:
    """A generator whose stream depends on all the numbers."""
    return Generator().manual_seed(mixed(*numbers))


@dataclass(frozen=True)
class Loaded:
    """What was asked for of one sample.

    Attributes:
        numbers: the frames that were asked for.
        frames: uint8 `(3, H, W)` each, in the order of `numbers`.
        homographies: float64 `(T, 3, 3)` of all frames of the sample, frame 0 to frame k, or None where unknown.
        gt: uint8 `(3, H, W)`, the undisturbed picture; None where nobody asked for it.
        dynamic: bool `(H, W)`, true where something moves by itself, seen from frame 0; None where that is unknown or
            nobody asked for it.
        masks: bool `(H, W)` per frame, true on occluders; None where there are none or nobody asked for them.
        vessels: uint8 `(H, W)` per frame, the share of each pixel that vessels cover, 255 for all; None where that is
            unknown or nobody asked for it.
    """

    numbers: Sequence[int]
    frames: list[Tensor]
    homographies: Tensor | None
    gt: Tensor | None
    dynamic: Tensor | None
    masks: list[Tensor] | None
    vessels: list[Tensor] | None

    def homography(self, a: int, b: int) -> Tensor | None:
        """Homography from frame number a to frame number b, scaled to `h33 = 1`, or None where unknown."""
        return homography_between(self.homographies, a, b)


def _has_masks(samples: Samples, position: int) -> bool:
    names = {samples.mask_name(name) for name in samples.frame_names(position)}
    return names <= set(samples.reader.fields(position))


class SampleCache:
    """Samples of one split, read and decoded picture by picture as they are asked for; any thread may ask.

    The most recently used pictures stay decoded in memory. So do the homographies of each sample that was read, which
    are small and are not counted.

    Attributes:
        damaged: key of each damaged sample that was met so far, and the reason; see `good`.
        has_masks: whether masks are read too.
    """

    def __init__(
        self, url: str, split: str, *, masks: bool = False, fitted: bool = False, limit_mb: int = 4096
    ) -> None:
        """Open a split of the dataset at `url`.

        Args:
            url: of the dataset.
            split: one of its splits.
            masks: also read the occluders' masks, where all samples of the split have them.
            fitted: where no homography is true of a pair, take the one that comes closest to its flow.
            limit_mb: decoded pixels that are kept.

        Raises:
            DatasetError: the split is missing or holds no sample.
        """
        self.samples = Samples(url, split)
        self.damaged: dict[str, str] = {}
        self._keys = self.samples.reader.keys
        self.has_masks = masks and all(_has_masks(self.samples, position) for position in range(len(self)))
        self._split, self._fitted, self._limit = split, fitted, limit_mb * 2**20
        self._kept: OrderedDict[tuple[int, str], Tensor] = OrderedDict()
        self._bytes = 0
        self._homographies: dict[int, Tensor | None] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.samples)

    def get(
        self, position: int, numbers: Sequence[int], *, gt: bool = False, dynamic: bool = False, vessels: bool = False
    ) -> Loaded:
        """Some frames of the sample at a position, their masks where the cache has masks, and the homographies.

        Args:
            position: within the split.
            numbers: of the frames.
            gt: also the undisturbed picture, where the sample has it.
            dynamic: also the mask of what moves by itself, where the sample has it.
            vessels: also the masks of vessels, where the sample has them.

        Raises:
            DatasetError: one of these fields is damaged; others are not looked at.
        """
        samples = self.samples
        every_frame = samples.frame_names(position)
        frames = [every_frame[number] for number in numbers]
        masks = [samples.mask_name(name) for name in frames] if self.has_masks else []
        gt_name = samples.gt_name(position) if gt else None
        moving = [DYNAMIC] if dynamic and DYNAMIC in samples.reader.fields(position) else []
        drawn = [VESSELS[number] for number in numbers] if vessels and self.has_vessels(position) else []
        names = [*frames, *masks, *([gt_name] if gt_name else []), *moving, *drawn]
        pictures, homographies = self._load(position, names)
        for mask, frame in zip(masks, frames, strict=False):
            if pictures[mask].shape != pictures[frame].shape[1:]:
                height, width = pictures[mask].shape
                raise DatasetError(f"{samples.where(position)}, {mask}: {width} x {height} pixels, unlike its frame")
        return Loaded(
            numbers=numbers,
            frames=[pictures[name] for name in frames],
            homographies=homographies,
            gt=pictures[gt_name] if gt_name else None,
            dynamic=pictures[DYNAMIC] if moving else None,
            masks=[pictures[name] for name in masks] if self.has_masks else None,
            vessels=[pictures[name] for name in drawn] if drawn else None,
        )

    def has_vessels(self, position: int) -> bool:
        """Whether the sample has masks of its vessels."""
        return set(VESSELS) <= set(self.samples.reader.fields(position))

    def _load(self, position: int, names: Sequence[str]) -> tuple[dict[str, Tensor], Tensor | None]:
        """Decoded fields of a sample and its homographies, from memory or else from the shard in one read."""
        pictures: dict[str, Tensor] = {}
        with self._lock:
            for name in names:
                if (position, name) in self._kept:
                    self._kept.move_to_end((position, name))
                    pictures[name] = self._kept[position, name]
            new = position not in self._homographies
            homographies = self._homographies.get(position)
        # Two threads may decode one picture at once; that costs less than all of them waiting for each other.
        missing = [name for name in dict.fromkeys(names) if name not in pictures]
        if not missing and not new:
            return pictures, homographies
        plain = [name for name in missing if name not in (DYNAMIC, *VESSELS)]
        content = self.samples.reader.read(position, [*plain, *(["meta.json"] if new else [])])
        if new:
            homographies = self.samples.homographies(position, content["meta.json"], fitted=self._fitted)
        decoded = {name: self.samples.decode(position, name, content[name]) for name in plain}
        if DYNAMIC in missing:
            decoded[DYNAMIC] = self._dynamic(position)
        if set(VESSELS) & set(missing):
            decoded |= self._vessels(position)
        with self._lock:
            self._homographies[position] = homographies
            for name, picture in decoded.items():
                if (position, name) not in self._kept:
                    self._kept[position, name] = picture
                    self._bytes += picture.nbytes
            while self._bytes > self._limit:
                _, old = self._kept.popitem(last=False)
                self._bytes -= old.nbytes
        return pictures | decoded, homographies

    def _dynamic(self, position: int) -> Tensor:
        found = self.samples.truth(position, ("dynamic",)).dynamic
        assert found is not None, "get has seen the field"
        return found

    def _vessels(self, position: int) -> dict[str, Tensor]:
        found = self.samples.truth(position, ("vessels",)).vessels
        assert found is not None, "get has seen the fields"
        return dict(zip(VESSELS, found, strict=True))

    def good(
        self,
        position: int,
        choose: Callable[[int], Sequence[int]],
        *,
        gt: bool = False,
        dynamic: bool = False,
        vessels: bool = False,
    ) -> Loaded:
        """What is asked for of the sample at a position, or of the next one after it where none of that is damaged.

        After the last sample comes the first.

        Args:
            position: within the split.
            choose: gives the numbers of the frames, from how many frames the sample has.
            gt: also the undisturbed picture, where the sample has it.
            dynamic: also the mask of what moves by itself, where the sample has it.
            vessels: also the masks of vessels, where the sample has them.

        Raises:
            DatasetError: more than `DAMAGED_SHARE` of the split's samples are damaged.
        """
        # Whether a sample is taken is decided by the fields that are asked for and by nothing else. `damaged` holds
        # what this process happened to meet: another worker or a resumed run has read other fields before, and where
        # it decided, they would make other batches. So it only counts, names, warns once and refuses.
        for at in (*range(position, len(self)), *range(position)):
            self._refuse()
            try:
                chosen = choose(len(self.samples.frame_names(at)))
                return self.get(at, chosen, gt=gt, dynamic=dynamic, vessels=vessels)
            except DatasetError as error:
                self._leave_out(self._keys[at], str(error))
        raise AssertionError("with one sample damaged too many, _refuse has raised")

    def _leave_out(self, key: str, reason: str) -> None:
        with self._lock:
            new = key not in self.damaged
            self.damaged.setdefault(key, reason)
        self._refuse()
        if new:
            _log.warning("raylign: warning: sample %s is left out where its damaged part is needed: %s", key, reason)

    def _refuse(self) -> None:
        with self._lock:
            keys = sorted(self.damaged)
        if len(keys) > DAMAGED_SHARE * len(self):
            named = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
            raise DatasetError(
                f"damaged samples in split '{self._split}' of {self.samples.reader.url}: {len(keys)} of {len(self)} "
                f"({named}), and no more than 1 % may be; run 'raylign data verify {self.samples.reader.url}'"
            )


def _take_one_thread() -> None:
    """Let torch use one OpenMP thread within the calling thread.

    Measured with torch 2.15 on Linux: `set_num_threads` sets the number of the calling thread, and besides the
    default that a thread takes when it first asks or first computes in parallel; other threads keep theirs. Hence the
    asking, without which this thread would take whatever the default is by then.
    """
    torch.get_num_threads()
    torch.set_num_threads(1)


def made_ahead(make: Callable[[int], Item], count: int, *, loaders: int = 2, depth: int = 4) -> Iterator[Item]:
    """`make(0)` to `make(count - 1)` in order, made by threads that run ahead of the consumer.

    An error comes out where its item would have; closing the iterator ends the threads, after the items that they are
    making.

    Args:
        make: must not depend on the order of its calls.
        count: of items.
        loaders: threads.
        depth: items that are finished or being made at a time.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(loaders, LOADER, initializer=_take_one_thread)
    pending: deque[Future[Item]] = deque()
    try:
        started = threading.Barrier(loaders + 1)
        for _ in range(loaders):
            pool.submit(started.wait)
        started.wait()
        torch.set_num_threads(threads)  # for threads that come to torch later, such as autograd's; see _take_one_thread
        for number in range(count):
            pending.append(pool.submit(make, number))
            if len(pending) == depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Share(TypedDict, total=False):
    """Whose part of the batches it is, and how it is made."""

    seed: Required[int]
    """Of order and augmentation."""
    rank: int
    """Number of this worker; 0 by default."""
    world_size: int
    """Number of workers; 1 by default."""
    accumulate: int
    """Parts of a step that each worker makes; 1 by default."""
    loaders: int
    """Threads that make them, 2 by default; there are at most twice as many parts at a time."""
    data_share: float
    """Share of the samples that are taken at all, drawn by the seed; 1 by default. A smaller share is part of each
    larger one."""


class TrainingBatches(ABC):
    """Batches of augmented training samples; batch (epoch, step) is the same whenever and by whoever it is made.

    A step's batch is cut into `world_size * accumulate` parts, equal but for one sample: worker r makes the parts
    `r * accumulate` and following, one at a time. What they hold together depends neither on `world_size` nor on
    `accumulate`.
    """

    def __init__(self, cache: SampleCache, batch_size: int, **share: Unpack[Share]) -> None:
        """Take samples from `cache`.

        Args:
            cache: the training split.
            batch_size: samples in a step, over all workers and all parts.
            share: which of them, and how.

        Raises:
            InputError: there are fewer samples than parts.
        """
        world_size, accumulate = share.get("world_size", 1), share.get("accumulate", 1)
        loaders = share.get("loaders", 2)
        if batch_size < world_size * accumulate:
            raise InputError(
                f"a batch of {batch_size} is less than one sample for each of {world_size} workers and {accumulate} "
                "parts; raise it, or take fewer of them"
            )
        if loaders < 1:
            raise InputError(f"at least 1 loader thread is needed, not {loaders}")
        self._cache, self._batch, self._seed = cache, batch_size, share["seed"]
        self._rank, self._parts, self._loaders = share.get("rank", 0), accumulate, loaders
        self._all_parts = world_size * accumulate
        self._taken = list(range(len(cache)))
        if (data_share := share.get("data_share", 1.0)) < 1:
            shuffled = torch.randperm(len(cache), generator=seeded(self._seed, -1, -1))
            self._taken = shuffled[: max(1, round(data_share * len(cache)))].tolist()

    @property
    def steps_per_epoch(self) -> int:
        """Steps in one pass over the samples."""
        return max(1, len(self._taken) // self._batch)

    @property
    def damaged(self) -> dict[str, str]:
        """Key of each sample of which this worker met a damaged part so far, and the reason."""
        return dict(self._cache.damaged)

    def epoch(self, epoch: int, steps: int, first_step: int = 0) -> Iterator[Batch]:
        """This worker's parts of the steps of one epoch from `first_step` on, in order, made ahead by threads.

        Each step gives `accumulate` parts, one after the other. Where there is a GPU they lie in pinned memory, so that
        they can be copied to it while it computes.
        """
        pin = torch.cuda.is_available()

        def make(number: int) -> Batch:
            step, part = divmod(number, self._parts)
            made = self.batch(epoch, first_step + step, part)
            return {name: value.pin_memory() for name, value in made.items()} if pin else made

        count = max(0, steps - first_step) * self._parts
        return made_ahead(make, count, loaders=self._loaders, depth=2 * self._loaders)

    def batch(self, epoch: int, step: int, part: int | None = None) -> Batch:
        """One part of this worker's share of a step; None means the whole share. Its `seed (B,)` is for `Draws`.

        The same bits as in `epoch` where torch computes with one thread, as it does there; with more threads the mean
        grey of `contrast` may differ in the last bit.

        Raises:
            DatasetError: too many samples are damaged.
        """
        first = self._rank * self._parts + (part or 0)
        ends = (first, first + (self._parts if part is None else 1))
        rows = slice(*(end * self._batch // self._all_parts for end in ends))
        seeds = torch.randint(MOST, (self._batch,), generator=seeded(self._seed, epoch, step, -1))
        return {**self._make(epoch, step, rows), "seed": seeds[rows]}

    @abstractmethod
    def _make(self, epoch: int, step: int, rows: slice) -> Batch:
        """These rows of the step's batch."""

    def _order(self, epoch: int, step: int) -> list[int]:
        """Positions of the samples of one step: passes over shuffled samples, one after the other."""
        total, first = len(self._taken), step * self._batch
        order: list[int] = []
        while len(order) < self._batch:
            turn, start = divmod(first + len(order), total)
            shuffled = torch.randperm(total, generator=seeded(self._seed, epoch, -1 - turn))
            order += [self._taken[number] for number in shuffled[start : start + self._batch - len(order)].tolist()]
        return order
