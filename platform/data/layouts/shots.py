"""Shots of anybody's own: a folder of folders, each with several shots of one flat thing.

The first of each folder, in the order of names (10 behind 9), is the reference. Where the folder above has a table
`manifest.csv` as a folder of pairs has it, the table decides: its pictures that lie in one folder are a set, its first
`file1` is the reference, the others follow in the order in which they are named. Each set of the table is a subset and
a split.
"""

from __future__ import annotations

import os
from pathlib import Path

from ....methods.errors import DatasetError
from .base import SPLITS, Entry, Layout, Listing
from .files import absent, ending, folders_in, is_picture, pictures_in
from .pairs import COLUMNS, MANIFEST, table_rows, within


class Shots(Layout):
    """Sets without any truth."""

    name = "shots"
    title = "a folder of shots"
    home = "your own pictures"
    published = "as many sets as there are"
    tree = ("NAME/*.jpg, two or more pictures", f"or {MANIFEST} (columns {', '.join(COLUMNS)})")
    rule = "the pictures of a folder are a set; the first by name, or the first file1 of the table, is the reference"
    kind = "sequence"

    def looks_like(self, root: Path) -> bool:
        """Never: many a folder holds folders of pictures that have nothing to do with each other."""
        return False

    def survey(self, root: Path) -> Listing:
        """See `Layout`."""
        if (root / MANIFEST).is_file():
            return _from_table(root)
        entries = []
        for folder in folders_in(root):
            paths = [folder / name for name in pictures_in(folder).values()]
            if len(paths) > 1:
                entries.append(_entry(folder.name, paths))
        return Listing(entries, [])


def _from_table(root: Path) -> Listing:
    table = root / MANIFEST
    shots: dict[tuple[str, str], dict[str, None]] = {}
    for number, (subset, _, *files) in table_rows(table):
        where = f"{table}, line {number}"
        first, second = (within(file, where) for file in files[:2])
        if not second:
            continue
        for file in (first, second):
            if not is_picture(file):
                raise DatasetError(f"{where}: '{file}' is not the name of a picture")
        shots.setdefault((subset, os.path.dirname(first)), {}).update({first: None, second: None})
    if not shots:
        raise DatasetError(f"{table} has no row with file1 and file2; it needs the columns {', '.join(COLUMNS)}")
    missing = absent(root, dict.fromkeys(name for names in shots.values() for name in names))
    entries = [
        _entry(os.path.basename(folder) or subset, [root / name for name in names], subset)
        for (subset, folder), names in sorted(shots.items(), key=lambda item: item[0][0])
    ]
    return Listing(sorted(entries, key=lambda entry: SPLITS.index(entry.split)), missing)


def _entry(name: str, paths: list[Path], subset: str = "") -> Entry:
    files = {f"{k:03d}.{ending(path.name)}": str(path) for k, path in enumerate(paths)}
    return Entry(name, subset if subset in SPLITS else "test", files, subset, name)
