"""DAVIS 2017: videos with outlines of the moving objects, without truth of alignment (Pont-Tuset et al. 2017)."""

from __future__ import annotations

from pathlib import Path

from .base import Entry, Layout, Listing
from .files import encode_mask, names_in, read_bytes, read_labels

STEP = 5
"""Frames from reference to source, and from one reference to the next: at 24 frames a second a fifth of a second."""
PICTURES, OUTLINES, LISTS = "JPEGImages/480p", "Annotations/480p", "ImageSets/2017"


class Davis(Layout):
    """Pairs (t, t + 5) for t = 0, 5, 10, ... of each sequence at 480p."""

    name = "davis"
    title = "DAVIS 2017"
    home = "https://davischallenge.org/davis2017/code.html"
    published = "60 sequences to train, 30 to validate"
    tree = (
        f"{LISTS}/train.txt",
        f"{LISTS}/val.txt",
        f"{PICTURES}/bear/00000.jpg",
        f"{OUTLINES}/bear/00000.png",
    )
    rule = f"frames t (reference) and t + {STEP} (source) for t = 0, {STEP}, ...; dynamic is any annotated object at t"

    def looks_like(self, root: Path) -> bool:
        """See `Layout`."""
        return any((root / name).is_dir() for name in (PICTURES, OUTLINES, LISTS))

    def survey(self, root: Path) -> Listing:
        """One list alone is enough; see `Layout`."""
        lists = {split: root / LISTS / f"{split}.txt" for split in ("train", "val")}
        if not any(path.is_file() for path in lists.values()):
            return Listing([], [f"{LISTS}/{split}.txt" for split in lists])
        entries, missing = [], []
        for split, path in lists.items():
            sequences = read_bytes(path).decode("utf-8-sig", "replace").split() if path.is_file() else []
            for sequence in sequences:
                found, lost = self._pairs(root, sequence, split)
                entries += found
                missing += lost
        return Listing(entries, missing)

    def _pairs(self, root: Path, sequence: str, split: str) -> tuple[list[Entry], list[str]]:
        frames = [name for name in names_in(root / PICTURES / sequence) if name.endswith(".jpg")]
        outlines = set(names_in(root / OUTLINES / sequence))
        if not frames:
            return [], [f"{PICTURES}/{sequence}/00000.jpg"]
        entries, missing = [], []
        for first, second in zip(frames[::STEP], frames[STEP::STEP], strict=False):
            outline = first.replace(".jpg", ".png")
            if outline not in outlines:
                missing.append(f"{OUTLINES}/{sequence}/{outline}")
            files = {
                "ref.jpg": str(root / PICTURES / sequence / first),
                "src.jpg": str(root / PICTURES / sequence / second),
                "dynamic.png": str(root / OUTLINES / sequence / outline),
            }
            entries.append(Entry(f"{sequence}/{first.removesuffix('.jpg')}", split, files, scene=sequence))
        return entries, missing

    def field(self, entry: Entry, suffix: str) -> bytes:
        """An annotation holds the number of the object, 0 for none."""
        if suffix == "dynamic.png":
            return encode_mask(read_labels(entry.files[suffix]) > 0)
        return super().field(entry, suffix)
