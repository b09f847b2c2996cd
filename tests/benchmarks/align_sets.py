"""A copy of a dataset of sequences whose homographies are those that a network finds instead of the true ones.

    python -m tests.benchmarks.align_sets CHECKPOINT DATA OUT [PROCESSES]

`raylign evaluate --tasks aligned` on the copy measures restorations on frames that all of them get alike, aligned once
and from all frames of a sequence, as they are in use: frames that the network leaves out are seen nowhere.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from raylign.methods import load
from raylign.platform.data.samples import Samples, float_image
from raylign.platform.data.shards import DatasetInfo, ShardReader, ShardWriter
from raylign.platform.evaluation.aggregates import curve_area
from raylign.platform.evaluation.transforms import homography_metrics
from raylign.platform.memory import keep_freed_memory

ELSEWHERE = [[1.0, 0.0, 1e6], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
"""The homography of a frame that is left out: no pixel of the reference lies in it."""
THRESHOLDS = (3, 5, 10)


def aligned(checkpoint: str, data: str, position: int) -> tuple[list[list[list[float]]], list[float]]:
    """Homographies of all frames of a sample, and the corner error of each source, infinite where it is left out."""
    torch.set_num_threads(1)
    keep_freed_memory()
    sample = Samples(data)[position]
    reference, *sources = [float_image(frame)[None] for frame in sample.frames]
    found = load(checkpoint).align(reference, torch.stack(sources, dim=1))
    assert found.homography is not None
    assert sample.homographies is not None
    size = (reference.shape[-2], reference.shape[-1])
    matrices: list[list[list[float]]] = [torch.eye(3).tolist()]
    errors: list[float] = []
    used = found.extras["frames_used"][0, 1:]
    for matrix, true, seen in zip(found.homography[0].double(), sample.homographies[1:], used, strict=True):
        matrices.append(matrix.tolist() if seen else ELSEWHERE)
        errors.append(homography_metrics(matrix, true, size)["corner_error"] if seen else math.inf)
    return matrices, errors


def areas(errors: list[float]) -> str:
    """Areas under the curve of the errors up to each threshold."""
    return ", ".join(f"AUC@{limit} {curve_area(errors, limit):.3f}" for limit in THRESHOLDS)


def copied(data: str, out: str, everything: Iterator[list[list[list[float]]]]) -> None:
    """Write the dataset at `data` to `out` with these homographies of its samples, in their order."""
    reader, info = ShardReader(data), DatasetInfo.load(data)
    for shard in dict.fromkeys(reader.shard(position) for position in range(len(reader))):
        with ShardWriter(out, shard) as writer:
            for position, key in enumerate(reader.keys):
                if reader.shard(position) == shard:
                    fields = reader.read(position)
                    meta = json.loads(fields["meta.json"]) | {"homographies": next(everything)}
                    writer.write(key, fields | {"meta.json": json.dumps(meta).encode()})
    info.save(out)


def main() -> None:
    """Align, write, and print how well the frames were aligned."""
    checkpoint, data, out, *processes = sys.argv[1:]
    errors: list[float] = []
    numbers = range(len(Samples(data)))
    with ProcessPoolExecutor(int(processes[0]) if processes else 2, mp_context=get_context("spawn")) as pool:

        def each() -> Iterator[list[list[list[float]]]]:
            for number, (matrices, own) in enumerate(
                pool.map(aligned, [checkpoint] * len(numbers), [data] * len(numbers), numbers)
            ):
                errors.extend(own)
                print(f"{number + 1} of {len(numbers)}: {len(errors)} sources, {areas(errors)}", flush=True)
                yield matrices

        copied(data, out, each())
    left_out = sum(math.isinf(error) for error in errors)
    print(f"{len(errors)} sources, {left_out} left out: {areas(errors)}")


if __name__ == "__main__":
    main()
