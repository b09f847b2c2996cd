"""Reads every sample of a dataset and derives its ground truth a second time.

Shards are compared with their indices, every field is decoded, and homographies, flow, occlusion, depth and figures
are recomputed from the stored cameras (`check_sequence.py`, `check_pair.py`). Of a public dataset in its published
folder, which has no shards and fewer fields, the same is asked of what it has.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...methods.errors import DatasetError
from .check_pair import PairFields, pair_findings
from .check_pictures import Finding
from .check_sequence import SequenceFields, sequence_findings
from .parallel import for_each
from .samples import Samples, decode_picture
from .shards import DatasetInfo, ShardReader, index_tar, published_shards, resolve, shard_name
from .truth import decode_arrays, decode_mask

PICTURES = (".png", ".webp", ".jpg", ".jpeg", ".ppm", ".pgm", ".bmp", ".tif", ".tiff")
FLAT = 1
"""Grey levels between the darkest and the brightest value of each channel, up to which a frame is of one colour."""


class DamagedDatasetError(DatasetError):
    """A dataset was read and is not sound: the input of the command was right, hence status 1."""

    exit_status = 1


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a dataset."""

    place: str
    """`sample 000007` or `shard 000001`."""
    check: str
    """Name of the check that failed, for example `homography`."""
    reason: str
    """One plain line."""

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


def verify(url: str, *, advance: Callable[[int], None] = lambda _: None) -> list[Problem]:
    """Check a whole dataset.

    Args:
        url: the dataset.
        advance: called with 1 after each sample.

    Returns:
        What is wrong, shards first, then samples in order.

    Raises:
        DatasetError: there is no dataset, or none of its samples can be found.
    """
    samples = Samples(url)
    reader = samples.reader
    problems = list(_shard_problems(url, reader)) if isinstance(reader, ShardReader) else []
    found = for_each(range(len(samples)), lambda position: check_sample(samples, position), advance=advance)
    return problems + [problem for each in found for problem in each]


def check_sample(samples: Samples, position: int) -> list[Problem]:
    """Everything that is wrong with one sample."""
    place = f"sample {samples.reader.keys[position]}"
    return [Problem(place, check, reason) for check, reason in _findings(samples, position)]


def _shard_problems(url: str, reader: ShardReader) -> Iterator[Problem]:
    info = reader.info
    filesystem, root = resolve(url)
    expected_shards = {shard_name(number) for number in range(-(-info.scenes // info.shard_size))}
    for name in sorted(published_shards(url)):
        place = f"shard {name}"
        if name not in expected_shards:
            yield Problem(place, "shard", "does not belong to this dataset")
            continue
        try:
            with filesystem.open(f"{root}/shards/{name}.tar", "rb") as stream:
                held = index_tar(stream)
        except DatasetError as error:
            yield Problem(place, "shard", str(error))
            continue
        try:
            index = json.loads(filesystem.cat_file(f"{root}/shards/{name}.index.json"))
        except FileNotFoundError:
            continue  # readers make it up from the shard
        except ValueError:
            yield Problem(place, "index", "its index is damaged; delete it, readers make it up from the shard")
            continue
        if index != held:
            yield Problem(place, "index", "its index is that of another file; delete the shard and render again")
    keys = reader.keys
    for key, count in Counter(keys).items():
        if count > 1:
            yield Problem(f"sample {key}", "key", f"is there {count} times")
    for key in sorted({f"{index:06d}" for index in range(info.scenes)} - set(keys) - set(info.failed)):
        yield Problem(f"sample {key}", "key", "is missing")
    for position, key in enumerate(keys):
        if int(key) // info.shard_size != int(reader.shard(position)):
            yield Problem(f"sample {key}", "key", f"lies in shard {reader.shard(position)}, where it does not belong")


def _findings(samples: Samples, position: int) -> Iterator[Finding]:
    reader = samples.reader
    try:
        names = samples.frame_names(position)
    except DatasetError as error:
        yield "field", str(error)
        return
    yield from _missing_fields(reader.info, reader.fields(position), names)
    try:
        content = reader.read(position)
    except (DatasetError, OSError) as error:
        yield "field", str(error)
        return
    decoder = _Decoder(content, names, {name: reader.file_of(position, name) or name for name in content})
    for name in content:
        yield from decoder.check(name)
    yield from decoder.frame_findings()
    if decoder.sound:
        yield from decoder.truth_findings(reader.info)


def _missing_fields(info: DatasetInfo, fields: list[str], frames: list[str]) -> Iterator[Finding]:
    """Compare a sample's suffixes with `dataset.json`, where `NNN` stands for each frame number."""
    numbers = [name.partition(".")[0] for name in frames]
    if info.kind == "sequence" and numbers != [f"{k:03d}" for k in range(len(numbers))]:
        yield "field", f"its frames are numbered {', '.join(numbers) or 'not at all'}, not from 000 on without a gap"
    for pattern in info.fields:
        wanted = [pattern.replace("NNN", number) for number in numbers] if "NNN" in pattern else [pattern]
        lost = [name for name in wanted or [pattern] if name not in fields]
        if lost:
            yield "field", f"{', '.join(lost)} missing"


class _Decoder:
    """The decoded fields of one sample, and what was wrong with them."""

    def __init__(self, content: dict[str, bytes], frames: list[str], labels: dict[str, str]) -> None:
        """`labels` says what errors call a field."""
        self._content, self._frames, self._labels = content, frames, labels
        self._pictures: dict[str, Tensor] = {}
        self._grey: dict[str, NDArray[np.uint8]] = {}
        self._arrays: dict[str, dict[str, NDArray[np.float32]]] = {}
        self._meta: dict[str, Any] = {}
        self.sound = True

    def check(self, name: str) -> Iterator[Finding]:
        """Decode one field; pictures come before the arrays, whose shape they tell."""
        try:
            self._decode(name)
        except DatasetError as error:
            self.sound = False
            yield "field", str(error)

    def _decode(self, name: str) -> None:
        content = self._content[name]
        if name == "meta.json":
            try:
                meta = json.loads(content)
            except ValueError:
                meta = None
            if not isinstance(meta, dict):
                raise DatasetError("meta.json is not a JSON object")
            match meta.get("size"):
                case None | [int(), int()]:
                    self._meta = meta
                case size:
                    raise DatasetError(f"meta.json has the size {size}, not a width and a height")
        elif name.endswith(".mask.png") or name in ("occlusion.png", "hidden.png", "dynamic.png"):
            self._grey[name] = decode_mask(content, self._labels[name])
        elif name.endswith(PICTURES):
            self._pictures[name] = decode_picture(content, self._labels[name])

    def frame_findings(self) -> Iterator[Finding]:
        """Sizes, and frames of one colour; then the arrays, whose shapes follow from the sizes."""
        sizes = {name: tuple(each.shape[-2:]) for name, each in self._pictures.items()}
        sizes |= {name: each.shape for name, each in self._grey.items()}
        told = self._meta.get("size")
        for name, size in sizes.items():
            reference = sizes.get(self._partner(name))
            if told is not None and list(size) != list(reversed(told)):
                self.sound = False
                yield "size", f"{name} is of {size[1]} x {size[0]} pixels, meta.json says {told[0]} x {told[1]}"
            elif told is None and reference is not None and size != reference:
                self.sound = False
                yield "size", f"{name} is of {size[1]} x {size[0]} pixels, unlike {self._partner(name)}"
        for name in self._frames:
            if name in self._pictures and _is_flat(self._pictures[name]):
                yield "picture", f"{name} is of one colour"
        for name in self._content:
            if name.endswith(".npz"):
                try:
                    shapes = self._shapes(name, sizes)
                    self._arrays[name] = decode_arrays(self._content[name], self._labels[name], shapes)
                except DatasetError as error:
                    self.sound = False
                    yield "field", str(error)

    def _partner(self, name: str) -> str:
        """The frame whose size a field must have."""
        stem = name.partition(".")[0]
        return next((frame for frame in self._frames if frame.partition(".")[0] == stem), self._frames[0])

    def _shapes(self, name: str, sizes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        shapes = [sizes.get(frame, ()) for frame in self._frames]
        if not all(shapes):
            return {}
        if name == "flow.npz":
            return {"flow": (2, *shapes[0])}
        if name == "truth.npz":
            return {"src": (2, *shapes[0]), "ref": (2, *shapes[0])}
        if name == "depth.npz":
            return {"ref": shapes[0], "src": shapes[1]}
        return {"depth": sizes[self._partner(name)]} if name.endswith(".depth.npz") else {}

    def truth_findings(self, info: DatasetInfo) -> Iterator[Finding]:
        """What is wrong with the ground truth of a sample whose fields are whole."""
        gt = next((picture for name, picture in self._pictures.items() if name.startswith("gt.")), None)
        frames = [self._pictures[name] for name in self._frames]
        if info.kind == "pair":
            depth, exact = self._arrays.get("depth.npz"), self._arrays.get("truth.npz", {})
            sizes = [(int(frame.shape[-2]), int(frame.shape[-1])) for frame in frames]
            fields = PairFields(
                source=frames[1],
                gt=gt,
                flow=self._arrays.get("flow.npz", {}).get("flow"),
                truth_flow=exact.get("src"),
                moved=exact.get("ref"),
                occlusion=self._grey.get("occlusion.png"),
                hidden=self._grey.get("hidden.png"),
                dynamic=self._grey.get("dynamic.png"),
                depths=(depth["ref"], depth["src"]) if depth else None,
                meta=self._meta,
                reference_size=sizes[0],
                partial_flow=info.setting("partial_flow") is True,
            )
            yield from pair_findings(fields)
            return
        stems = [name.partition(".")[0] for name in self._frames]
        masks = [self._grey[f"{stem}.mask.png"] for stem in stems if f"{stem}.mask.png" in self._grey]
        depths = [self._arrays[f"{stem}.depth.npz"]["depth"] for stem in stems if f"{stem}.depth.npz" in self._arrays]
        whole = len(frames)
        yield from sequence_findings(
            SequenceFields(
                frames=frames,
                gt=gt,
                masks=masks if len(masks) == whole else [],
                depths=depths if len(depths) == whole else [],
                meta=self._meta,
                occluders_hidden=info.setting("occluders_hidden") is True,
            )
        )


def _is_flat(picture: Tensor) -> bool:
    return bool((picture.amax((1, 2)) - picture.amin((1, 2)) <= FLAT).all())
