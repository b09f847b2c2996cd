"""Arrays as the bytes of a file."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

DATE = (1980, 1, 1, 0, 0, 0)
"""Time stamp of what lies in an npz file, so that its bytes do not tell when it was made."""


def npz(level: int = 6, **arrays: npt.NDArray[Any]) -> bytes:
    """An npz file whose bytes depend on the arrays and the level alone.

    Args:
        level: of the compression, 1 (fast) to 9 (small).
        arrays: by name.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, values in arrays.items():
            content = io.BytesIO()
            npy.write_array(content, np.ascontiguousarray(values), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", DATE), content.getvalue(), zipfile.ZIP_DEFLATED, level)
    return buffer.getvalue()
