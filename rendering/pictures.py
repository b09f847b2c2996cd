"""Picture files that scenes can show: those inside scikit-image's wheel, or a folder of the user's own."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from PIL import Image

from ..methods.errors import ImageError, InputError
from ..platform.images import check_whole, read_pixels
from ..platform.progress import Progress

BUNDLED = (
    "astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
"""Pictures in scikit-image's wheel (no download) that tell their places apart. Not among them: repeated patterns
(brick, chessboards), nearly empty ones (moon, horse, phantom), and the second view of the motorcycle."""

SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Files with other endings in a folder of pictures are passed over."""


def bundled_folder() -> Path:
    """Where scikit-image keeps its pictures; found without importing it.

    Raises:
        InputError: scikit-image is not installed here.
    """
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise InputError("scikit-image is not installed here; install it or use --scene.picture-share 0")
    return Path(found.origin).parent / "data"


def list_pictures(folder: str) -> list[str]:
    """Names of the pictures below `folder`, sorted, with `/` between folders.

    Raises:
        InputError: no such folder, or it holds no picture.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"--textures {folder}: no such folder")
    names = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if not names:
        raise InputError(f"--textures {folder}: holds no picture ({', '.join(sorted(SUFFIXES))})")
    return names


def sound_pictures(folder: str, names: list[str], wanted: int) -> tuple[list[str], dict[str, str]]:
    """Those of the pictures that can be read, and why the others cannot.

    Every byte of a picture is read once. Of many more pictures than are wanted, only a part is looked at: evenly spread
    names, the same ones each time.

    Args:
        folder: where they are.
        names: their names in the folder.
        wanted: how many scenes there are.

    Raises:
        InputError: none can be read; the line tells why the first cannot.
    """
    step = max(1, len(names) // (4 * wanted + 64))
    sound: list[str] = []
    refused: dict[str, str] = {}
    chosen = names[::step]
    with Progress("reading pictures", len(chosen), "picture") as bar:
        for name in chosen:
            try:
                check_whole(Path(folder) / name, name)
                sound.append(name)
            except ImageError as error:
                refused[name] = str(error)
            bar.advance(1, f"({len(refused)} skipped)" if refused else "")
    if not sound:
        raise InputError(
            f"--textures {folder}: none of {len(chosen)} pictures can be used; {next(iter(refused.values()))}"
        )
    return sound, refused


def digest(folder: str, names: list[str]) -> str:
    """A short name for the pictures: changes when one is added, removed, renamed or gets another size in bytes."""
    lines = "".join(f"{name}\t{(Path(folder) / name).stat().st_size}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def load_part(path: Path, crop: tuple[float, float, float], width: int, height: int) -> Image.Image:
    """A part of a picture, resized to width x height with an area-true filter (Lanczos).

    Args:
        path: the picture file, of any kind that `platform/images.py` reads.
        crop: side relative to the largest part of the right aspect, and its place across and along, 0 to 1.
        width: width in pixels.
        height: height in pixels.
    """
    pixels = read_pixels(path, path.name)
    picture = Image.fromarray((pixels * 255 + 0.5).astype("uint8"))
    side, across, along = crop
    scale = side * min(picture.width / width, picture.height / height)
    left, top = across * (picture.width - scale * width), along * (picture.height - scale * height)
    box = (left, top, left + scale * width, top + scale * height)
    return picture.resize((width, height), Image.Resampling.LANCZOS, box=box)
