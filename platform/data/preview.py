"""Contact sheet and integrity check of a dataset."""

from __future__ import annotations

import io
from collections import Counter

from PIL import Image

from ...methods.errors import DatasetError
from .samples import Samples, decode_picture
from .shards import DatasetInfo, ShardReader


def contact_sheet(url: str, split: str | None, scenes: int, side: int = 128, frames: int = 6) -> bytes:
    """A PNG with one row per sample: its ground truth (where there is one), then its first frames.

    Args:
        url: the dataset.
        split: one of its splits, or None for all samples.
        scenes: rows, spread over the samples.
        side: longest side of a thumbnail in pixels.
        frames: at most so many frames in a row.
    """
    samples = Samples(url, split)
    count = min(scenes, len(samples))
    positions = [round(row * (len(samples) - 1) / max(1, count - 1)) for row in range(count)]
    rows = []
    for position in positions:
        sample = samples[position]
        pictures = [*([sample.gt] if sample.gt is not None else []), *sample.frames[:frames]]
        rows.append([Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in pictures])
    gap = 4
    side = min(side, max(max(picture.size) for row in rows for picture in row))
    width = max(len(row) for row in rows) * (side + gap) + gap
    sheet = Image.new("RGB", (width, len(rows) * (side + gap) + gap), "white")
    for y, row in enumerate(rows):
        for x, thumbnail in enumerate(row):
            thumbnail.thumbnail((side, side), Image.Resampling.LANCZOS)
            sheet.paste(thumbnail, (gap + x * (side + gap), gap + y * (side + gap)))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def find_damage(url: str) -> list[str]:
    """Read every field of every sample; one line for each thing that is damaged, missing or there twice."""
    info = DatasetInfo.load(url)
    reader = ShardReader(url)
    problems = []
    seen = Counter(reader.keys)
    for key, count in seen.items():
        if count > 1:
            problems.append(f"sample {key} is there {count} times")
    expected = {f"{index:06d}" for index in range(info.scenes)}
    for key in sorted(expected - set(seen) - set(info.failed)):
        problems.append(f"sample {key} is missing")
    for key in sorted(set(seen) - expected):
        problems.append(f"sample {key} does not belong to this dataset")
    for position, key in enumerate(reader.keys):
        try:
            content = reader.read(position)
            for suffix, data in content.items():
                if suffix.endswith((".png", ".webp", ".jpg")):
                    decode_picture(data, f"{suffix} of sample {key}")
        except DatasetError as error:
            problems.append(str(error))
    return problems
