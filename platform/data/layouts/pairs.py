"""A plain folder of pairs: with a table `manifest.csv`, as NAME_ref.* and NAME_src.*, or as ref/NAME.* and src/NAME.*.

The table has the columns `set, pair id, file1, file2, gt file`, paths relative to the folder. `file1` is the reference.
The ground truth is a text file with the homography from pixels of file1 to pixels of file2, or a flow (`.flo` as
Middlebury writes it, `.png` as KITTI does), or nothing. Rows without `file2` are skipped. Each set is a subset and a
split of its own, and all sets together are the split `test`, but for the sets `train` and `val`.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from ....methods.errors import DatasetError
from .base import SPLITS, Entry, Layout, Listing
from .files import absent, encode_flow, ending, is_picture, pictures_in, read_bytes, read_flow, read_homography

MANIFEST = "manifest.csv"
COLUMNS = ("set", "pair id", "file1", "file2", "gt file")
SIDES = ("ref", "src")
FLOWS = (".flo", ".png")


class Pairs(Layout):
    """Pairs of anybody's own."""

    name = "pairs"
    title = "a folder of pairs"
    home = "your own pictures"
    published = "as many pairs as there are"
    tree = (
        f"{MANIFEST} (columns {', '.join(COLUMNS)})",
        "or NAME_ref.png and NAME_src.png",
        "or ref/NAME.png and src/NAME.png",
    )
    rule = "file1, NAME_ref or ref/NAME is the reference; file2, NAME_src or src/NAME the source"
    units: ClassVar[dict[str, str]] = {
        "homography": "pixels of ref to pixels of src",
        "flow": "pixels, NaN where unknown",
    }
    partial_flow = True

    def looks_like(self, root: Path) -> bool:
        """See `Layout`."""
        if (root / MANIFEST).is_file() or any(pictures_in(root / side) for side in SIDES):
            return True
        return any(stem.endswith(("_ref", "_src")) for stem in pictures_in(root))

    def survey(self, root: Path) -> Listing:
        """See `Layout`."""
        if (root / MANIFEST).is_file():
            return _from_table(root)
        if any((root / side).is_dir() for side in SIDES):
            found = [{stem: f"{side}/{name}" for stem, name in pictures_in(root / side).items()} for side in SIDES]
            patterns = ["ref/{}", "src/{}"]
        else:
            stems = pictures_in(root)
            found = [{stem[:-4]: name for stem, name in stems.items() if stem.endswith(f"_{side}")} for side in SIDES]
            patterns = ["{}_ref", "{}_src"]
        return _matched(root, found, patterns)

    def field(self, entry: Entry, suffix: str) -> bytes:
        """A flow is brought to float32 with NaN where unknown."""
        if suffix == "flow.npz":
            return encode_flow(read_flow(entry.files[suffix]))
        return super().field(entry, suffix)

    def meta(self, entry: Entry) -> dict[str, Any]:
        """`homography`: reference to source, where known."""
        path = entry.others.get("homography")
        return {"homography": read_homography(path).tolist()} if path else {}


def _matched(root: Path, found: list[dict[str, str]], patterns: list[str]) -> Listing:
    """Pairs of names that stand on both sides."""
    entries, missing = [], []
    for name in dict.fromkeys([*found[0], *found[1]]):
        lost = [f"{pattern.format(name)}.*" for side, pattern in zip(found, patterns, strict=True) if name not in side]
        if lost:
            missing += lost
            continue
        paths = [side[name] for side in found]
        files = {f"{side}.{ending(path)}": str(root / path) for side, path in zip(SIDES, paths, strict=True)}
        entries.append(Entry(name, "test", files))
    return Listing(entries, missing)


def _from_table(root: Path) -> Listing:
    table = root / MANIFEST
    sets: dict[str, list[Entry]] = {}
    missing: dict[str, None] = {}
    for number, (subset, name, *files) in table_rows(table):
        first, second, truth = (within(file, f"{table}, line {number}") for file in files)
        if not second:
            continue
        for file in (first, second):
            if not is_picture(file):
                raise DatasetError(f"{table}, line {number}: '{file}' is not the name of a picture")
        missing |= dict.fromkeys(absent(root, [file for file in (first, second, truth) if file]))
        fields = {f"ref.{ending(first)}": str(root / first), f"src.{ending(second)}": str(root / second)}
        others = {}
        if truth.lower().endswith(FLOWS):
            fields["flow.npz"] = str(root / truth)
        elif truth:
            others["homography"] = str(root / truth)
        split = subset if subset in SPLITS else "test"
        # Pairs that share a picture are of one scene.
        entry = Entry(name or os.path.splitext(first)[0], split, fields, subset, first, others)
        sets.setdefault(subset, []).append(entry)
    if not sets:
        raise DatasetError(f"{table} has no row with file1 and file2; it needs the columns {', '.join(COLUMNS)}")
    entries = [entry for group in sets.values() for entry in group]
    return Listing(sorted(entries, key=lambda entry: SPLITS.index(entry.split)), list(missing))


def table_rows(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and the values of `COLUMNS` of each row.

    Raises:
        DatasetError: it is no such table.
    """
    text = read_bytes(table).decode("utf-8-sig", errors="replace")
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        lost = [name for name in COLUMNS if name not in reader.fieldnames]
        if lost:
            raise DatasetError(f"{table} lacks {', '.join(lost)}; it needs the columns {', '.join(COLUMNS)}")
        for row in reader:
            yield reader.line_num, [(row[column] or "").strip() for column in COLUMNS]
    except csv.Error as error:
        raise DatasetError(
            f"{table} is not a table of comma-separated values ({error}); save it again as one"
        ) from None


def within(file: str, where: str) -> str:
    """A file name of the table, also one that Windows wrote, within its folder.

    Raises:
        DatasetError: it leads out of the folder; `where` names its place.
    """
    path = os.path.normpath(file.replace("\\", "/")) if file else ""
    if os.path.isabs(path) or path.split(os.sep)[0] == os.pardir:
        raise DatasetError(f"{where}: '{file}' leads out of the table's folder; give a path within it")
    return path
