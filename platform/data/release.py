"""Writes pairs in the folder layouts in which public datasets are published, for programs that read those."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...methods.errors import DatasetError, InputError
from .layouts.dsia import FILES as DSIA_FILES
from .layouts.fire import DROPPED
from .layouts.opening import open_reader
from .samples import decode_picture
from .shards import Reader

Files = dict[str, bytes]
"""Path below the target to content."""


def dsia_files(content: Mapping[str, bytes], split: str) -> Files:
    """A pair as DMAligner's dataset has it: `SPLIT/[GROUP_]SCENE_1_PAIR/{img1,img2,img1_warp_gt,input_mask}.png`.

    The published names have a number between scene and pair whose meaning is not known; here it is 1. The published
    test part puts two letters first, S or L: here small or large motion of the camera, then of the foreground.
    """
    meta = json.loads(content["meta.json"])
    group = "".join(letter for letter in str(meta.get("subset", "")) if letter in "SL")
    scene, pair = int(meta.get("scene", meta.get("index", 0))), int(meta.get("pair", 0))
    part = "test" if split.startswith("test") else split
    prefix = f"{group}_" if part == "test" and len(group) == 2 else ""
    folder = f"{part}/{prefix}{scene:05d}_1_{pair + 1:04d}"
    return {f"{folder}/{name}": content[field] for field, name in DSIA_FILES.items()}


def fire_files(content: Mapping[str, bytes], split: str) -> Files:
    """A pair as FIRE has it: `Images/P01_1.jpg`, `Images/P01_2.jpg`, `Ground Truth/control_points_P01_1_2.txt`.

    FIRE's pictures are JPEG files, so these are too, at the best quality. All splits lie in one folder there.
    """
    meta = json.loads(content["meta.json"])
    group, number = str(meta.get("subset", "")), int(meta.get("index", 0)) + 1
    if group not in ("S", "P", "A"):
        raise DatasetError(f"pair {number - 1} of the split '{split}' is in no group S, P or A of FIRE; choose others")
    # Readers leave out what FIRE has misaligned, so no pair gets such a name.
    number += sum(number >= int(name[1:3]) for name in DROPPED if name[0] == group)
    name = f"{group}{number:02d}"
    rows = "\n".join(" ".join(f"{value:.4f}" for value in row) for row in meta["points"])
    return {
        f"Images/{name}_1.jpg": _jpeg(content["ref.png"]),
        f"Images/{name}_2.jpg": _jpeg(content["src.png"]),
        f"Ground Truth/control_points_{name}_1_2.txt": f"{rows}\n".encode(),
    }


def _jpeg(content: bytes) -> bytes:
    buffer = io.BytesIO()
    pixels = np.ascontiguousarray(decode_picture(content, "picture").permute(1, 2, 0).numpy())
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


RELEASES: dict[str, tuple[tuple[str, ...], Callable[[Mapping[str, bytes], str], Files]]] = {
    "dsia-release": (tuple(DSIA_FILES), dsia_files),
    "fire": (("ref.png", "src.png"), fire_files),
}
"""Layout to the fields that it needs and what writes a pair."""


def write_release(
    url: str,
    out: str,
    layout: str,
    split: str | None = None,
    limit: int | None = None,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> int:
    """Write the pairs at `url` as files below the local folder `out`; returns their number.

    What broke off goes on: a file that is there as it should be is not written again; one that differs is replaced.

    Args:
        url: the dataset.
        out: local folder.
        layout: one of `RELEASES`.
        split: only this split.
        limit: only the first so many pairs.
        advance: called with 1 after each pair.

    Raises:
        DatasetError: the dataset cannot be read, or lacks what the layout needs.
        InputError: the folder cannot be written.
    """
    reader = open_reader(url, split)
    needed, files_of = RELEASES[layout]
    root = Path(out)
    if "://" in out:
        raise InputError(f"{out}: --to {layout} writes a local folder, not a URL")
    count = min(len(reader), limit or len(reader))
    for position in range(count):
        held = reader.fields(position)
        lost = [name for name in (*needed, "meta.json") if name not in held]
        if lost:
            raise DatasetError(f"sample {reader.keys[position]} of {url} has no {', '.join(lost)}, as {layout} needs")
        content = reader.read(position, [*needed, "meta.json"])
        for name, written in files_of(content, _split(reader, position)).items():
            _publish(root / name, written)
        advance(1)
    return count


def _split(reader: Reader, position: int) -> str:
    """The split of train, val and test that a sample is in."""
    index = int(reader.keys[position])
    ranges: dict[str, Any] = reader.info.splits
    return next(
        (name for name in ("train", "val", "test") if name in ranges and index in range(*ranges[name])), "train"
    )


def _publish(target: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        if target.is_file() and target.read_bytes() == content:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        part.write_bytes(content)
        os.replace(part, target)
    except OSError as error:
        free = shutil.disk_usage(target.anchor or ".").free
        hint = "the disk is full" if free < len(content) else error.strerror
        raise InputError(f"{target}: cannot be written ({hint}); choose another folder") from None
