"""DSIA: rendered pairs with moving camera and moving things (DMAligner, `boomluo02/DMAligner`)."""

from __future__ import annotations

import re
from pathlib import Path

from .base import Entry, Layout, Listing
from .files import absent, encode_mask, folders_in, names_in, read_mask

PAIR = re.compile(r"(?:([SL]{2})_)?(\d{5}_\d+)_\d{4}")
"""Group, which the published test part alone has, and clip."""
FILES = {"ref.png": "img1.png", "src.png": "img2.png", "gt.png": "img1_warp_gt.png", "dynamic.png": "input_mask.png"}


class Dsia(Layout):
    """Reference (time 1, view 1), source (time 2, view 2), truth (time 2, view 1) and a mask of what moves."""

    name = "dsia"
    title = "DSIA"
    home = "https://github.com/boomluo02/DMAligner"
    published = "1033 scenes, over 30000 pairs"
    tree = (*(f"train/00000_1_0001/{name}" for name in FILES.values()), "test/SL_00001_2_0006/img1.png ...")
    rule = (
        "img1 is the reference, img2 the source, img1_warp_gt the truth, input_mask what moves by itself; "
        "groups by the letters before a name: S small, L large motion"
    )

    def looks_like(self, root: Path) -> bool:
        """See `Layout`."""
        return any(PAIR.fullmatch(name) for part in folders_in(root) for name in names_in(part))

    def survey(self, root: Path) -> Listing:
        """Each folder of pairs is a split of its name; see `Layout`."""
        entries, missing = [], []
        for part in folders_in(root):
            for pair in names_in(part):
                match = PAIR.fullmatch(pair)
                if match:
                    missing += absent(root, [f"{part.name}/{pair}/{name}" for name in FILES.values()])
                    files = {suffix: str(part / pair / name) for suffix, name in FILES.items()}
                    entries.append(Entry(f"{part.name}/{pair}", part.name, files, match[1] or "", match[2]))
        return Listing(entries, missing)

    def field(self, entry: Entry, suffix: str) -> bytes:
        """The mask is brought to 0 and 255."""
        if suffix == "dynamic.png":
            return encode_mask(read_mask(entry.files[suffix]))
        return super().field(entry, suffix)
