"""Small datasets for tests, drawn with NumPy: textured planes under known homographies and changing light."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from raylign.platform.data.shards import DatasetInfo, ShardWriter, shard_name


def texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """A smooth coloured picture `(size, size, 3)` uint8 with structure at several scales."""
    picture = np.zeros((size, size, 3), np.float32)
    for scale, weight in ((4, 1.0), (10, 0.7), (24, 0.4)):
        noise = rng.random((scale, scale, 3), dtype=np.float32)
        picture += weight * cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    picture -= picture.min()
    return (picture / picture.max() * 255).astype(np.uint8)


def homography(rng: np.random.Generator, size: int, shift: float) -> np.ndarray:
    """A random homography that moves each corner by up to `shift` pixels."""
    corners = np.array([[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]], np.float32)
    moved = corners + rng.uniform(-shift, shift, (4, 2)).astype(np.float32)
    return cv2.getPerspectiveTransform(corners, moved)


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def write_sequences(
    folder: Path, *, scenes: int = 12, frames: int = 3, size: int = 64, shift: float = 6.0, shard_size: int = 4
) -> str:
    """A `sequence` dataset: frame k shows the same picture as frame 0 under `homographies[k]` and another gain."""
    url = str(folder)
    for shard in range(-(-scenes // shard_size)):
        with ShardWriter(url, shard_name(shard)) as writer:
            for index in range(shard * shard_size, min(scenes, (shard + 1) * shard_size)):
                rng = np.random.default_rng(index)
                base = texture(rng, size)
                fields, matrices = {"gt.png": png(base)}, []
                for k in range(frames):
                    matrix = np.eye(3) if k == 0 else homography(rng, size, shift)
                    gain = rng.uniform(0.8, 1.0)
                    frame = cv2.warpPerspective(base, matrix, (size, size), borderMode=cv2.BORDER_REFLECT)
                    fields[f"{k:03d}.png"] = png((frame * gain).astype(np.uint8))
                    matrices.append(matrix.tolist())
                fields["meta.json"] = json.dumps({"homographies": matrices, "seed": index}).encode()
                writer.write(f"{index:06d}", fields)
    held = max(1, scenes // 6)
    DatasetInfo(
        kind="sequence",
        generator="test",
        settings={},
        seed=0,
        scenes=scenes,
        shard_size=shard_size,
        splits={
            "train": [0, scenes - 2 * held],
            "val": [scenes - 2 * held, scenes - held],
            "test": [scenes - held, scenes],
        },
        fields=["NNN.png", "gt.png", "meta.json"],
        complete=True,
    ).save(url)
    return url
