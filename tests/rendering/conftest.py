"""Shared by the tests of rendering: reading the pictures of a sample."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from PIL import Image

Picture = Callable[[Mapping[str, bytes], str], np.ndarray]


@pytest.fixture(scope="session")
def picture() -> Picture:
    """Pixels of a sample's field as float64: `(H, W, 3)`, or `(H, W)` for a mask."""

    def read(fields: Mapping[str, bytes], name: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(fields[name])), np.float64)

    return read
