"""What a published folder layout is, and the reader that gives its files as the fields of our samples."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ....methods.errors import DatasetError
from ..shards import DatasetInfo, shard_name
from .files import read_bytes, size_of

SHARD_SIZE = 32
"""Samples of one shard when a dataset is converted."""
HELD_OUT = 0.05
"""Share of a published training part that becomes the split `val`, where the publisher has none."""
META = "meta.json"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Entry:
    """One sample, as file names only."""

    name: str
    """What the publisher calls it."""
    split: str
    files: dict[str, str]
    """Suffix of a field to the file that it is made from."""
    subset: str = ""
    """Group or difficulty."""
    scene: str = ""
    """Samples of one scene are not independent."""
    others: dict[str, str] = field(default_factory=dict)
    """Further files, by what they hold."""


@dataclass(frozen=True)
class Listing:
    """What was found in a folder."""

    entries: list[Entry]
    """Samples of one split stand together."""
    missing: list[str]
    """Files that should be there, relative to the folder."""
    dropped: dict[str, str] = field(default_factory=dict)
    """Published samples that are left out, and why."""


class LayoutError(DatasetError):
    """A folder is of no known layout, or parts of its layout are missing.

    Attributes:
        advice: several lines: what the folder looks like, what is missing, the expected files, where to get them;
            empty where the message says it all.
    """

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class Layout(ABC):
    """How one public dataset lies on disk."""

    name: ClassVar[str]
    """Prefix that forces it, and `DatasetInfo.generator`."""
    title: ClassVar[str]
    home: ClassVar[str]
    """Where to get the dataset."""
    published: ClassVar[str]
    """What the whole dataset holds, in one line."""
    tree: ClassVar[tuple[str, ...]]
    """Expected files, relative to the folder."""
    rule: ClassVar[str]
    """What becomes a sample, in one line."""
    kind: ClassVar[str] = "pair"
    units: ClassVar[dict[str, str]] = {}
    partial_flow: ClassVar[bool] = False
    """The flow has pixels where it is unknown (NaN)."""

    @abstractmethod
    def looks_like(self, root: Path) -> bool:
        """Whether anything in the folder is typical of this layout; quick."""

    @abstractmethod
    def survey(self, root: Path) -> Listing:
        """List the samples; opens no picture.

        Raises:
            DatasetError: a list that the dataset comes with cannot be read.
        """

    def field(self, entry: Entry, suffix: str) -> bytes:
        """The encoded field of a sample; the published file as it is, unless the layout says otherwise.

        Raises:
            DatasetError: the file is missing or damaged; its path is named.
        """
        return read_bytes(entry.files[suffix])

    def meta(self, entry: Entry) -> dict[str, Any]:
        """What `meta.json` holds beside name, subset, scene and size.

        Raises:
            DatasetError: the file is missing or damaged; its path is named.
        """
        return {}

    def size(self, entry: Entry) -> list[int] | None:
        """Width and height of the sample's frames, None where they differ; reads headers only.

        Raises:
            DatasetError: a frame is missing or damaged; its path is named.
        """
        frames = [path for suffix, path in entry.files.items() if is_frame(suffix)]
        sizes = {size_of(path) for path in dict.fromkeys(frames)}
        return list(reversed(sizes.pop())) if len(sizes) == 1 else None

    def advice(self, root: Path, missing: Sequence[str]) -> str:
        """What to tell about a folder that lacks something."""
        lines = [str(root), f"  looks like {self.title} (layout '{self.name}')"]
        lines += ["  missing:", *(f"    {each}" for each in shorten(missing, 10))] if missing else []
        lines += ["  expected:", *(f"    {each}" for each in self.tree)]
        return "\n".join([*lines, f"  source: {self.home}"])


def is_frame(suffix: str) -> bool:
    """Whether a field is a frame: of a pair `ref.*` and `src.*`, of a sequence `NNN.*`."""
    stem, _, ending = suffix.partition(".")
    return stem in ("ref", "src") or (stem.isdigit() and "." not in ending)


def shorten(names: Sequence[str], most: int) -> list[str]:
    """At most so many names, and how many more there are."""
    rest = len(names) - most
    return [*names[:most], *([f"and {rest} more"] if rest > 0 else [])]


def described(layout: Layout, listing: Listing) -> DatasetInfo:
    """What `dataset.json` would say of a folder."""
    entries = listing.entries
    common = [suffix for suffix in entries[0].files if all(suffix in entry.files for entry in entries)]
    settings: dict[str, Any] = {"layout": layout.name, "rule": layout.rule, "partial_flow": layout.partial_flow}
    if listing.dropped:
        settings["dropped"] = listing.dropped
    return DatasetInfo(
        kind=layout.kind,
        generator=layout.name,
        settings=settings,
        seed=0,
        scenes=len(entries),
        shard_size=SHARD_SIZE,
        splits=splits_of(entries),
        fields=[*common, META],
        units=layout.units,
        complete=True,
    )


def splits_of(entries: Sequence[Entry]) -> dict[str, list[int]]:
    """Split name to `[first, end)`: the published parts, a `val` where training has none, each group by its name."""
    splits = _ranges([entry.split for entry in entries])
    if "train" in splits and "val" not in splits:
        first, end = splits["train"]
        cut = _held_out(entries, first, end)
        if cut is not None:
            splits["train"], splits["val"] = [first, cut], [cut, end]
    for subset, ends in _ranges([entry.subset for entry in entries]).items():
        if subset:
            splits.setdefault(subset, ends)
    return splits


def _ranges(labels: Sequence[str]) -> dict[str, list[int]]:
    """Label to `[first, end)`, of the labels that stand together."""
    ranges: dict[str, list[int]] = {}
    scattered = set()
    for index, label in enumerate(labels):
        if label not in ranges:
            ranges[label] = [index, index + 1]
        elif ranges[label][1] == index:
            ranges[label][1] = index + 1
        else:
            scattered.add(label)
    return {label: ends for label, ends in ranges.items() if label not in scattered}


def _held_out(entries: Sequence[Entry], first: int, end: int) -> int | None:
    """Where `val` begins: the last scenes of the range with at least `HELD_OUT` of it; None for a single sample."""
    if end - first < 2:
        return None
    cut = last = end - max(1, round(HELD_OUT * (end - first)))
    while cut > first and entries[cut].scene and entries[cut].scene == entries[cut - 1].scene:
        cut -= 1
    return cut if cut > first else last


class LayoutReader:
    """Random access to a published folder, with the interface of `shards.ShardReader`; can be pickled."""

    def __init__(self, layout: Layout, root: Path, url: str, split: str | None = None) -> None:
        """List the folder `root`; `split` names one of its splits, None means all samples.

        Raises:
            DatasetError: files are missing, or there is no such split.
        """
        self.url, self.split = url, split
        self._layout = layout
        listing = layout.survey(root)
        if listing.missing or not listing.entries:
            missing = listing.missing or list(layout.tree)
            raise LayoutError(
                f"{root} is not the whole of {layout.title}: {', '.join(shorten(missing, 3))} missing; it needs "
                f"{', '.join(layout.tree)} (source: {layout.home})",
                layout.advice(root, missing),
            )
        self.info = described(layout, listing)
        if split is not None and split not in self.info.splits:
            raise DatasetError(f"{url} has no split '{split}'; it has {', '.join(sorted(self.info.splits))}")
        self._first, end = self.info.splits[split] if split else (0, len(listing.entries))
        self._entries = listing.entries[self._first : end]

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def keys(self) -> list[str]:
        """Sample keys, in order."""
        return [f"{self._first + position:06d}" for position in range(len(self))]

    def describe(self) -> str:
        """What the folder holds, for people: counts per split and group, what is left out, the pairing rule."""
        info, layout = self.info, self._layout
        lines = [
            self.url,
            f"  {len(self)} {info.kind}s of {layout.title}, in its published folder (layout '{layout.name}')",
            f"  published: {layout.published}",
            f"  samples: {layout.rule}",
        ]
        for name, (first, end) in sorted(info.splits.items(), key=lambda item: (item[1][0], -item[1][1])):
            counts = Counter(entry.subset for entry in self._entries[first:end] if entry.subset)
            groups = ", ".join(f"{subset} {count}" for subset, count in counts.items())
            lines.append(f"  {name}: {end - first}" + (f" ({groups})" if len(counts) > 1 else ""))
        for name, why in info.settings.get("dropped", {}).items():
            lines.append(f"  dropped: {name}, {why}")
        return "\n".join([*lines, f"  fields: {', '.join(info.fields)}"])

    def shard(self, position: int) -> str:
        """Name of the shard that would hold a sample after conversion."""
        return shard_name((self._first + position) // SHARD_SIZE)

    def fields(self, position: int) -> list[str]:
        """Suffixes of one sample."""
        return [*self._entries[position].files, META]

    def file_of(self, position: int, suffix: str) -> str | None:
        """The published file behind a field."""
        return self._entries[position].files.get(suffix)

    def read(self, position: int, suffixes: list[str] | None = None) -> dict[str, bytes]:
        """Encoded fields of one sample, all or only those asked for.

        Raises:
            DatasetError: a file is missing or damaged; its path is named.
        """
        entry = self._entries[position]
        content: dict[str, bytes] = {}
        for suffix in suffixes if suffixes is not None else self.fields(position):
            if suffix == META:
                content[suffix] = json.dumps(self._meta(entry)).encode()
            elif suffix in entry.files:
                content[suffix] = self._layout.field(entry, suffix)
            else:
                raise DatasetError(f"sample {self.keys[position]} of {self.url} has no field '{suffix}'")
        return content

    def _meta(self, entry: Entry) -> dict[str, Any]:
        told = {"name": entry.name, "subset": entry.subset, "scene": entry.scene, "size": self._layout.size(entry)}
        return {name: value for name, value in told.items() if value} | self._layout.meta(entry)

    def __iter__(self) -> Iterator[dict[str, bytes]]:
        return (self.read(position) for position in range(len(self)))
