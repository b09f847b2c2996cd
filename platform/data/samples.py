"""Decoded samples: one frame set (`sequence`) or one pair (`pair`), with the geometry that is known of them.

Pixels are uint8 `(3, H, W)` RGB tensors as stored; `float_image` makes float32 in [0, 1] of them. Homographies are
float64 `(3, 3)`, pixel centres at integers, from the first named frame to the second.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ...methods.errors import DatasetError
from .shards import ShardReader


@dataclass(frozen=True)
class Sample:
    """One sample of a dataset.

    Attributes:
        key: the sample's name in its shard.
        frames: uint8 `(3, H, W)` each; a pair is a sequence of two: reference and source.
        homographies: float64 `(T, 3, 3)`, frame 0 to frame k (the first is the identity), or None where unknown.
        gt: uint8 `(3, H, W)`, the undisturbed picture from the view of frame 0, where the dataset has it.
        meta: the rest of `meta.json`.
    """

    key: str
    frames: list[Tensor]
    homographies: Tensor | None
    gt: Tensor | None
    meta: dict[str, Any] = field(default_factory=dict)

    def homography(self, a: int, b: int) -> Tensor | None:
        """Homography from frame a to frame b, scaled to `h33 = 1`, or None where unknown."""
        if self.homographies is None:
            return None
        matrix = self.homographies[b] @ torch.linalg.inv(self.homographies[a])
        return matrix / matrix[2, 2]


def decode_picture(content: bytes, where: str) -> Tensor:
    """Decode PNG, WebP or JPEG bytes to a uint8 `(3, H, W)` tensor.

    Raises:
        DatasetError: the bytes are damaged; `where` names their place.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise DatasetError(f"damaged picture in {where} ({error}); run 'raylign data verify' on the dataset") from None
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()


def float_image(pixels: Tensor) -> Tensor:
    """uint8 pixels to float32 in [0, 1]."""
    return pixels.float().div_(255.0)


class Samples:
    """The decoded samples of one split of a dataset, by position."""

    def __init__(self, url: str, split: str | None = None) -> None:
        """Open the dataset at `url`.

        Raises:
            DatasetError: it is missing, empty, or of an unknown kind.
        """
        self.reader = ShardReader(url, split)
        if self.reader.info.kind not in ("pair", "sequence"):
            raise DatasetError(f"{url} is of kind '{self.reader.info.kind}'; this raylign reads pair and sequence")

    def __len__(self) -> int:
        return len(self.reader)

    def frame_names(self, position: int) -> list[str]:
        """Suffixes of the sample's frames, in order."""
        fields = self.reader.fields(position)
        if self.reader.info.kind == "pair":
            return [next(name for name in fields if name.startswith(stem)) for stem in ("ref.", "src.")]
        return sorted(name for name in fields if name.count(".") == 1 and name.partition(".")[0].isdigit())

    def __getitem__(self, position: int) -> Sample:
        names = self.frame_names(position)
        fields = self.reader.fields(position)
        gt_name = next((name for name in fields if name.startswith("gt.")), None)
        content = self.reader.read(position, [*names, *([gt_name] if gt_name else []), "meta.json"])
        key = self.reader.keys[position]
        where = f"sample {key} of {self.reader.url}"
        meta = json.loads(content["meta.json"])
        return Sample(
            key=key,
            frames=[decode_picture(content[name], where) for name in names],
            homographies=_homographies(meta, len(names), where),
            gt=decode_picture(content[gt_name], where) if gt_name else None,
            meta=meta,
        )


def _homographies(meta: dict[str, Any], frames: int, where: str) -> Tensor | None:
    if "homographies" in meta:
        matrices = torch.tensor(meta["homographies"], dtype=torch.float64)
    elif "homography" in meta:
        matrices = torch.stack([torch.eye(3, dtype=torch.float64), torch.tensor(meta["homography"]).double()])
    else:
        return None
    if matrices.shape == (frames - 1, 3, 3):
        matrices = torch.cat([torch.eye(3, dtype=torch.float64)[None], matrices])
    if matrices.shape != (frames, 3, 3):
        raise DatasetError(f"{where} has {frames} frames but homographies of shape {tuple(matrices.shape)}")
    return matrices / matrices[:, 2:, 2:]
