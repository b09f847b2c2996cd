"""HPatches: sequences of planes under changing light or viewpoint (Balntas et al., CVPR 2017), the whole pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from .base import Entry, Layout, Listing
from .files import absent, folders_in, read_homography

GROUPS = {"i_": "illumination", "v_": "viewpoint"}


class HPatches(Layout):
    """Pairs (1, k) for k = 2 to 6 of each sequence."""

    name = "hpatches"
    title = "HPatches sequences"
    home = "https://github.com/hpatches/hpatches-dataset"
    published = "580 pairs: 57 sequences under changing illumination, 59 under changing viewpoint"
    tree = ("i_ajuntament/1.ppm ... 6.ppm", "i_ajuntament/H_1_2 ... H_1_6", "v_adam/1.ppm ...", "v_adam/H_1_2 ...")
    rule = "picture 1 is the reference, picture k the source; H_1_k maps pixels of 1 to pixels of k"
    units: ClassVar[dict[str, str]] = {"homography": "pixels of ref to pixels of src"}

    def looks_like(self, root: Path) -> bool:
        """See `Layout`."""
        folders = (folder for folder in folders_in(root) if folder.name[:2] in GROUPS)
        return any((folder / name).exists() for folder in folders for name in ("1.ppm", "H_1_2"))

    def survey(self, root: Path) -> Listing:
        """See `Layout`."""
        entries: list[Entry] = []
        missing: dict[str, None] = {}
        for folder in folders_in(root):
            if folder.name[:2] not in GROUPS:
                continue
            for k in range(2, 7):
                wanted = [f"{folder.name}/{name}" for name in ("1.ppm", f"{k}.ppm", f"H_1_{k}")]
                missing |= dict.fromkeys(absent(root, wanted))
                reference, source, matrix = (str(root / name) for name in wanted)
                files = {"ref.ppm": reference, "src.ppm": source}
                subset = GROUPS[folder.name[:2]]
                others = {"homography": matrix}
                entries.append(Entry(f"{folder.name}/1_{k}", "test", files, subset, folder.name, others))
        return Listing(entries, list(missing))

    def meta(self, entry: Entry) -> dict[str, Any]:
        """`homography`: reference to source."""
        return {"homography": read_homography(entry.others["homography"]).tolist()}
