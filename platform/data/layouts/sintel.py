"""MPI Sintel: rendered film with exact flow (Butler et al., ECCV 2012)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np

from ....methods.errors import DatasetError
from ..cameras import Size, inside
from ..flows import landing
from .base import Entry, Layout, Listing
from .files import Mask, absent, encode_flow, encode_mask, folders_in, names_in, read_flow, read_mask

PASS = "final"
"""The pass with motion blur, atmosphere and lighting; `clean` lacks them."""


class Sintel(Layout):
    """Pairs of consecutive frames of the pass `final`."""

    name = "sintel"
    title = "MPI Sintel"
    home = "http://sintel.is.tue.mpg.de/downloads"
    published = "1041 pairs of 23 scenes to train, 552 of 12 scenes without ground truth to test"
    tree = (
        "training/final/alley_1/frame_0001.png",
        "training/flow/alley_1/frame_0001.flo",
        "training/occlusions/alley_1/frame_0001.png (optional)",
        "training/invalid/alley_1/frame_0001.png (optional)",
        "test/final/ambush_1/frame_0001.png (optional)",
    )
    rule = "consecutive frames of the pass 'final', the earlier one is the reference; val is the last training scenes"
    units: ClassVar[dict[str, str]] = {"flow": "pixels, NaN where unknown"}
    partial_flow = True

    def looks_like(self, root: Path) -> bool:
        """See `Layout`."""
        typical = ("training/final", "training/clean", "training/flow", "test/final", "test/clean")
        return any((root / name).is_dir() and any(folders_in(root / name)) for name in typical)

    def survey(self, root: Path) -> Listing:
        """See `Layout`."""
        missing = []
        if not (root / "test" / PASS).is_dir() or (root / "training").is_dir():
            missing = absent(root, [f"training/{PASS}", "training/flow"])
        train = self._pairs(root, "training", "train") if not missing else []
        missing += absent(root, [path for entry in train for path in (*entry.files.values(), *entry.others.values())])
        entries = train + self._pairs(root, "test", "test")
        return Listing([_under(root, entry) for entry in entries], missing)

    def _pairs(self, root: Path, part: str, split: str) -> list[Entry]:
        known = [folder for folder in ("flow", "occlusions", "invalid") if (root / part / folder).is_dir()]
        entries = []
        for scene in folders_in(root / part / PASS):
            frames = [name.removesuffix(".png") for name in names_in(scene) if name.endswith(".png")]
            for first, second in pairwise(frames):
                place = f"{part}/{PASS}/{scene.name}"
                files = {"ref.png": f"{place}/{first}.png", "src.png": f"{place}/{second}.png"}
                others = {}
                if "flow" in known:
                    files["flow.npz"] = f"{part}/flow/{scene.name}/{first}.flo"
                if "occlusions" in known:
                    files["occlusion.png"] = f"{part}/occlusions/{scene.name}/{first}.png"
                if "invalid" in known:
                    others["invalid"] = f"{part}/invalid/{scene.name}/{first}.png"
                entries.append(Entry(f"{scene.name}/{first}", split, files, scene=scene.name, others=others))
        return entries

    def field(self, entry: Entry, suffix: str) -> bytes:
        """The flow is NaN where `invalid` is set; of `occlusions` what leaves the picture is taken away."""
        if suffix not in ("flow.npz", "occlusion.png"):
            return super().field(entry, suffix)
        flow = read_flow(entry.files["flow.npz"])
        # Source and reference have one size, which is that of the flow.
        size = (flow.shape[1], flow.shape[2])
        if "invalid" in entry.others:
            flow = np.where(_marked(entry.others["invalid"], size), np.float32(np.nan), flow)
        if suffix == "flow.npz":
            return encode_flow(flow)
        return encode_mask(_marked(entry.files[suffix], size) & inside(landing(flow), size))


def _marked(path: str, size: Size) -> Mask:
    """A mask of the dataset `(H, W)`: 0 is free, anything else is marked."""
    mask = read_mask(path, above=0)
    if mask.shape != size:
        raise DatasetError(f"{path}: {mask.shape[1]} x {mask.shape[0]} pixels, unlike its flow; download it again")
    return mask


def _under(root: Path, entry: Entry) -> Entry:
    files, others = ({key: str(root / path) for key, path in each.items()} for each in (entry.files, entry.others))
    return Entry(entry.name, entry.split, files, entry.subset, entry.scene, others)
