"""The run folder: `runs/<command>/<name>/` with `config.yaml`, and whatever the command makes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from ..methods.errors import InputError
from .data.layouts import split_prefix
from .data.shards import write_error

RUNS = Path("runs")


def run_folder(command: str, name: str, root: str | Path | None = None) -> Path:
    """The absolute folder of a run, made if it is not there.

    Args:
        command: `train`, `tune`, ...
        name: the run's name.
        root: instead of `runs` in the working directory.

    Raises:
        InputError: the folder cannot be made.
    """
    if not name or name.startswith((".", "-")) or "/" in name:
        raise InputError(f"'{name}' cannot name a run; use letters, digits, '.', '_' and '-'")
    folder = (Path(root or RUNS) / command / name).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from None
    return folder


def write_text(path: Path, text: str) -> None:
    """Write a text file as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, and the folder around it.

    Raises:
        InputError: the place is full or not writable.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise write_error(path, error) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a `config.yaml`.

    Raises:
        InputError: it is missing or not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a configuration; it must be a YAML mapping")
    return content


def absolute_url(url: str) -> str:
    """A dataset's URL with a local path made absolute, so that it means the same in every process.

    The name of a layout before it stays: `fire:FIRE` becomes `fire:/here/FIRE`.
    """
    layout, place = split_prefix(url)
    if "://" in place or "::" in place:
        return url
    path = str(Path(place).expanduser().absolute())
    return path if layout is None else f"{layout}:{path}"
