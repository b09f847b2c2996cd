"""The user's own characters, objects and panoramas: which files of a folder can be used.

A file is opened in a process of its own, with bounds on its time and memory, for a broken one can take Blender with
it. What cannot be used is told by name and reason, and the others serve.

A character has an armature with a motion clip that moves its mesh; what has none is an object, also where it looks
like a person: it would stand with its arms spread. A panorama is a picture twice as wide as high, all around.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from ...methods.errors import InputError
from ...platform.progress import Progress

GLTF = frozenset({".glb", ".gltf"})
MODELS = GLTF | {".blend", ".fbx"}
PANORAMAS = frozenset({".exr", ".hdr"})
COMPANIONS = frozenset({".bin", ".bmp", ".jpeg", ".jpg", ".ktx2", ".png", ".tga", ".tif", ".tiff", ".webp"})
"""Files that a glTF refers to; on their own they are passed over without a word."""

MOST_BYTES = 512 << 20
"""Of a file, with what it refers to."""
PROBE_SECONDS = 120.0
"""That a file's process may take."""
_AT_ONCE = 4
"""Processes at a time, at most."""


@dataclass(frozen=True)
class AssetSpec:
    """A file that can be used."""

    path: str
    """Its name within the folder, with `/` between folders."""
    sha256: str
    """Of its content (`asset_digest`)."""
    kind: Literal["character", "object", "panorama"]
    height: float
    """In metres, in its first pose; 0 for a panorama. Characters between 0.4 and 2.6 m and objects between 2 cm and
    8 m keep their size; others, whose unit is another, become 1.7 m and 1 m high."""
    radius: float
    """Of the upright cylinder around the origin that holds it at all times, in metres; 0 for a panorama."""
    seconds: float
    """Length of its motion clip, which repeats; 0 for what does not move by itself."""
    actions: tuple[str, ...]
    """Names of its motion clips, the one that is shown first: one called after walking where there is one."""


@dataclass(frozen=True)
class AssetList:
    """What a folder holds, each sorted by name."""

    folder: str
    characters: tuple[AssetSpec, ...]
    objects: tuple[AssetSpec, ...]
    panoramas: tuple[AssetSpec, ...]
    skipped: tuple[tuple[str, str], ...]
    """Name and reason of what cannot be used."""


def survey_assets(folder: str, python: str) -> AssetList:
    """Find out which files of a folder, and of the folders in it, can be used.

    Args:
        folder: where they are.
        python: Python with raylign and Blender, which opens the files.

    Raises:
        InputError: no such folder, that Python cannot run Blender, or no file can be used.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"--assets {folder}: no such folder")
    names = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.suffix.lower() not in COMPANIONS
    )
    if not names:
        raise InputError(f"--assets {folder}: is empty; put {', '.join(sorted(MODELS | PANORAMAS))} files there")
    _check_python(python)
    found: list[AssetSpec] = []
    skipped: list[tuple[str, str]] = []
    with Progress("opening assets", len(names), "file") as bar, ThreadPoolExecutor(_workers()) as pool:
        for name, answer in zip(names, pool.map(lambda each: _survey(root, each, python), names), strict=True):
            if isinstance(answer, str):
                skipped.append((name, answer))
            else:
                found.append(answer)
            bar.advance(1, f"({len(skipped)} skipped)" if skipped else "")
    if not found:
        raise InputError(f"--assets {folder}: none of {len(names)} files can be used; {skipped[0][0]}: {skipped[0][1]}")
    characters, objects, panoramas = (
        tuple(each for each in found if each.kind == kind) for kind in ("character", "object", "panorama")
    )
    return AssetList(folder, characters, objects, panoramas, tuple(skipped))


def _workers() -> int:
    return min(_AT_ONCE, os.cpu_count() or 1)


def asset_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; of a glTF that refers to others, that of all their digests in a row.

    Raises:
        OSError: it cannot be read.
        ValueError: a glTF is damaged, or refers to a file outside of its folder.
    """
    digests = []
    for each in (path, *_referred(path)):
        with each.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256"))
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(each.digest() for each in digests)).hexdigest()


def _referred(path: Path) -> Iterator[Path]:
    """The files that a glTF refers to."""
    if path.suffix.lower() not in GLTF:
        return
    try:
        content = json.loads(_gltf_text(path))
        parts = [each for name in ("buffers", "images") for each in content.get(name, [])]
        links = [str(each["uri"]) for each in parts if "uri" in each]
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        raise ValueError("is broken: no glTF") from None
    home = path.parent.resolve()
    for link in links:
        if link.startswith("data:"):
            continue
        other = (home / unquote(link)).resolve()
        if not other.is_relative_to(home):
            raise ValueError(f"refers to a file outside of its folder: {link}")
        yield other


def _gltf_text(path: Path) -> bytes:
    """The JSON of a glTF: the whole file, or the first chunk of a binary one, after its header of 12 bytes."""
    if path.suffix.lower() == ".gltf":
        return path.read_bytes()
    with path.open("rb") as file:
        magic, _, _, length, _ = struct.unpack("<4s4I", file.read(20).ljust(20, b"\0"))
        return b"" if magic != b"glTF" else file.read(length)


def _survey(root: Path, name: str, python: str) -> AssetSpec | str:
    """A file that can be used, or why it cannot."""
    path = root / name
    if path.suffix.lower() not in MODELS | PANORAMAS:
        return f"is none of {', '.join(sorted(MODELS | PANORAMAS))}"
    try:
        size = path.stat().st_size
        if size == 0:
            return "is empty"
        if size <= MOST_BYTES:
            size += sum(each.stat().st_size for each in _referred(path))
        if size > MOST_BYTES:
            return f"is enormous: {size >> 20} MiB, above {MOST_BYTES >> 20}"
        content = asset_digest(path)
    except OSError as error:
        return f"cannot be read: {error.strerror} ({Path(str(error.filename)).name})"
    except ValueError as error:
        return str(error)
    answer = probe(python, str(path))
    if "reason" in answer:
        return str(answer["reason"])
    return AssetSpec(name, content, **{**answer, "actions": tuple(answer["actions"])})


def probe(python: str, *arguments: str, seconds: float = PROBE_SECONDS) -> dict[str, Any]:
    """What `blender/probe_asset.py` says of a file, or `reason`: why it says nothing.

    Args:
        python: Python with raylign and Blender.
        arguments: the file; none to see whether Blender starts.
        seconds: that it may take.

    Raises:
        InputError: there is no such Python.
    """
    # -P keeps the working directory, where anything may lie, out of the module path.
    command = [python, "-P", "-m", "raylign.rendering.blender.probe_asset", *arguments]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"reason": f"took longer than {seconds:g} s to open"}
    except OSError as error:
        raise InputError(f"--blender-python {python}: cannot be run: {error.strerror}") from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    if done.returncode < 0:
        return {"reason": f"is broken: Blender died of it (signal {-done.returncode})"}
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return {"reason": f"is broken: Blender could not open it ({said[-1][:200] if said else 'no message'})"}


def _check_python(python: str) -> None:
    answer = probe(python)
    if "reason" in answer:
        raise InputError(
            f"--assets: {python} cannot open files: {answer['reason']}; install raylign[render] there, or name "
            "another one with --blender-python"
        )
