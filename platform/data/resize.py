"""Pairs at another size: pictures by the mean over areas, known homographies with them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from PIL import Image

from ...methods.errors import DatasetError
from ...methods.geometry import Size, rescale_homography
from .pictures import decode_rgb

PICTURES = ("ref", "src", "gt")
"""What is resized; `meta.json` says the rest."""


def resized_sample(sample: Mapping[str, bytes], side: int, where: str) -> dict[str, bytes]:
    """A pair whose pictures are `side` x `side` pixels, as the protocol of UDIS asks: aspect ratios are not kept.

    Args:
        sample: fields of a pair, pictures and `meta.json`.
        side: in pixels.
        where: names the sample in errors.

    Raises:
        DatasetError: a picture is damaged, or the sample has fields that cannot be resized (flow, masks, points).
    """
    size: Size = (side, side)
    meta = json.loads(sample["meta.json"])
    fields: dict[str, bytes] = {}
    before: dict[str, Size] = {}
    for name, content in sample.items():
        stem = name.partition(".")[0]
        if name == "meta.json":
            continue
        if stem not in PICTURES or "points" in meta:
            told = "points" if "points" in meta else name
            raise DatasetError(f"{where} holds {told}, which cannot be resized; convert it without --size")
        pixels = torch.from_numpy(decode_rgb(content, where)).permute(2, 0, 1)[None].float()
        before[stem] = (pixels.shape[-2], pixels.shape[-1])
        small = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        levels = small[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()
        buffer = io.BytesIO()
        Image.fromarray(levels.numpy()).save(buffer, "PNG")
        fields[f"{stem}.png"] = buffer.getvalue()
    meta["size"] = [side, side]
    if "homography" in meta:
        matrix = torch.tensor(meta["homography"], dtype=torch.float64)[None]
        rescaled = rescale_homography(matrix, size_a=(before["ref"], size), size_b=(before["src"], size), rule="area")
        meta["homography"] = rescaled[0].tolist()
    return {**fields, "meta.json": json.dumps(meta, sort_keys=True).encode()}
