"""Picture files: limits are checked before a pixel is decoded, and files are written whole or not at all.

Pictures are `(3, H, W)`, RGB, float32 in [0, 1], upright (an EXIF orientation is applied). Grey and palette pictures
become RGB; a transparent picture is laid over black, which is also what `--alpha` writes outside its mask. 16-bit grey
keeps its precision, 16-bit colour its high byte (Pillow has no deeper colour). Of an animation or a multi-page TIFF the
first picture counts. Colour profiles are not applied.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..methods.errors import ImageError, InputError
from .data.shards import write_error

if TYPE_CHECKING:
    from torch import Tensor

MIN_SIDE = 32
MAX_PIXELS = 100_000_000

FILE_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")
"""What is read from files."""
UPLOAD_FORMATS = ("PNG", "JPEG", "WEBP")
"""What the service takes: TIFF has too many decoders behind it to face strangers."""

_OUTPUT_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_LONGEST_SIDE = {"JPEG": 65_535, "WEBP": 16_383}
_SAVE_OPTIONS: dict[str, dict[str, int | bool]] = {
    "PNG": {"compress_level": 6},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
}

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_SIGNATURES = {
    "PNG": (b"\x89PNG",),
    "JPEG": (b"\xff\xd8\xff",),
    "WEBP": (b"RIFF",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}

# `warnings.catch_warnings` changes a setting of the whole process, so two threads must not use it at once.
_READING = threading.Lock()


class PictureTooLargeError(ImageError):
    """A picture has more pixels than are worked on."""

    http_status = 413


class PictureFormatError(ImageError):
    """Not a picture, or of a format that is not read."""

    http_status = 415


def check_image(source: Path | bytes, label: str, formats: Sequence[str] = FILE_FORMATS) -> tuple[int, int]:
    """Look at a picture's header only.

    Args:
        source: a file, or the bytes of one.
        label: what the error line calls it, for example `REF photo.jpg` or `field 'reference'`.
        formats: Pillow's names of the formats that are taken.

    Returns:
        Width and height in pixels, upright.

    Raises:
        PictureFormatError: not a picture of these formats.
        PictureTooLargeError: more than 100 megapixels.
        ImageError: missing, a folder, empty, unreadable, or smaller than 32 pixels on a side.
    """
    with _opened(source, label, formats) as picture:
        width, height = picture.size
        # Of TIFF, Pillow tells the upright size, and turns the pixels itself.
        lying = picture.format != "TIFF" and _orientation(picture) >= 5
        return (height, width) if lying else (width, height)


def read_image(source: Path | bytes, label: str, formats: Sequence[str] = FILE_FORMATS) -> Tensor:
    """Read a picture, from a file or from its bytes.

    Args:
        source: a file, or the bytes of one.
        label: what the error line calls it.
        formats: Pillow's names of the formats that are taken.

    Returns:
        `(3, H, W)`, RGB, float32 in [0, 1].

    Raises:
        ImageError: as `check_image`, or truncated or damaged inside.
    """
    import torch

    return torch.from_numpy(read_pixels(source, label, formats)).permute(2, 0, 1).contiguous()


def read_pixels(source: Path | bytes, label: str, formats: Sequence[str] = FILE_FORMATS) -> NDArray[np.float32]:
    """As `read_image`, without torch: `(H, W, 3)`, RGB, float32 in [0, 1]."""
    with _opened(source, label, formats, whole=True) as picture:
        return _decoded(picture, label)


def check_whole(source: Path | bytes, label: str, formats: Sequence[str] = FILE_FORMATS) -> None:
    """Make sure that `read_image` will succeed, quickly: a JPEG is decoded at an eighth of its size.

    Raises:
        ImageError: as `read_image`.
    """
    with _opened(source, label, formats, whole=True) as picture:
        picture.draft("RGB", (1, 1))
        _decoded(picture, label)


def output_format(path: Path, option: str, *, alpha: bool = False) -> str:
    """The format that a file name asks for.

    Args:
        path: where a picture is to be written.
        option: the argument to name in the error line.
        alpha: whether the picture will have an alpha channel.

    Returns:
        `PNG`, `JPEG` or `WEBP`.

    Raises:
        InputError: another suffix, or one whose format has no alpha channel.
    """
    format_name = _OUTPUT_FORMATS.get(path.suffix.lower())
    if format_name is None:
        raise InputError(f"{option} {path}: the name must end in {', '.join(_OUTPUT_FORMATS)}")
    if alpha and format_name == "JPEG":
        raise InputError(f"{option} {path}: JPEG has no alpha channel; write .png or .webp, or leave --alpha out")
    return format_name


def check_fits(format_name: str, size: tuple[int, int], label: str) -> None:
    """Make sure that a picture of `size` (width, height) can be written in a format.

    Raises:
        InputError: the format ends at fewer pixels a side.
    """
    longest = _LONGEST_SIDE.get(format_name)
    if longest and max(size) > longest:
        raise InputError(f"{label}: {format_name} ends at {longest} pixels a side, this is {max(size)}; write .png")


def encode_image(image: Tensor, mask: Tensor | None = None, format_name: str = "PNG") -> bytes:
    """A picture as the bytes of a file; equal pictures give equal bytes.

    Args:
        image: `(3, H, W)`, RGB in [0, 1]; rounded to 8 bits.
        mask: `(H, W)` in {0, 1}, written as the alpha channel if given.
        format_name: `PNG`, `JPEG` (quality 95, no chroma subsampling) or `WEBP` (lossless).
    """
    import torch

    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    if mask is not None:
        pixels = torch.cat([pixels, mask[None].to(torch.uint8) * 255])
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    picture.save(buffer, format=format_name, **_SAVE_OPTIONS[format_name])
    return buffer.getvalue()


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write several files, all of them or none.

    Raises:
        InputError: a place is full or not writable; nothing is left there.
    """
    # A link is written through, not replaced.
    parts = {path.resolve(): path.resolve().with_name(f".{path.name}.{os.getpid()}.part") for path in contents}
    place = next(iter(contents), Path())
    try:
        for path, content in contents.items():
            place = path
            parts[path.resolve()].write_bytes(content)
        for path, part in parts.items():
            place = path
            os.replace(part, path)
    except OSError as error:
        raise write_error(place, error) from None
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(source: Path | bytes, label: str, formats: Sequence[str], *, whole: bool = False) -> Iterator[Image.Image]:
    """A picture whose header was read and whose size is within the limits; with `whole`, its checksums hold as well."""
    if isinstance(source, bytes):
        if not source:
            raise ImageError(f"{label}: empty (0 bytes); send a picture")
        handle: contextlib.AbstractContextManager[io.BufferedIOBase] = io.BytesIO(source)
    else:
        handle = _open_file(source, label)
    with _READING, warnings.catch_warnings(), handle as stream:
        # Our own limit takes the place of Pillow's warning; damaged metadata does not matter either.
        warnings.simplefilter("ignore")
        picture = _open_header(stream, label, formats)
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise _too_large(label, f"{width} x {height} pixels are")
        if min(width, height) < MIN_SIDE:
            raise ImageError(f"{label}: {width} x {height} pixels; it takes at least {MIN_SIDE} on each side")
        if whole and picture.format == "PNG":
            # Pillow's decoder for PNG leaves the checksums out, and would pass garbage on.
            try:
                picture.verify()
            except Exception as error:
                raise _damaged(label, error) from None
            stream.seek(0)
            picture = _open_header(stream, label, formats)
        yield picture


def _open_file(path: Path, label: str) -> io.BufferedReader:
    try:
        if path.is_dir():
            raise ImageError(f"{label}: this is a folder; give a picture file")
        if not path.exists():
            raise ImageError(f"{label}: no such file; check the path")
        if not path.is_file():
            raise ImageError(f"{label}: not a regular file; save the picture to a file first")
        if path.stat().st_size == 0:
            raise ImageError(f"{label}: empty (0 bytes); copy or export it again")
        return path.open("rb")
    except OSError as error:
        raise ImageError(f"{label}: cannot be read ({error.strerror or error}); check its permissions") from None
    except ValueError:  # a NUL in the name
        raise ImageError(f"{label}: not a file name") from None


def _open_header(stream: io.BufferedIOBase, label: str, formats: Sequence[str]) -> Image.Image:
    try:
        return Image.open(stream, formats=list(formats))  # type: ignore[arg-type]
    except Image.DecompressionBombError:
        raise _too_large(label, "it is") from None
    except UnidentifiedImageError:
        stream.seek(0)
        start = stream.read(4)
        if any(start.startswith(_SIGNATURES[name]) for name in formats):
            raise ImageError(f"{label}: truncated or damaged; copy or export it again") from None
        wanted = ", ".join(formats[:-1]) + f" or {formats[-1]}"
        raise PictureFormatError(f"{label}: not a {wanted} picture; convert it to PNG") from None
    except Exception as error:  # a header that breaks off raises struct.error, SyntaxError, EOFError, ...
        raise _damaged(label, error) from None


def _damaged(label: str, error: Exception) -> ImageError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"{label}: truncated or damaged ({reason}); copy or export it again")


def _too_large(label: str, size: str) -> PictureTooLargeError:
    return PictureTooLargeError(f"{label}: {size} more than {MAX_PIXELS // 10**6} megapixels; scale it down")


def _decoded(picture: Image.Image, label: str) -> NDArray[np.float32]:
    """`(H, W, 3)` in [0, 1], upright."""
    try:
        picture.load()
        orientation = _orientation(picture)
        upright = picture.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else picture
        return _rgb(upright, label)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise whatever comes: OSError, SyntaxError, struct.error, ...
        raise _damaged(label, error) from None


def _orientation(picture: Image.Image) -> int:
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1  # to look further, Pillow would decode all pixels
    # A picture with broken EXIF data is still a picture.
    with contextlib.suppress(Exception):
        return int(picture.getexif().get(_ORIENTATION_TAG, 1))
    return 1


def _rgb(picture: Image.Image, label: str) -> NDArray[np.float32]:
    """`(H, W, 3)` in [0, 1]."""
    if picture.mode == "F":
        raise ImageError(f"{label}: its pixels are floating-point numbers; save it with 8 or 16 bits")
    if picture.mode.startswith("I"):
        grey = np.asarray(picture).astype(np.float32)
        if grey.min() < 0 or grey.max() > 65_535:
            raise ImageError(f"{label}: its pixels have 32 bits; save it with 8 or 16 bits")
        return np.repeat(grey[..., None] / np.float32(65_535), 3, axis=2)
    if "transparency" in picture.info or picture.mode.lower().endswith("a"):
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    return np.asarray(picture.convert("RGB"), dtype=np.float32) / np.float32(255)
