"""Writes any readable dataset as shards: whole shards, one after the other, so that a broken-off conversion goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from ...methods.errors import DatasetError
from .layouts import split_prefix
from .layouts.opening import open_reader
from .resize import resized_sample
from .shards import DatasetInfo, Reader, ShardWriter, published_shards, resolve, shard_name


def planned(reader: Reader, limit: int | None = None, size: int | None = None) -> DatasetInfo:
    """What `dataset.json` of the finished shards will say; samples count from 0 within the reader's split.

    Args:
        reader: of what is converted.
        limit: only the first so many samples.
        size: side of the pictures; None for what they have.

    Raises:
        DatasetError: the rendering of the source is not finished, or its kind cannot be resized.
    """
    info = reader.info
    if not info.complete:
        raise DatasetError(f"{reader.url} is not finished; finish its rendering first")
    if size is not None and info.kind != "pair":
        raise DatasetError(f"{reader.url} holds {info.kind}s, and only pairs can be resized; leave out --size")
    first, last = _range(reader)
    end = last if limit is None else min(last, first + limit)
    ranges = {name: [max(a, first) - first, min(b, end) - first] for name, (a, b) in info.splits.items()}
    failed = {int(key) - first: reason for key, reason in info.failed.items() if first <= int(key) < end}
    return replace(
        info,
        settings={"source": {"url": reader.url, "split": reader.split, **info.settings}}
        | ({} if size is None else {"size": size}),
        scenes=end - first,
        splits={name: ends for name, ends in ranges.items() if ends[0] < ends[1]},
        failed={f"{index:06d}": reason for index, reason in failed.items()},
        complete=False,
    )


def convert(
    url: str,
    out: str,
    split: str | None = None,
    limit: int | None = None,
    size: int | None = None,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> DatasetInfo:
    """Write the dataset at `url` as shards to `out`, or go on with it; `dataset.json` says when it is complete.

    Args:
        url: of what is converted.
        out: local path or URL of the shards.
        split: only this split.
        limit: only the first so many samples.
        size: side of the pictures, which become squares (`resized_sample`); None for what they have.
        advance: called with the number of samples after each shard, also of one that was there.

    Raises:
        DatasetError: the source cannot be read, or `out` holds another dataset.
        InputError: `out` is full or not writable.
    """
    reader = open_reader(url, split)
    if _place(split_prefix(url)[1]) == _place(out):
        raise DatasetError(f"{out} is the dataset itself; choose another place")
    info = planned(reader, limit, size)
    _check_place(out, info)
    info.save(out)
    there = published_shards(out)
    first, _ = _range(reader)
    positions = {int(key) - first: position for position, key in enumerate(reader.keys)}
    for number in range(-(-info.scenes // info.shard_size)):
        indices = range(number * info.shard_size, min(info.scenes, (number + 1) * info.shard_size))
        name = shard_name(number)
        if name not in there:
            with ShardWriter(out, name) as writer:
                for index in indices:
                    if index in positions:
                        sample = reader.read(positions[index])
                        if size is not None:
                            sample = resized_sample(sample, size, f"sample {reader.keys[positions[index]]} of {url}")
                        writer.write(f"{index:06d}", sample)
        advance(len(indices))
    done = replace(info, complete=True)
    done.save(out)
    return done


def _place(url: str) -> tuple[AbstractFileSystem, str]:
    """Where a URL leads, links followed."""
    filesystem, path = resolve(url)
    return filesystem, os.path.realpath(path) if isinstance(filesystem, LocalFileSystem) else path


def _range(reader: Reader) -> tuple[int, int]:
    """`[first, end)` of the reader's split in its dataset."""
    first, end = reader.info.splits[reader.split] if reader.split else (0, reader.info.scenes)
    return first, end


def _check_place(out: str, wanted: DatasetInfo) -> None:
    """Refuse to mix two datasets."""
    filesystem, root = resolve(out)
    if not filesystem.exists(f"{root}/dataset.json"):
        if published_shards(out):
            raise DatasetError(f"{out} holds shards of another dataset; choose another place")
        return
    if _identity(DatasetInfo.load(out)) != _identity(wanted):
        raise DatasetError(f"{out} holds another dataset, or one converted with other options; choose another place")


def _identity(info: DatasetInfo) -> dict[str, Any]:
    content = asdict(info)
    content.pop("complete")
    return content
