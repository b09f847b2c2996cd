"""Pairs of a dynamic dataset with the motion taken out: what training on static scenes alone would see.

    python -m tests.benchmarks.still_pairs DATA OUT

The reference becomes the truth: the same scenes, cameras and light, at the source's moment in both pictures, so that
nothing moves but the camera. Run again to go on.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from dataclasses import replace

from PIL import Image

from raylign.platform.data.layouts.opening import open_reader
from raylign.platform.data.shards import ShardWriter, published_shards, shard_name

KEPT = ("src.png", "gt.png", "meta.json")


def still(sample: Mapping[str, bytes]) -> dict[str, bytes]:
    """The fields of a pair in which nothing moves by itself; flow and depth of the former reference are left out."""
    mask = io.BytesIO()
    Image.new("L", Image.open(io.BytesIO(sample["gt.png"])).size).save(mask, "PNG")
    return {name: sample[name] for name in KEPT} | {"ref.png": sample["gt.png"], "dynamic.png": mask.getvalue()}


def main() -> None:
    """Write the dataset."""
    url, out = sys.argv[1:]
    reader = open_reader(url, None)
    info = replace(
        reader.info,
        settings={"still": True, **reader.info.settings},
        fields=sorted([*KEPT, "ref.png", "dynamic.png"]),
        complete=False,
    )
    info.save(out)
    there = published_shards(out)
    for first in range(0, info.scenes, info.shard_size):
        name = shard_name(first // info.shard_size)
        if name not in there:
            with ShardWriter(out, name) as writer:
                for position, key in enumerate(reader.keys):
                    if first <= int(key) < first + info.shard_size:
                        writer.write(key, still(reader.read(position)))
    replace(info, complete=True).save(out)
    print(f"{out}: {len(reader)} pairs in which only the camera moves")


if __name__ == "__main__":
    main()
