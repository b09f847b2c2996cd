"""SIDAR: rendered planar scenes as its own script writes them (Kwiatkowski et al., VISAPP 2024, `niika/SIDAR`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..cameras import Size, inside, pixel_grid, transform
from .base import SPLITS, Entry, Layout, Listing
from .files import Array, encode_mask, folders_in, names_in, read_homography, read_mask, size_of

FRAME = re.compile(r"(\d+)(?:-m)?\.png|H_0_(\d+)\.mat")
"""Names that tell of a frame: its picture, its mask, its homography."""
TRAIN, VAL = 0.8, 0.1
"""Shares of the scenes, where they do not lie in folders of `SPLITS`."""


def half_pixel(size: Size) -> Array:
    """S `(3, 3)`: from the coordinates of SIDAR's script to ours.

    The script puts the area's left edge at 0 and its right edge at W - 1; with pixel centres at integers these are -0.5
    and W - 0.5.

    Args:
        size: (height, width) in pixels.
    """
    height, width = size
    return np.array([[width / (width - 1), 0, -0.5], [0, height / (height - 1), -0.5], [0, 0, 1.0]])


class Sidar(Layout):
    """One scene is one sequence: frame 0 faces the painting, which fills it."""

    name = "sidar"
    title = "SIDAR"
    home = "https://github.com/niika/SIDAR"
    published = "as many scenes as were rendered"
    tree = ("0/gt.png", "0/0.png ... n.png", "0/0-m.png ... n-m.png (optional)", "0/H_0_1.mat ... H_0_n.mat (optional)")
    rule = "H_0_k is corrected by half a pixel; scenes without H_*.mat are aligned; masks end with the painting"
    kind = "sequence"
    units: ClassVar[dict[str, str]] = {"homographies": "pixels of frame 0 to pixels of frame k"}

    def looks_like(self, root: Path) -> bool:
        """See `Layout`."""
        return any(_is_scene(scene) for _, scenes in self._parts(root) for scene in scenes)

    def _parts(self, root: Path) -> list[tuple[str, list[Path]]]:
        parts = [(name, list(folders_in(root / name))) for name in SPLITS if (root / name).is_dir()]
        return parts or [("", list(folders_in(root)))]

    def survey(self, root: Path) -> Listing:
        """See `Layout`."""
        entries, missing = [], []
        for part, folders in self._parts(root):
            scenes = [scene for scene in folders if _is_scene(scene)]
            train = max(1, int(TRAIN * len(scenes)))
            val = max(train, len(scenes) - max(1, int(VAL * len(scenes))))
            ends = {"train": train, "val": val, "test": len(scenes)}
            for number, scene in enumerate(scenes):
                split = part or next(name for name, end in ends.items() if number < end)
                entry, lost = _scene(scene, split)
                entries.append(entry)
                missing += [str((scene / name).relative_to(root)) for name in lost]
        return Listing(entries, missing)

    def field(self, entry: Entry, suffix: str) -> bytes:
        """A mask is white outside of the painting too: that is taken away."""
        if not suffix.endswith(".mask.png"):
            return super().field(entry, suffix)
        mask = read_mask(entry.files[suffix])
        size = (mask.shape[0], mask.shape[1])
        matrix = _homography(entry, int(suffix.partition(".")[0]), size)
        return encode_mask(mask & inside(transform(np.linalg.inv(matrix), pixel_grid(size)), size))

    def meta(self, entry: Entry) -> dict[str, Any]:
        """`homographies`: frame 0 to each frame."""
        frames = [path for suffix, path in entry.files.items() if suffix.count(".") == 1 and suffix[0].isdigit()]
        size = size_of(frames[0])
        return {"homographies": [_homography(entry, k, size).tolist() for k in range(len(frames))]}


def _is_scene(folder: Path) -> bool:
    names = set(names_in(folder))
    return "0-m.png" in names or "H_0_1.mat" in names or {"gt.png", "0.png"} <= names


def _scene(folder: Path, split: str) -> tuple[Entry, list[str]]:
    """A scene, and the files that it lacks."""
    names = set(names_in(folder))
    told = (match for name in names if (match := FRAME.fullmatch(name)))
    count = 1 + max((int(match[1] or match[2]) for match in told), default=0)
    masks = any(name.endswith("-m.png") for name in names)
    moved = any(name.startswith("H_") and name.endswith(".mat") for name in names)
    files = {"gt.png": "gt.png"} | {f"{k:03d}.png": f"{k}.png" for k in range(count)}
    if masks:
        files |= {f"{k:03d}.mask.png": f"{k}-m.png" for k in range(count)}
    others = {str(k): f"H_0_{k}.mat" for k in range(1, count)} if moved else {}
    lost = [name for name in (*files.values(), *others.values()) if name not in names]
    there, matrices = ({key: str(folder / name) for key, name in each.items()} for each in (files, others))
    return Entry(folder.name, split, there, scene=folder.name, others=matrices), lost


def _homography(entry: Entry, k: int, size: Size) -> Array:
    """Frame 0 to frame k, scaled to det = 1."""
    if str(k) not in entry.others:
        return np.eye(3)
    correction = half_pixel(size)
    matrix = correction @ read_homography(entry.others[str(k)]) @ np.linalg.inv(correction)
    return np.asarray(matrix / np.cbrt(np.linalg.det(matrix)))
