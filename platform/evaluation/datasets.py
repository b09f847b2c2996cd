"""The cases of a dataset: which pairs and sets there are, and each of them decoded with what is known of its answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Generator, Tensor

from ...methods.errors import DatasetError, InputError
from ...methods.geometry import warp_by_homography
from ..data.degradations import DEGRADATIONS, STRENGTHS, degrade
from ..data.samples import Sample, Samples, float_image, spread
from ..data.shards import resolve
from ..runs import absolute_url
from .cases import Case, CaseTruth
from .results import Task

TASKS: tuple[Task, ...] = get_args(Task)

SCORED = ("udis-d",)
"""Layouts whose protocol makes difficulty classes of each method's own scores (`aggregates.udis_split`)."""

COVERED = 0.999
"""Share of a bilinear sample that must come from inside the source for its pixel to count as known."""

_STAMP = ("size", "mtime", "ETag", "etag", "LastModified", "updated", "created_at")
"""What file systems call a file's size and time or digest."""


@dataclass(frozen=True)
class DatasetChoice:
    """A dataset to measure on; cheap to make and to send, nothing is opened yet."""

    label: str
    """What the user sees."""
    url: str
    split: str | None
    """None means all samples."""
    limit: int | None = None
    """At most so many cases of each task, evenly spread."""
    tasks: tuple[Task, ...] = TASKS
    """What is taken from it."""
    length: int | None = None
    """Of each sequence the first so many shots, the reference counted, and none of shorter ones. None takes all."""
    degradation: tuple[str, int] | None = None
    """Kind and strength of what is done to all pictures that a method sees; a true picture stays what it is."""


def choose_datasets(
    texts: Sequence[str],
    split: str,
    limit: int | None,
    lengths: Sequence[int] = (),
    degradations: Sequence[str] = (),
) -> list[DatasetChoice]:
    """Turn `--data`, `--split`, `--limit`, `--lengths` and `--degrade` into datasets.

    Args:
        texts: paths or URLs; `URL#SPLIT` takes another split than `split`.
        split: the split of all others.
        limit: see `DatasetChoice`.
        lengths: sets are taken once for each of them, as datasets of their own, `LABEL@LENGTH`; pairs only once.
        degradations: `KIND:STRENGTH`; everything is taken once more for each of them, as `LABEL+KIND:STRENGTH`.

    Raises:
        InputError: a dataset is given twice, or there is no such degradation.
    """
    changes = [_degradation(text) for text in dict.fromkeys(degradations)]
    choices: list[DatasetChoice] = []
    for text in texts:
        address, _, own = text.partition("#")
        url = absolute_url(address)
        stem = url.rstrip("/").rpartition("/")[2].rpartition(":")[2]
        label = f"{stem}#{own}" if own else stem
        labels = {choice.label for choice in choices}
        if label in labels:  # folders of one name in different places
            label = next(each for each in (f"{label} ({k})" for k in range(2, 99)) if each not in labels)
        choice = DatasetChoice(label, url, own or split, limit)
        if any((each.url, each.split) == (choice.url, choice.split) for each in choices):
            raise InputError(f"--data: {text} is given twice")
        choices.append(choice)
    choices += [
        replace(choice, label=f"{choice.label}+{kind}:{strength}", degradation=(kind, strength))
        for kind, strength in changes
        for choice in choices
    ]
    return [each for choice in choices for each in _at_lengths(choice, lengths)] if lengths else choices


def _at_lengths(choice: DatasetChoice, lengths: Sequence[int]) -> list[DatasetChoice]:
    """The pairs of a dataset, and its sets at each length."""
    sets = [
        replace(choice, label=f"{choice.label}@{length}", tasks=("set", "aligned"), length=length)
        for length in sorted(set(lengths))
    ]
    return [replace(choice, tasks=("pair",)), *sets]


def _degradation(text: str) -> tuple[str, int]:
    kind, _, strength = text.partition(":")
    if kind not in DEGRADATIONS or strength not in map(str, STRENGTHS):
        kinds, strengths = ", ".join(DEGRADATIONS), ", ".join(map(str, STRENGTHS))
        raise InputError(f"--degrade {text}: give KIND:STRENGTH, a kind of {kinds}, a strength of {strengths}")
    return kind, int(strength)


class Scenes:
    """The samples of one split of a dataset, the last one kept: cases of one sequence come one after the other."""

    def __init__(self, url: str, split: str | None) -> None:
        """Open the dataset.

        Raises:
            DatasetError: it is missing or damaged.
        """
        self.samples = Samples(url, split)
        self._last: tuple[int, Sample] | None = None
        self._together: tuple[int, tuple[list[Tensor], Tensor]] | None = None

    def sample(self, position: int) -> Sample:
        """One sample.

        Raises:
            DatasetError: its files are damaged.
        """
        if self._last is None or self._last[0] != position:
            self._last = position, self.samples[position]
        return self._last[1]

    def brought_together(self, position: int) -> tuple[list[Tensor], Tensor]:
        """`_brought_together` of one sample."""
        if self._together is None or self._together[0] != position:
            self._together = position, _brought_together(self.sample(position))
        return self._together[1]


@dataclass(frozen=True)
class Entry:
    """Where a case lies: sample, and for a pair the frame that is its source."""

    task: Task
    position: int
    frame: int = 0


class EvaluationSet:
    """The cases of one dataset, by index; decoded where they are asked for."""

    def __init__(self, choice: DatasetChoice, scenes: Scenes | None = None) -> None:
        """Open the dataset.

        Args:
            choice: which.
            scenes: its samples, where they are open already.

        Raises:
            DatasetError: it is missing, damaged, or its split holds nothing that can be aligned.
        """
        self.choice = choice
        self.scenes = scenes or Scenes(choice.url, choice.split)
        self.samples = self.scenes.samples
        self.entries: dict[Task, list[Entry]] = {}
        for entry in self._entries():
            if entry.task in choice.tasks:
                self.entries.setdefault(entry.task, []).append(entry)
        if not self.entries and choice.length is None:
            raise DatasetError(
                f"split '{choice.split}' of {choice.url} has no pair: every sample has a single frame; choose another"
            )
        if choice.limit is not None:
            for task, entries in self.entries.items():
                self.entries[task] = [entries[k] for k in spread(len(entries), choice.limit)]

    def _entries(self) -> list[Entry]:
        entries: list[Entry] = []
        for position in range(len(self.samples)):
            frames = len(self.samples.frame_names(position))
            entries += [Entry("pair", position, k) for k in range(1, frames)]
            if self.kind == "sequence" and frames > 1 and frames >= (self.choice.length or 0):
                entries.append(Entry("set", position))
                if self.samples.gt_name(position):
                    entries.append(Entry("aligned", position))
        return entries

    @property
    def kind(self) -> str:
        """`pair` or `sequence`."""
        return self.samples.reader.info.kind

    @property
    def layout(self) -> str:
        """`shards`, or the name of a public layout."""
        return str(self.samples.reader.info.setting("layout") or "shards")

    def count(self, task: Task) -> int:
        """How many cases of a task there are."""
        return len(self.entries.get(task, []))

    def facts(self) -> dict[str, Any]:
        """What a report tells of the dataset, ready for JSON."""
        info = self.samples.reader.info
        first = self.samples[0].frames[0]
        return {
            "label": self.choice.label,
            "url": self.choice.url,
            "split": self.choice.split,
            **({} if self.choice.length is None else {"length": self.choice.length}),
            **({} if self.choice.degradation is None else {"degradation": list(self.choice.degradation)}),
            "layout": self.layout,
            **({"subsets": "score"} if self.layout in SCORED else {}),
            "generator": info.generator,
            "seed": info.seed,
            "n": {task: len(entries) for task, entries in self.entries.items()},
            "size": [first.shape[2], first.shape[1]],
        }

    def digest(self) -> str:
        """Changes with what `dataset.json` or the layout says, the split, the limit, and with size or time of any file
        that cases are read from; pictures are not read.

        Raises:
            DatasetError: what is known of a sample cannot be read.
        """
        reader = self.samples.reader
        content = [asdict(reader.info), self.choice.split, self.choice.limit, reader.keys, self._stamps()]
        content += [] if self.choice.length is None else [self.choice.length]
        content += [] if self.choice.degradation is None else [list(self.choice.degradation)]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def _stamps(self) -> list[Any]:
        """Size and time of each file of the cases; of public folders also what is known of each sample.

        Folders of one layout with the same names of files differ in nothing else.
        """
        reader = self.samples.reader
        positions = sorted({entry.position for entries in self.entries.values() for entry in entries})
        if self.layout == "shards":
            filesystem, root = resolve(reader.url)
            names = dict.fromkeys(reader.shard(position) for position in positions)
            facts = [filesystem.info(f"{root}/shards/{name}.tar") for name in names]
            return [[fact.get(name) for name in _STAMP] for fact in facts]
        stamps: list[Any] = []
        for position in positions:
            files = [reader.file_of(position, suffix) for suffix in reader.fields(position)]
            facts = [Path(file).stat() for file in files if file is not None]
            known = reader.read(position, ["meta.json"])["meta.json"].decode()
            stamps.append([known, *([fact.st_size, fact.st_mtime_ns] for fact in facts)])
        return stamps

    def case(self, task: Task, index: int) -> Case:
        """One case.

        Raises:
            DatasetError: its files are damaged.
        """
        entry = self.entries[task][index]
        sample = self.scenes.sample(entry.position)
        reference = float_image(sample.frames[0])
        if task == "pair":
            sources = [float_image(sample.frames[entry.frame])]
            truth = self._pair_truth(sample, entry)
        elif task == "set":
            sources = [float_image(frame) for frame in sample.frames[1 : self.choice.length]]
            truth = CaseTruth(_picture(sample), homography=_homographies(sample, len(sources)))
        else:
            sources, masks = self.scenes.brought_together(entry.position)
            count = len(sample.frames) if self.choice.length is None else self.choice.length
            sources, masks = sources[: count - 1], masks[:count]
            truth = CaseTruth(_picture(sample), masks=masks)
        several = task == "pair" and len(sample.frames) > 2
        suffix = f":{entry.frame}" if several else ""
        if self.choice.degradation is not None:
            reference, *sources = self._degraded([reference, *sources], sample.key + suffix)
        return Case(
            key=sample.key + suffix,
            name=(sample.name or sample.key) + suffix,
            scene=str(sample.meta.get("scene", sample.key)),
            subset=sample.subset,
            task=task,
            reference=reference,
            sources=sources,
            truth=truth,
        )

    def _degraded(self, pictures: list[Tensor], key: str) -> list[Tensor]:
        """Pictures `(3, H, W)` as methods see them; each case has noise of its own, the same in every evaluation."""
        assert self.choice.degradation is not None
        kind, strength = self.choice.degradation
        drawn = Generator().manual_seed(int(hashlib.sha256(key.encode()).hexdigest()[:12], 16))
        return [degrade(picture[None], kind, strength, drawn)[0] for picture in pictures]

    def _pair_truth(self, sample: Sample, entry: Entry) -> CaseTruth:
        homography = sample.homography(0, entry.frame)
        if self.kind == "sequence":
            # The undisturbed picture shows neither frame's light: frames are compared with each other.
            return CaseTruth(homography=homography)
        dense = self.samples.truth(entry.position, ("flow", "occlusion", "hidden", "dynamic"))
        return CaseTruth(
            picture=_picture(sample),
            homography=homography,
            flow=dense.flow,
            occlusion=dense.occlusion if dense.hidden is None else dense.hidden,
            dynamic=dense.dynamic,
            points=sample.points,
        )


def open_sets(choices: Sequence[DatasetChoice]) -> list[EvaluationSet]:
    """The datasets, but for lengths that no sequence of theirs has.

    Raises:
        DatasetError: one is missing, damaged or holds nothing that can be aligned.
        InputError: none has sequences of a length.
    """
    scenes: dict[tuple[str, str | None], Scenes] = {}
    found: list[EvaluationSet] = []
    for choice in choices:
        place = choice.url, choice.split
        if place not in scenes:
            scenes[place] = Scenes(*place)
        found.append(EvaluationSet(choice, scenes[place]))
    for length in {choice.length for choice in choices if choice.length is not None}:
        if not any(each.entries for each in found if each.choice.length == length):
            raise InputError(f"--lengths {length}: no dataset has a sequence of so many shots; leave it out")
    return [each for each in found if each.entries or each.choice.length is None]


def _picture(sample: Sample) -> Tensor | None:
    return None if sample.gt is None else float_image(sample.gt)


def _homographies(sample: Sample, sources: int) -> Tensor | None:
    """`(N, 3, 3)` from the reference to each of the first sources, None where unknown or where there is none."""
    if sample.homographies is None or sources == 0:
        return None
    return sample.homographies[1 : sources + 1]


def _brought_together(sample: Sample) -> tuple[list[Tensor], Tensor]:
    """The frames after the first, warped onto it by the true homographies, and where all frames are known.

    Frames without known homographies lie on the first already, as those of DIAR's aligned set do.
    """
    reference = sample.frames[0]
    size = (reference.shape[-2], reference.shape[-1])
    pictures, masks = [], [torch.ones(size, dtype=torch.bool)]
    for k, frame in enumerate(sample.frames[1:], 1):
        picture = float_image(frame)
        if sample.homographies is None:
            pictures.append(picture)
            masks.append(torch.ones(size, dtype=torch.bool))
            continue
        warped, covered = warp_by_homography(picture[None], sample.homographies[k][None], size)
        pictures.append(warped[0])
        masks.append(covered[0, 0] >= COVERED)
    return pictures, torch.stack(masks)
