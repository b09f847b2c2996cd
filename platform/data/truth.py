"""Dense ground truth of a sample: flow, occlusion, depth, masks. Decoded only where it is asked for.

Arrays lie in `.npz` files. They are read without pickle, and their shape is compared with the pictures' before a byte
of them is decoded, so that a damaged or hostile file can neither run code nor ask for memory that is not there.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...methods.errors import DatasetError
from .pictures import BROKEN_PICTURE, reason

DENSE = ("flow", "occlusion", "hidden", "dynamic", "depth", "mask", "vessels")
"""What `Samples.truth` can read."""


@dataclass(frozen=True)
class Truth:
    """Dense ground truth of one sample; None where the dataset has none, or where it was not asked for.

    Attributes:
        flow: float32 `(2, H, W)` in pixels, from the reference into the source; NaN where unknown, or where the point
            lies behind the source's camera.
        occlusion: bool `(H, W)`, true where the reference pixel's point lies inside the source but is hidden there.
            Points that leave the source are not marked: the flow says so.
        hidden: bool `(H, W)`, true where the true picture shows what the source does not. Where nothing moves by itself
            that follows from flow and occlusion, and no dataset has it.
        dynamic: bool `(H, W)`, true where something moves by itself.
        depths: float32 `(H, W)` per frame (a pair has two), along the optical axis, inf where nothing is seen.
        masks: bool `(H, W)` per frame, true on occluders.
        vessels: uint8 `(H, W)` per frame of a pair of retinas, the share of each pixel that vessels cover, 255 for all.
    """

    flow: Tensor | None
    occlusion: Tensor | None
    hidden: Tensor | None
    dynamic: Tensor | None
    depths: list[Tensor] | None
    masks: list[Tensor] | None
    vessels: list[Tensor] | None


def decode_mask(content: bytes, where: str) -> NDArray[np.uint8]:
    """Decode a grey picture to `(H, W)`, with the values that are stored.

    Raises:
        DatasetError: the bytes are damaged; `where` names sample and field.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return np.asarray(picture.convert("L"))
    except BROKEN_PICTURE as error:
        raise DatasetError(f"{where}: damaged picture ({reason(error)})") from None


def decode_arrays(content: bytes, where: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """The named float32 arrays of an `.npz` file.

    Args:
        content: the file.
        where: sample and field, for the error.
        shapes: name of each array and the shape that it must have.

    Raises:
        DatasetError: the file is damaged, or an array is missing, pickled, or of another type or shape.
    """
    arrays: dict[str, NDArray[np.float32]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            held = [name.removesuffix(".npy") for name in archive.namelist()]
            for name, shape in shapes.items():
                if name not in held:
                    raise DatasetError(f"{where}: no array '{name}', only {', '.join(held) or 'nothing'}")
                with archive.open(f"{name}.npy") as stream:
                    read = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
                    found, _, dtype = read(stream)
                if dtype.hasobject:
                    raise DatasetError(f"{where}: array '{name}' is pickled, which is never read")
                if dtype != np.float32:
                    raise DatasetError(f"{where}: array '{name}' is {dtype}, not float32")
                if found != shape:
                    raise DatasetError(f"{where}: array '{name}' has the shape {found}, not {shape}")
                with archive.open(f"{name}.npy") as stream:
                    arrays[name] = npy.read_array(stream, allow_pickle=False)
    except (zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, OSError, NotImplementedError) as error:
        raise DatasetError(f"{where}: damaged array file ({reason(error)})") from None
    return arrays
