"""Synthetic pairs from any pictures, after the test setting of Deep Image Homography Estimation (DeTone et al. 2016).

A picture is resized to 640 x 480. A square of 256 pixels is taken at a random place, at least rho = 64 pixels from the
border; its four corner pixels are moved by up to rho in x and y, each by itself. The square is the reference. What the
moved corners enclose, brought back to the square, is the source. All random numbers come from the file's name.
Unlike the paper, colours are kept.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ....methods.geometry import homography_from_points, warp_by_homography
from ..pictures import decode_rgb
from .base import SPLITS, Entry, Layout, Listing
from .files import Array, encode_picture, is_picture, names_in, read_bytes

WIDTH, HEIGHT = 640, 480
PATCH = 256
RHO = 64
SEED = 0


class HomographyNet(Layout):
    """Pairs with exact homographies from a folder of pictures; never chosen by itself, only by its prefix."""

    name = "homographynet"
    title = "a folder of pictures for synthetic pairs"
    home = "https://cocodataset.org (the paper takes MS-COCO)"
    published = "one pair per picture"
    tree = ("ANY.jpg", "or train*/ANY.jpg, val*/ANY.jpg, test*/ANY.jpg")
    rule = (
        f"{WIDTH} x {HEIGHT}, patch {PATCH}, rho {RHO}, seed {SEED}; folders train*, val*, test* are splits, else test"
    )
    units: ClassVar[dict[str, str]] = {"homography": "pixels of ref to pixels of src"}

    def looks_like(self, root: Path) -> bool:
        """Never: any wrong folder holds pictures."""
        return False

    def survey(self, root: Path) -> Listing:
        """See `Layout`."""
        entries: dict[str, list[Entry]] = {split: [] for split in SPLITS}
        for path in _pictures(root, set()):
            label = path.relative_to(root)
            top = label.parts[0] if len(label.parts) > 1 else ""
            split = next((split for split in SPLITS if top.startswith(split)), "test")
            entries[split].append(Entry(str(label), split, {"ref.png": str(path), "src.png": str(path)}))
        return Listing([entry for split in SPLITS for entry in entries[split]], [])

    def field(self, entry: Entry, suffix: str) -> bytes:
        """The reference is cut out, the source sampled bilinearly in float32."""
        path = entry.files[suffix]
        picture = Image.fromarray(decode_rgb(read_bytes(path), path))
        resized = np.asarray(picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
        (x, y), _ = drawn(entry.name)
        if suffix == "ref.png":
            return encode_picture(np.ascontiguousarray(resized[y : y + PATCH, x : x + PATCH]))
        return encode_picture(_source(resized, entry.name))

    def size(self, entry: Entry) -> list[int]:
        """Width and height of the patches."""
        return [PATCH, PATCH]

    def meta(self, entry: Entry) -> dict[str, Any]:
        """`homography`: reference to source."""
        (x, y), moved = drawn(entry.name)
        matrix = np.linalg.inv(to_picture(x, y, moved)) @ np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])
        return {"homography": (matrix / matrix[2, 2]).tolist()}


def _pictures(folder: Path, above: set[str]) -> Iterator[Path]:
    """Pictures in a folder and those below it; links are followed, but not into a folder that they lie in."""
    above = above | {os.path.realpath(folder)}
    names = names_in(folder)
    yield from (folder / name for name in names if is_picture(name))
    for inner in (folder / name for name in names if not is_picture(name)):
        if inner.is_dir() and os.path.realpath(inner) not in above:
            yield from _pictures(inner, above)


def drawn(name: str) -> tuple[tuple[int, int], Array]:
    """The random numbers of a picture.

    Args:
        name: of the file; folders before it do not count.

    Returns:
        Top left pixel of the square in the resized picture, and the four moved corners `(4, 2)` in its pixels, in the
        order top left, top right, bottom left, bottom right.
    """
    digest = hashlib.sha256(f"{SEED}/{os.path.basename(name)}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    x, y = (int(rng.integers(RHO, side - PATCH - RHO + 1)) for side in (WIDTH, HEIGHT))
    return (x, y), _corners() + np.array([x, y]) + rng.uniform(-RHO, RHO, (4, 2))


def _corners() -> Array:
    last = PATCH - 1
    return np.array([[0, 0], [last, 0], [0, last], [last, last]], np.float64)


def to_picture(x: int, y: int, moved: Array) -> Array:
    """Pixels of the source to pixels of the resized picture, `(3, 3)`: its corners lie at the moved ones."""
    local = homography_from_points(torch.from_numpy(_corners())[None], torch.from_numpy(moved - (x, y))[None])
    return np.asarray(np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]]) @ local[0].numpy())


def _source(resized: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    (x, y), moved = drawn(name)
    pixels = torch.from_numpy(resized.copy()).permute(2, 0, 1)[None].float()
    matrix = torch.from_numpy(to_picture(x, y, moved))[None]
    warped, _ = warp_by_homography(pixels, matrix, (PATCH, PATCH))
    return warped[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
