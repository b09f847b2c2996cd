"""UDIS-D: stitching pairs from videos, without ground truth (Nie et al., IEEE TIP 2021)."""

from __future__ import annotations

from pathlib import Path

from .base import Entry, Layout, Listing
from .files import ending, pictures_in

PARTS = {"training": "train", "testing": "test"}


class UdisD(Layout):
    """Pairs of equal names in `input1` (reference) and `input2` (source)."""

    name = "udis-d"
    title = "UDIS-D"
    home = "https://github.com/nie-lang/UnsupervisedDeepImageStitching"
    published = "10440 pairs to train, 1106 to test"
    tree = (
        "training/input1/000001.jpg",
        "training/input2/000001.jpg",
        "testing/input1/000001.jpg",
        "testing/input2/000001.jpg",
    )
    rule = "input1 is the reference, input2 the source; val is the end of the published training part"

    def looks_like(self, root: Path) -> bool:
        """See `Layout`."""
        return any((root / part / folder).is_dir() for part in PARTS for folder in ("input1", "input2"))

    def survey(self, root: Path) -> Listing:
        """One part alone is enough; see `Layout`."""
        entries, missing = [], []
        for part, split in PARTS.items():
            if not (root / part).is_dir():
                continue
            folders = [root / part / "input1", root / part / "input2"]
            references, sources = (pictures_in(folder) for folder in folders)
            if not references or not sources:
                missing += [f"{part}/{folder.name}/000001.jpg" for folder in folders if not pictures_in(folder)]
                continue
            for stem in dict.fromkeys([*references, *sources]):
                if stem not in references or stem not in sources:
                    lost, there = ("input2", references) if stem in references else ("input1", sources)
                    missing.append(f"{part}/{lost}/{there[stem]}")
                    continue
                names = references[stem], sources[stem]
                files = {
                    f"{field}.{ending(name)}": str(folder / name)
                    for field, folder, name in zip(("ref", "src"), folders, names, strict=True)
                }
                entries.append(Entry(f"{part}/{stem}", split, files))
        return Listing(entries, missing)
