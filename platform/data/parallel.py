"""Work on many samples at a time, a thread per core: decoding and sampling pictures leave the interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

import torch

T = TypeVar("T")


def for_each(
    positions: Sequence[int],
    work: Callable[[int], T],
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> list[T]:
    """The results of `work(position)`, in the order of the positions; the first error stops everything.

    Args:
        positions: of samples.
        work: must not depend on the others' results.
        advance: called with 1 after each, by the calling thread.
    """
    before = torch.get_num_threads()
    # One thread of OpenMP for each of ours: more of them than cores make everything slower.
    pool = ThreadPoolExecutor(os.cpu_count(), "raylign-data", initializer=torch.set_num_threads, initargs=(1,))
    try:
        jobs = [pool.submit(work, position) for position in positions]
        for job in as_completed(jobs):
            job.result()
            advance(1)
        return [job.result() for job in jobs]
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
