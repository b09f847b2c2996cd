"""Opens whatever lies at a URL: a dataset of shards, or a public dataset as it was published."""

from __future__ import annotations

import os
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from ....methods.errors import DatasetError
from ..shards import DatasetInfo, Reader, ShardReader, resolve
from . import NAMES, split_prefix
from .base import Layout, LayoutError, LayoutReader
from .davis import Davis
from .dsia import Dsia
from .files import folders_in, pictures_in
from .fire import Fire
from .homographynet import HomographyNet
from .hpatches import HPatches
from .pairs import Pairs
from .shots import Shots
from .sidar import Sidar
from .sintel import Sintel
from .udis import UdisD

LAYOUTS: tuple[Layout, ...] = (
    UdisD(),
    Fire(),
    Sintel(),
    Davis(),
    HPatches(),
    Dsia(),
    Sidar(),
    Pairs(),
    HomographyNet(),
    Shots(),
)
"""In the order in which a folder is compared with them."""

DEPTH = 3
"""Folders between a dataset and its pictures: `training/final/alley_1`."""

_BY_NAME = {layout.name: layout for layout in LAYOUTS}


def open_reader(url: str, split: str | None = None) -> Reader:
    """A reader of the dataset at `url`; `split` names one of its splits, None means all samples.

    Args:
        url: local path or URL of shards, a folder of a public dataset, or one with its layout before it (`fire:PATH`).
        split: one of its splits.

    Raises:
        DatasetError: there is no dataset, it is incomplete, or it has no such split.
    """
    found = find_layout(url)
    return ShardReader(url, split) if found is None else LayoutReader(*found, url, split)


def load_info(url: str) -> DatasetInfo:
    """What `dataset.json` says of the dataset at `url`, or what a folder's listing says.

    Raises:
        DatasetError: there is no dataset, or it is incomplete.
    """
    found = find_layout(url)
    return DatasetInfo.load(url) if found is None else LayoutReader(*found, url).info


def find_layout(url: str) -> tuple[Layout, Path] | None:
    """The layout of a folder and its path; None for what only shards can be.

    Raises:
        DatasetError: a layout is forced on what is not a local folder, or the folder is of no known layout.
    """
    name, place = split_prefix(url)
    if name is not None:
        if "://" in place or "::" in place:
            raise DatasetError(f"{url}: published layouts are read from local folders only; copy it to one first")
        root = Path(place).expanduser()
        if not root.is_dir():
            raise DatasetError(f"{url}: there is no folder {root}; check the path")
        return _BY_NAME[name], root
    filesystem, path = resolve(url)
    root = Path(path)
    shards = not isinstance(filesystem, LocalFileSystem) or not root.is_dir()
    try:
        if shards or (root / "dataset.json").exists() or (root / "shards").is_dir() or not any(root.iterdir()):
            return None
    except OSError as error:
        raise DatasetError(f"{root} cannot be read ({error.strerror or error}); check its permissions") from None
    layout = detect(root)
    if layout is None:
        near = _near(root)
        raise LayoutError(
            f"no dataset at {root}: it holds neither dataset.json nor a known layout ({', '.join(NAMES)}); "
            f"'raylign data info' tells what each looks like{near or _pictures(root)}",
            "" if near else "\n".join([str(root), "  is of no known layout; known are:", *map(_known, LAYOUTS)]),
        )
    return layout, root


def detect(root: Path) -> Layout | None:
    """The layout that a folder looks like, whether or not it is complete; none where it may not be entered."""
    try:
        return next((layout for layout in LAYOUTS if layout.looks_like(root)), None)
    except PermissionError:
        return None


def _near(root: Path) -> str:
    """Tells of a dataset one folder deeper, where archives often put it, or around this folder; empty without one."""
    for folder in (*folders_in(root), *root.absolute().parents[:DEPTH]):
        if os.path.exists(folder / "dataset.json"):  # no error where the folder may not be entered
            return f"; {folder} is a dataset: give that folder"
        layout = detect(folder)
        if layout is not None:
            return f"; {folder} looks like {layout.title}: give that folder"
    return ""


def _pictures(root: Path) -> str:
    return f"; homographynet:{root} makes synthetic pairs of its pictures" if pictures_in(root) else ""


def _known(layout: Layout) -> str:
    return f"    {layout.name}: {layout.title}, {layout.home}\n        {', '.join(layout.tree)}"
