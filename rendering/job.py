"""A render job's dataset: what it must hold, what is there already, and that nobody else writes into it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from ..methods.errors import InputError
from ..platform.data.shards import DatasetInfo, published_shards, resolve, shard_name, write_error

LOCK = ".render.lock"


def shards_of(info: DatasetInfo) -> dict[str, range]:
    """Shard name to the scenes it holds."""
    starts = range(0, info.scenes, info.shard_size)
    return {
        shard_name(number): range(start, min(start + info.shard_size, info.scenes))
        for number, start in enumerate(starts)
    }


def standing(url: str, wanted: DatasetInfo) -> tuple[DatasetInfo, list[str]]:
    """What is there of the dataset at `url`; writes nothing.

    A dataset is one thing: its seed, settings and number of scenes decide its bytes and its splits, so another number
    of scenes is another dataset (the splits' ranges, and with them who may see which picture, would change).

    Args:
        url: the dataset.
        wanted: its description.

    Returns:
        the description as it stands, with the failures so far, and the names of the missing shards.

    Raises:
        InputError: there is another dataset at `url`; the line names the first difference.
    """
    filesystem, root = resolve(url)
    present = published_shards(url)
    if not filesystem.exists(f"{root}/dataset.json"):
        if present:
            raise InputError(f"--out {url}: holds shards but no dataset.json; choose another place")
        info = wanted
    else:
        info = DatasetInfo.load(url)
        difference = first_difference(_identity(info), _identity(wanted))
        if difference and not present and not info.complete:
            # A run that ended before its first shard, on a wrong device for example, holds no place.
            info = wanted
        elif difference:
            raise InputError(
                f"--out {url}: another dataset is there, {difference}; choose another place or its settings"
            )
    return info, [name for name in shards_of(wanted) if name not in present]


def _identity(info: DatasetInfo) -> dict[str, Any]:
    """What must agree for two descriptions to mean the same dataset, as JSON has it."""
    content = json.loads(json.dumps(dataclasses.asdict(info)))
    return {name: value for name, value in content.items() if name not in ("failed", "complete", "version")}


def first_difference(there: Any, wanted: Any, name: str = "") -> str | None:
    """The first difference of two JSON values in words, None when they are equal."""
    if there == wanted:
        return None
    if isinstance(there, dict) and isinstance(wanted, dict):
        keys = sorted(there.keys() | wanted.keys(), key=lambda key: (isinstance(there.get(key), dict), key))
        for key in keys:
            found = first_difference(there.get(key), wanted.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
    return f"with {name.removeprefix('settings.')} {_show(there)} instead of {_show(wanted)}"


def _show(value: Any) -> str:
    return "nothing" if value is None else str(value) if not isinstance(value, list) else " ".join(map(str, value))


@contextlib.contextmanager
def writing(url: str) -> Iterator[None]:
    """Be the only one to render into a local folder; remove what a killed run left half-written.

    An object store has no locks; there, two runs of the same dataset write the same bytes over each other.

    Raises:
        InputError: another run is under way, or the folder cannot be written.
    """
    filesystem, root = resolve(url)
    if not isinstance(filesystem, LocalFileSystem):
        yield
        return
    try:
        os.makedirs(root, exist_ok=True)
        lock = open(f"{root}/{LOCK}", "w")  # noqa: SIM115
    except OSError as error:
        raise write_error(url, error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"--out {url}: another render is writing there; wait for it or choose another place"
            ) from None
        for part in [*Path(root).glob("*.part"), *Path(root).glob("shards/*.part")]:
            part.unlink(missing_ok=True)
        yield
