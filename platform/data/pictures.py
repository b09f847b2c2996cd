"""Encoded pictures of datasets: their size from the header, and their pixels as 8-bit RGB, upright.

The same rules as in `platform/images.py`: an EXIF orientation is applied, grey and palette pictures become RGB, a
transparent picture is laid over black. Of 16 bits, grey is rounded to 8, and colour keeps its high byte.
"""

from __future__ import annotations

import contextlib
import io
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ...methods.errors import DatasetError

BROKEN_PICTURE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for damaged bytes."""

_ORIENTATION_TAG = 0x0112
_LYING = 5
"""Orientations from this one on swap width and height."""


def reason(error: Exception) -> str:
    """What went wrong with a picture, in one line and without Pillow's internals."""
    return " ".join(str(error).split()).split(" <_io")[0].replace(" identify image file", " tell what picture it is")


def picture_size(content: bytes | IO[bytes], where: str) -> tuple[int, int]:
    """(height, width) of an encoded picture, upright; only its header is read.

    Raises:
        DatasetError: the header is damaged; `where` names sample and field, or the file.
    """
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as picture:
            # Of TIFF, Pillow tells the upright size; of PNG it would decode all pixels to look for EXIF data.
            may_lie = picture.format != "TIFF" and (picture.format != "PNG" or "exif" in picture.info)
            lying = may_lie and _orientation(picture) >= _LYING
            return (picture.width, picture.height) if lying else (picture.height, picture.width)
    except BROKEN_PICTURE as error:
        raise DatasetError(f"{where}: damaged picture ({reason(error)})") from None


def decode_rgb(content: bytes, where: str) -> NDArray[np.uint8]:
    """The pixels of an encoded picture, `(H, W, 3)`, RGB, upright.

    Raises:
        DatasetError: the bytes are damaged, or its pixels have neither 8 nor 16 bits; `where` names their place.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            # A picture with broken EXIF data is still a picture.
            with contextlib.suppress(Exception):
                ImageOps.exif_transpose(picture, in_place=True)
            return _rgb(picture, where)
    except BROKEN_PICTURE as error:
        raise DatasetError(
            f"damaged picture in {where} ({reason(error)}); run 'raylign data verify' on the dataset"
        ) from None


def _orientation(picture: Image.Image) -> int:
    with contextlib.suppress(Exception):
        return int(picture.getexif().get(_ORIENTATION_TAG, 1))
    return 1


def _rgb(picture: Image.Image, where: str) -> NDArray[np.uint8]:
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return np.array(picture)
    if picture.mode.startswith(("I", "F")):
        grey = np.asarray(picture)
        if picture.mode == "F" or grey.min() < 0 or grey.max() > 65_535:
            raise DatasetError(f"{where}: its pixels have neither 8 nor 16 bits; save it with one of them")
        return np.repeat(((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if "transparency" in picture.info or picture.mode.lower().endswith("a"):
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    return np.array(picture.convert("RGB"))
