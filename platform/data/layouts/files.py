"""Files of public datasets: flows, homographies, control points and masks, read and encoded as our fields."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ....methods.errors import DatasetError
from ..pictures import BROKEN_PICTURE, picture_size, reason

PICTURES = (".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".bmp", ".webp", ".tif", ".tiff")
"""Endings of the pictures that are read, in lower case."""

FLO_TAG = 202021.25
UNKNOWN_FLOW = 1e6
"""A component of a .flo file above it means that the flow is unknown there; Middlebury writes 1.67e9."""

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def read_bytes(path: str | Path) -> bytes:
    """A whole file.

    Raises:
        DatasetError: it is missing, empty or cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None
    if not content:
        raise DatasetError(f"{path} is empty; download it again")
    return content


def _unreadable(path: str | Path, error: OSError) -> DatasetError:
    if isinstance(error, FileNotFoundError):
        return DatasetError(f"{path} is missing; download it again")
    return DatasetError(f"{path} cannot be read ({error.strerror or error}); check its permissions")


def size_of(path: str | Path) -> tuple[int, int]:
    """(height, width) of a picture, upright, from its header.

    Raises:
        DatasetError: it is missing, damaged or cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return picture_size(stream, str(path))
    except OSError as error:
        raise _unreadable(path, error) from None


def names_in(folder: Path) -> list[str]:
    """Names in a folder that are not hidden, sorted with numbers in the order of their values.

    There are none where there is no such folder, or where it may not be read, as `lost+found` on a disk of its own.
    """
    try:
        return sorted((name for name in os.listdir(folder) if not name.startswith(".")), key=by_number)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def by_number(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sorting key that puts 10 behind 9, and no two names at one place."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)], name


def folders_in(folder: Path) -> Iterator[Path]:
    """Folders in a folder, in order."""
    return (folder / name for name in names_in(folder) if (folder / name).is_dir())


def is_picture(name: str) -> bool:
    """Whether a file name ends as pictures do."""
    return name.lower().endswith(PICTURES)


def pictures_in(folder: Path) -> dict[str, str]:
    """Stem to name of the pictures in a folder, in order."""
    return {os.path.splitext(name)[0]: name for name in names_in(folder) if is_picture(name)}


def ending(name: str) -> str:
    """Ending of a picture's name as our suffixes have it: `jpg`."""
    return os.path.splitext(name)[1][1:].lower()


def absent(root: Path, names: Iterable[str]) -> list[str]:
    """Those of the relative names that do not exist."""
    return [name for name in names if not (root / name).exists()]


def read_numbers(path: str | Path, columns: int) -> Array:
    """A text file of numbers in rows, `(rows, columns)`.

    Raises:
        DatasetError: it is missing, or holds something else.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig").replace(",", " ")
        numbers = np.loadtxt(io.StringIO(text if text.strip() else "nothing"), ndmin=2)
    except ValueError:
        numbers = np.empty((0, 0))
    if not numbers.size or numbers.shape[1] != columns or not np.isfinite(numbers).all():
        raise DatasetError(f"{path} does not hold rows of {columns} numbers; download it again")
    return numbers


def read_homography(path: str | Path) -> Array:
    """A text file of nine numbers in three rows, `(3, 3)`.

    Raises:
        DatasetError: it is missing, or is no invertible 3 x 3 matrix.
    """
    matrix = read_numbers(path, 3)
    if matrix.shape != (3, 3) or abs(np.linalg.det(matrix / np.abs(matrix).max())) < 1e-15:
        raise DatasetError(f"{path} does not hold an invertible 3 x 3 matrix; download it again")
    return matrix


def read_flow(path: str | Path) -> NDArray[np.float32]:
    """A flow `(2, H, W)` in pixels, NaN where unknown.

    A name in `.flo` is of the Middlebury format (Baker et al. 2011), which Sintel shares; one in `.png` of KITTI's:
    16 bits, u = (R - 2^15) / 64, v = (G - 2^15) / 64, known where B is not 0.

    Raises:
        DatasetError: it is missing, damaged or of another format.
    """
    content = read_bytes(path)
    return _decode_flo(content, path) if str(path).lower().endswith(".flo") else _decode_kitti(content, path)


def _decode_flo(content: bytes, path: str | Path) -> NDArray[np.float32]:
    whole = len(content) >= 12 and np.frombuffer(content, "<f4", 1)[0] == np.float32(FLO_TAG)
    width, height = (int(each) for each in np.frombuffer(content, "<i4", 2, 4)) if whole else (0, 0)
    if not whole or min(width, height) < 1 or len(content) != 12 + 8 * width * height:
        raise DatasetError(f"{path} is truncated or not a .flo file; download it again")
    flow = np.frombuffer(content, "<f4", offset=12).reshape(height, width, 2).transpose(2, 0, 1).astype(np.float32)
    known = np.isfinite(flow).all(0) & (np.abs(np.nan_to_num(flow)) <= UNKNOWN_FLOW).all(0)
    return np.where(known, flow, np.float32(np.nan))


def _decode_kitti(content: bytes, path: str | Path) -> NDArray[np.float32]:
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DatasetError(f"{path} is damaged or not a flow with 16 bits and three channels, as KITTI's are")
    flow = (pixels[..., :0:-1].astype(np.float32).transpose(2, 0, 1) - 32768) / 64
    return np.where(pixels[..., 0] > 0, flow, np.float32(np.nan))


def read_mask(path: str | Path, above: int = 127) -> Mask:
    """`(H, W)`, true where the grey value is above a threshold.

    Raises:
        DatasetError: the picture is missing or damaged.
    """
    return np.asarray(_pixels(path, "L") > above)


def read_labels(path: str | Path) -> NDArray[np.uint8]:
    """Label `(H, W)` of each pixel of a palette or grey picture.

    Raises:
        DatasetError: the picture is missing, damaged, or has no single channel of 8 bits.
    """
    labels = _pixels(path, None)
    if labels.ndim != 2 or labels.dtype not in (np.uint8, np.bool_):
        raise DatasetError(f"{path} is not a picture of labels with one channel of 8 bits")
    return labels.astype(np.uint8)


def _pixels(path: str | Path, mode: str | None) -> NDArray[np.uint8]:
    content = read_bytes(path)
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return np.asarray(picture.convert(mode) if mode else picture)
    except BROKEN_PICTURE as error:
        raise DatasetError(f"{path}: damaged picture ({reason(error)})") from None


def encode_mask(mask: Mask) -> bytes:
    """A mask `(H, W)` as PNG, 255 where true."""
    return encode_picture(np.where(mask, np.uint8(255), np.uint8(0)))


def encode_picture(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels `(H, W)` or `(H, W, 3)` as PNG; equal pixels give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def encode_flow(flow: NDArray[np.float32]) -> bytes:
    """A flow `(2, H, W)` as the field `flow.npz`; equal flows give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, flow=flow)
    return buffer.getvalue()
