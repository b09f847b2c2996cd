"""FIRE: retinal pairs with control points (Hernandez-Matas et al., Journal for Modeling in Ophthalmology 2017)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from .base import Entry, Layout, Listing
from .files import absent, names_in, read_numbers

IMAGE = re.compile(r"([SPA]\d+)_[12]\.jpg")
POINTS = re.compile(r"control_points_([SPA]\d+)_1_2\.txt")
GROUPS = "SPA"
DROPPED = {"P37_1_2": "its control points are wrong; the public evaluation leaves it out (SuperRetina, ECCV 2022)"}


class Fire(Layout):
    """Image 1 of a pair is the reference, image 2 the query."""

    name = "fire"
    title = "FIRE"
    home = "https://projects.ics.forth.gr/cvrl/fire/"
    published = "134 pairs: S 71 (easy), P 49 (hard; P37_1_2 is dropped), A 14 (moderate)"
    tree = ("Images/P01_1.jpg", "Images/P01_2.jpg", "Ground Truth/control_points_P01_1_2.txt")
    rule = "image 1 is the reference, image 2 the source; rows of points are x_ref y_ref x_src y_src"
    units: ClassVar[dict[str, str]] = {"points": "pixels"}

    def looks_like(self, root: Path) -> bool:
        """See `Layout`."""
        pictures = any(IMAGE.fullmatch(name) for name in names_in(root / "Images"))
        return pictures or any(POINTS.fullmatch(name) for name in names_in(root / "Ground Truth"))

    def survey(self, root: Path) -> Listing:
        """See `Layout`."""
        images = (match[1] for name in names_in(root / "Images") if (match := IMAGE.fullmatch(name)))
        points = (match[1] for name in names_in(root / "Ground Truth") if (match := POINTS.fullmatch(name)))
        entries, missing, dropped = [], [], {}
        for pair in sorted({*images, *points}, key=lambda pair: (GROUPS.index(pair[0]), int(pair[1:]))):
            name = f"{pair}_1_2"
            if name in DROPPED:
                dropped[name] = DROPPED[name]
                continue
            files = {"ref.jpg": f"Images/{pair}_1.jpg", "src.jpg": f"Images/{pair}_2.jpg"}
            truth = f"Ground Truth/control_points_{name}.txt"
            missing += absent(root, [*files.values(), truth])
            there = {suffix: str(root / file) for suffix, file in files.items()}
            entries.append(Entry(name, "test", there, subset=pair[0], others={"points": str(root / truth)}))
        return Listing(entries, missing, dropped)

    def meta(self, entry: Entry) -> dict[str, Any]:
        """`points`: rows x_ref y_ref x_src y_src, pixels."""
        return {"points": read_numbers(entry.others["points"], 4).tolist()}
