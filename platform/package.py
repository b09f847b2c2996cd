"""The package as it travels to a cluster: a folder `raylign/` that goes before any raylign the machines there have."""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOMS = ("methods", "platform", "rendering", "serve", "tune")
"""The folders that make up the package, as pyproject.toml maps them."""


def stage(folder: Path) -> list[Path]:
    """Copy the package that is running into a folder, with its data files and without what is left of running it.

    Args:
        folder: an empty folder.

    Returns:
        `raylign/` and, where this installation knows its version, `raylign-VERSION.dist-info/`: the two have to be put
        into folders on PYTHONPATH.
    """
    package = folder / "raylign"
    here = Path(__file__).parents[1]
    for room in ROOMS:
        shutil.copytree(here / room, package / room, ignore=shutil.ignore_patterns("__pycache__", "*.py[co]", ".*"))
    # raylign is a namespace package, and those add up over all of sys.path. With this file it is a regular one, which
    # Python takes as it is: no module of another version mixes in.
    (package / "__init__.py").touch()
    try:
        known = version("raylign")
    except PackageNotFoundError:
        return [package]
    metadata = folder / f"raylign-{known}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: raylign\nVersion: {known}\n")
    return [package, metadata]
