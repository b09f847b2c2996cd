"""WebDataset tar shards with random access, written atomically to any fsspec URL.

A dataset is a folder or URL with `dataset.json` and `shards/NAME.tar`, each with `NAME.index.json` beside it. One
sample is one key with several suffixes (docs/architecture.md, "Samples"). The tar files are plain WebDataset: any of
its readers takes them. The index holds byte offsets, so that shuffling is real and a range read is enough for one
field.

A shard is published last, after its index, by one rename (local) or one put (object store): a shard that is listed is
complete. Nothing here needs NumPy, so a render actor in another environment can write shards.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ...methods.errors import DatasetError, InputError

FORMAT_VERSION = 1


@dataclass(frozen=True)
class DatasetInfo:
    """What `dataset.json` says of a dataset."""

    kind: str
    """`pair` or `sequence`."""
    generator: str
    """What made it, for example `sidar`."""
    settings: dict[str, Any]
    """The generator's full settings; the same settings and seed make the same bytes."""
    seed: int
    scenes: int
    """How many samples the finished dataset holds."""
    shard_size: int
    """Samples per shard; shard k holds the samples k * shard_size and following."""
    splits: dict[str, list[int]]
    """Split name to `[first, end)`, in sample indices."""
    fields: list[str]
    """Suffixes that each sample has; `NNN` stands for a frame number."""
    units: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Sample key to the reason why it could not be made."""
    complete: bool = False
    version: int = FORMAT_VERSION

    @classmethod
    def load(cls, url: str) -> DatasetInfo:
        """Read `dataset.json` of the dataset at `url`.

        Raises:
            DatasetError: there is none, or it is not of this format.
        """
        filesystem, root = resolve(url)
        try:
            raw = filesystem.cat_file(f"{root}/dataset.json")
        except (FileNotFoundError, NotADirectoryError):
            raise DatasetError(
                f"no dataset at {url}: dataset.json is missing; make one with 'raylign render'"
            ) from None
        except OSError as error:
            raise DatasetError(f"cannot read {url}/dataset.json: {error}") from None
        try:
            content = json.loads(raw)
            if content["version"] != FORMAT_VERSION:
                raise DatasetError(
                    f"{url} has format version {content['version']}; this raylign reads {FORMAT_VERSION}"
                )
            return cls(**content)
        except (ValueError, KeyError, TypeError):
            raise DatasetError(f"{url}/dataset.json is not a dataset description; render the dataset again") from None

    def setting(self, name: str) -> Any:
        """A setting by its name, wherever the generator keeps it; None where there is none."""
        return _setting(self.settings, name)

    def save(self, url: str) -> None:
        """Write `dataset.json`, atomically."""
        publish_bytes(url, "dataset.json", (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode())


def _setting(settings: dict[str, Any], name: str) -> Any:
    if name in settings:
        return settings[name]
    nested = (each for each in settings.values() if isinstance(each, dict))
    return next((found for each in nested if (found := _setting(each, name)) is not None), None)


def resolve(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system and the root path behind a local path or URL.

    Raises:
        DatasetError: the protocol is not known here.
    """
    try:
        filesystem, root = fsspec.core.url_to_fs(str(url))
    except (ValueError, ImportError) as error:
        raise DatasetError(f"cannot open {url}: {error}") from None
    return filesystem, root.rstrip("/")


def publish_file(url: str, name: str, local: Path) -> None:
    """Move a finished local file to `url/name` so that it is there whole or not at all.

    Raises:
        InputError: the target is full or not writable.
    """
    filesystem, root = resolve(url)
    target = f"{root}/{name}"
    try:
        if isinstance(filesystem, LocalFileSystem):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            part = f"{target}.{os.getpid()}.part"
            try:
                with open(local, "rb") as source, open(part, "wb") as sink:
                    while block := source.read(1 << 20):
                        sink.write(block)
                    sink.flush()
                    os.fsync(sink.fileno())
                os.replace(part, target)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(part)
        else:
            filesystem.put_file(str(local), target)
    except OSError as error:
        raise write_error(url, error) from None


def publish_bytes(url: str, name: str, content: bytes) -> None:
    """Write `content` to `url/name`, whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="raylign-") as folder:
        local = Path(folder) / "content"
        try:
            local.write_bytes(content)
        except OSError as error:
            raise write_error(folder, error) from None
        publish_file(url, name, local)


def write_error(place: str | Path, error: OSError) -> InputError:
    """The clear form of a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f"no space left while writing to {place}; free some or choose another place")
    return InputError(f"cannot write to {place}: {error.strerror or error}")


class ShardWriter:
    """Collects samples in a local tar file and publishes it, with its index, on `close`.

    Use as a context manager: leaving it after an exception publishes nothing. The bytes depend on the samples alone
    (no times, no owner), so equal samples give equal shards.
    """

    def __init__(self, url: str, name: str) -> None:
        """Open a shard `shards/NAME.tar` of the dataset at `url`."""
        from webdataset import TarWriter

        self._url, self._name = url, name
        self._folder = tempfile.TemporaryDirectory(prefix="raylign-shard-")
        self._local = Path(self._folder.name) / "shard.tar"
        # An integer: for a broken number of seconds the format adds a kilobyte to each field.
        self._tar = TarWriter(str(self._local), encoder=False, mtime=0, user="raylign", group="raylign")
        self._keys: set[str] = set()

    def write(self, key: str, fields: Mapping[str, bytes]) -> None:
        """Add one sample; `fields` maps suffixes (`ref.png`) to encoded bytes."""
        if "." in key or "/" in key or key in self._keys:
            raise ValueError(f"bad or repeated sample key {key!r}")
        self._keys.add(key)
        try:
            self._tar.write({"__key__": key, **{suffix: bytes(content) for suffix, content in fields.items()}})
        except OSError as error:
            raise write_error(self._folder.name, error) from None

    def close(self) -> int:
        """Publish the shard; returns its size in bytes."""
        try:
            self._tar.close()
        except OSError as error:
            raise write_error(self._folder.name, error) from None
        index = index_tar(self._local)
        publish_bytes(self._url, f"shards/{self._name}.index.json", json.dumps(index).encode())
        publish_file(self._url, f"shards/{self._name}.tar", self._local)
        self._folder.cleanup()
        return int(index["size"])

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            with contextlib.suppress(OSError):
                self._tar.close()
            self._folder.cleanup()


def index_tar(source: Path | io.BufferedIOBase) -> dict[str, Any]:
    """Byte ranges of every field of a shard: `{"size", "samples": [{"key", "fields": {suffix: [offset, size]}}]}`.

    Raises:
        DatasetError: the tar file is damaged.
    """
    samples: dict[str, dict[str, list[int]]] = {}
    stream = open(source, "rb") if isinstance(source, Path) else source  # noqa: SIM115
    with stream:
        try:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                for member in tar:
                    if member.isfile():
                        key, _, suffix = member.name.partition(".")
                        samples.setdefault(key, {})[suffix] = [member.offset_data, member.size]
        except tarfile.TarError as error:
            raise DatasetError(f"damaged shard {source}: {error}") from None
        stream.seek(0, os.SEEK_END)
        size = stream.tell()
    return {"size": size, "samples": [{"key": key, "fields": fields} for key, fields in samples.items()]}


def shard_name(number: int) -> str:
    """Name of shard `number`, without suffix."""
    return f"{number:06d}"


def published_shards(url: str) -> set[str]:
    """Names of the shards that are complete at `url`: a listing, not a guess."""
    filesystem, root = resolve(url)
    try:
        paths = filesystem.ls(f"{root}/shards", detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    names = (Path(path).name for path in paths)
    return {name.removesuffix(".tar") for name in names if name.endswith(".tar") and name[: -len(".tar")].isdigit()}


class Reader(Protocol):
    """Random access to the samples of a dataset, by position within a split, whatever they are stored in."""

    url: str
    split: str | None
    info: DatasetInfo

    def __len__(self) -> int: ...

    @property
    def keys(self) -> list[str]:
        """Sample keys, in order: zero-padded numbers within the whole dataset."""

    def shard(self, position: int) -> str:
        """Name of the shard that holds a sample."""

    def fields(self, position: int) -> list[str]:
        """Suffixes of one sample."""

    def file_of(self, position: int, suffix: str) -> str | None:
        """The file that is a field or that it is made from, where it is one of its own."""

    def read(self, position: int, suffixes: list[str] | None = None) -> dict[str, bytes]:
        """Encoded fields of one sample, all or only those asked for."""

    def __iter__(self) -> Iterator[dict[str, bytes]]: ...


class ShardReader:
    """Random access to the samples of a dataset, by position within a split.

    Files are opened on first use and never shared between processes, so a reader can be pickled to loader workers.
    """

    def __init__(self, url: str, split: str | None = None) -> None:
        """Open the dataset at `url`; `split` names one of its splits, None means all samples.

        Raises:
            DatasetError: no such dataset or split, or no shard is there.
        """
        self.url, self.split = url, split
        self.info = DatasetInfo.load(url)
        if split is not None and split not in self.info.splits:
            raise DatasetError(f"{url} has no split '{split}'; it has {', '.join(sorted(self.info.splits))}")
        first, end = self.info.splits[split] if split else (0, self.info.scenes)
        filesystem, root = resolve(url)
        self._root = root
        self._entries: list[tuple[str, str, dict[str, list[int]]]] = []
        for name in sorted(published_shards(url)):
            if int(name) * self.info.shard_size >= end or (int(name) + 1) * self.info.shard_size <= first:
                continue
            for sample in self._index(filesystem, name)["samples"]:
                if first <= int(sample["key"]) < end:
                    self._entries.append((name, sample["key"], sample["fields"]))
        if not self._entries:
            raise DatasetError(f"{url} holds no sample{f' of split {split!r}' if split else ''}; finish its rendering")

    def _index(self, filesystem: fsspec.AbstractFileSystem, name: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(filesystem.cat_file(f"{self._root}/shards/{name}.index.json"))
            return content
        except (FileNotFoundError, ValueError):
            return index_tar(filesystem.open(f"{self._root}/shards/{name}.tar", "rb"))

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def keys(self) -> list[str]:
        """Sample keys, in order."""
        return [key for _, key, _ in self._entries]

    def shard(self, position: int) -> str:
        """Name of the shard that holds a sample."""
        return self._entries[position][0]

    def fields(self, position: int) -> list[str]:
        """Suffixes of one sample, in the order they were written."""
        return list(self._entries[position][2])

    def file_of(self, position: int, suffix: str) -> str | None:
        """None: a field of a shard is no file of its own."""
        return None

    def read(self, position: int, suffixes: list[str] | None = None) -> dict[str, bytes]:
        """Encoded fields of one sample, all or only those asked for.

        Raises:
            DatasetError: a field or its bytes are missing.
        """
        name, key, fields = self._entries[position]
        content: dict[str, bytes] = {}
        filesystem, _ = resolve(self.url)
        with filesystem.open(f"{self._root}/shards/{name}.tar", "rb") as stream:
            for suffix in suffixes if suffixes is not None else fields:
                if suffix not in fields:
                    raise DatasetError(f"sample {key} of {self.url} has no field '{suffix}'")
                offset, size = fields[suffix]
                stream.seek(offset)
                content[suffix] = stream.read(size)
                if len(content[suffix]) != size:
                    raise DatasetError(f"shard {name} of {self.url} is truncated; delete it and render again")
        return content

    def __iter__(self) -> Iterator[dict[str, bytes]]:
        return (self.read(position) for position in range(len(self)))
