"""What each scene shows: decided from the seed, kept apart between the splits, made for the render's resolution.

A painting belongs to one scene alone, for its seed is the scene's. A picture file may be shown by several scenes; the
files are shared out over the splits, in the proportion of their scenes, so that no held-out scene shows a picture that
was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFilter

from ..methods.errors import InputError
from .paintings import FAMILIES, paint
from .pictures import BUNDLED, bundled_folder, digest, list_pictures, load_part, sound_pictures
from .splits import split_of
from .streams import Range, choice, stream, uniform

TEXELS_PER_PIXEL = 2
"""Texture samples per pixel of frame 0, along each axis: enough that Blender's linear interpolation does not show."""

BAND_LIMIT = 0.6
"""Standard deviation, in pixels of frame 0, of the Gaussian that a texture passes through. Cycles has no mipmaps, so
detail finer than a pixel would only become noise; this leaves 17 % at the frame's Nyquist frequency."""


@dataclass(frozen=True)
class PaintingSpec:
    """A painting that is made from a seed (`paintings.py`)."""

    family: str
    seed: int


@dataclass(frozen=True)
class PictureSpec:
    """A part of a picture file."""

    picture: str
    """Its name within the folder of pictures."""
    crop: tuple[float, float, float]
    """Side, relative to the largest part of the right aspect, and place across and along, 0 to 1."""


@dataclass(frozen=True)
class Textures:
    """The pictures at hand, shared out over the splits."""

    share: float
    """Share of scenes that show a picture file, where their split has one."""
    crop: tuple[float, float]
    """Range of a part's side."""
    splits: dict[str, list[int]]
    pictures: dict[str, list[str]]
    """Split name to the names of its picture files."""

    def choose(self, seed: int, index: int) -> PaintingSpec | PictureSpec:
        """What scene `index` shows."""
        rng = stream("sidar", seed, index, "texture")
        split = split_of(self.splits, index)
        if self.pictures.get(split) and rng.random() < self.share:
            names = self.pictures[split]
            # One shuffled round after the other: a picture comes again only after all others of its split.
            turn, place = divmod(index - self.splits[split][0], len(names))
            order = stream("sidar", seed, turn, "pictures", split)
            name = sorted(names, key=lambda _: order.random())[place]
            return PictureSpec(name, (uniform(rng, self.crop), rng.random(), rng.random()))
        return PaintingSpec(choice(rng, tuple(FAMILIES)), int(rng.random() * 2**52))


def plan_textures(
    share: float, crop: Range, splits: dict[str, list[int]], folder: str | None
) -> tuple[Textures, dict[str, object], dict[str, str]]:
    """Share out the pictures, and say which they are.

    Args:
        share: share of scenes that show one of scikit-image's pictures; of the user's own pictures, all show one.
        crop: range of a part's side.
        splits: split name to `[first, end)`.
        folder: the user's pictures; None for paintings and scikit-image's pictures.

    Returns:
        the textures; what identifies them, for the dataset's settings; the pictures passed over, and why.

    Raises:
        InputError: the folder is missing or holds no picture that can be used.
    """
    if folder is None:
        pictures = share_out(list(BUNDLED), splits) if share else {}
        return Textures(share, crop, splits, pictures), {"source": "built in"}, {}
    scenes = max(end for _, end in splits.values())
    names, refused = sound_pictures(folder, list_pictures(folder), scenes)
    identity = {"source": "folder", "pictures": len(names), "digest": digest(folder, names)}
    return Textures(1.0, crop, splits, share_out(names, splits)), identity, refused


def share_out(names: list[str], splits: dict[str, list[int]]) -> dict[str, list[str]]:
    """Pictures of each split: in the proportion of its scenes, but one at least.

    With fewer pictures than splits, training comes first, and a split that gets none shows paintings.
    """
    scenes = {name: end - first for name, (first, end) in splits.items()}
    total = sum(scenes.values())
    counts = {name: max(1, round(len(names) * scenes[name] / total)) for name in scenes}
    while sum(counts.values()) != len(names):
        if sum(counts.values()) < len(names):
            counts["train"] += 1
        else:
            # From the largest; of equals from the last, so that training keeps its picture the longest.
            counts[max(reversed(counts), key=lambda each: counts[each])] -= 1
    shared: dict[str, list[str]] = {}
    first = 0
    for name, number in counts.items():
        shared[name] = names[first : first + number]
        first += number
    return shared


def texture_image(texture: PaintingSpec | PictureSpec, folder: str | None, width: int, height: int) -> Image.Image:
    """The texture for frames of width x height pixels: RGB, sRGB, `TEXELS_PER_PIXEL` times as large, band-limited.

    Args:
        texture: what to show.
        folder: the folder of the user's pictures; None for scikit-image's.
        width: width of the frames.
        height: height of the frames.

    Raises:
        InputError: the picture is not there.
    """
    texels = (TEXELS_PER_PIXEL * width, TEXELS_PER_PIXEL * height)
    if isinstance(texture, PaintingSpec):
        image = Image.fromarray(paint(texture.family, texture.seed, *texels))
    else:
        root = Path(folder) if folder is not None else bundled_folder()
        if not (root / texture.picture).is_file():
            raise InputError(f"--textures: the render process does not see {root / texture.picture}")
        image = load_part(root / texture.picture, texture.crop, *texels)
    return image.filter(ImageFilter.GaussianBlur(BAND_LIMIT * TEXELS_PER_PIXEL))
