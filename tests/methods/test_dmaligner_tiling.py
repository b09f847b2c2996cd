"""Windows that cover a canvas, and what is drawn in them without seams."""

from __future__ import annotations

import itertools
import math
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal.windows import cosine
from torch import Tensor

from raylign.methods.dmaligner.tiling import blended, windows
from tests.methods.test_properties import repeatable

CPU = torch.device("cpu")
sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))


@repeatable
@given(size=sizes, tile=st.integers(1, 40), share=st.floats(0, 0.99))
def test_windows_cover_the_canvas_with_equal_size_and_no_more_than_it_takes(
    size: tuple[int, int], tile: int, share: float
) -> None:
    overlap = int(share * tile)
    made = windows(size, tile, overlap)
    covered = np.zeros(size, dtype=int)
    for window in made:
        assert covered[window].shape == (min(tile, size[0]), min(tile, size[1]))
        covered[window] += 1
    assert covered.min() >= 1
    fewest = [1 if length <= tile else math.ceil((length - overlap) / (tile - overlap)) for length in size]
    assert len(made) == len({(rows.start, columns.start) for rows, columns in made}) == math.prod(fewest)
    for axis in (0, 1):
        starts = sorted({window[axis].start for window in made})
        shared = [first + tile - second for first, second in itertools.pairwise(starts)]
        assert min(shared, default=overlap) >= overlap


def test_the_last_window_is_moved_inward() -> None:
    assert [rows.start for rows, _ in windows((100, 10), 40, 8)] == [0, 32, 60]
    assert windows((40, 10), 40, 8) == [(slice(0, 40), slice(0, 10))]


@repeatable
@given(size=sizes, tile=st.integers(1, 40), share=st.floats(0, 0.99), scale=st.integers(1, 3), seed=st.integers(0, 99))
def test_blending_is_a_mean_weighted_by_hann_windows(
    size: tuple[int, int], tile: int, share: float, scale: int, seed: int
) -> None:
    overlap = int(share * tile)
    random = np.random.default_rng(seed)
    drawn = {}
    sums, weights = np.zeros((2, 3, size[0] * scale, size[1] * scale)), np.zeros((size[0] * scale, size[1] * scale))
    for rows, columns in windows(size, tile, overlap):
        window = tuple(slice(scale * span.start, scale * span.stop) for span in (rows, columns))
        height, width = (span.stop - span.start for span in window)
        weight = np.outer(cosine(height) ** 2, cosine(width) ** 2)
        drawn[rows.start, columns.start] = random.normal(size=(2, 3, height, width))
        sums[(..., *window)] += weight * drawn[rows.start, columns.start]
        weights[window] += weight

    def draw(rows: slice, columns: slice) -> Tensor:
        return torch.from_numpy(drawn[rows.start, columns.start]).to(torch.float32)

    found = blended(size, tile, overlap, 3, 2, CPU, draw, scale)
    np.testing.assert_allclose(found.numpy(), sums / weights, atol=2e-4)


@pytest.mark.parametrize("scale", [1, 4])
def test_windows_that_agree_give_the_picture(scale: int) -> None:
    picture = torch.rand(2, 5, 130 * scale, 77 * scale)

    def draw(rows: slice, columns: slice) -> Tensor:
        height, width = (slice(span.start * scale, span.stop * scale) for span in (rows, columns))
        return picture[..., height, width]

    before = picture.clone()
    found = blended((130, 77), 48, 16, 5, 2, CPU, draw, scale)
    torch.testing.assert_close(found, picture, atol=2e-6, rtol=0)
    # What draw gives may be a view of something that is still needed.
    assert torch.equal(picture, before)


@pytest.mark.parametrize("overlap", [16, 32])
def test_windows_that_disagree_leave_no_seam(overlap: int) -> None:
    found = blended(
        (64, 128 - overlap), 64, overlap, 1, 1, CPU, lambda _, columns: torch.full((1, 1, 64, 64), 1.0 * columns.start)
    )
    profile = found[0, 0] / (64 - overlap)
    steps = profile.diff(dim=1)
    # A cut would be one step of 1; a linear ramp has steps of 1 / overlap.
    assert steps.max() < 2.1 / overlap
    assert steps.min() > -1e-5
    torch.testing.assert_close(profile[:, : 64 - overlap], torch.zeros(64, 64 - overlap), atol=1e-5, rtol=0)
    torch.testing.assert_close(profile[:, 64:], torch.ones(64, 64 - overlap), atol=1e-5, rtol=0)
    # The ramp starts and ends without a corner.
    assert max(steps[:, 63 - overlap].max(), steps[:, 63].max()) < 0.5 / overlap


def test_one_window_is_there_at_a_time() -> None:
    earlier: list[weakref.ref[Tensor]] = []

    def draw(rows: slice, columns: slice) -> Tensor:
        assert not any(each() is not None for each in earlier)
        drawn = torch.ones(1, 1, rows.stop - rows.start, columns.stop - columns.start)
        earlier.append(weakref.ref(drawn))
        return drawn

    blended((100, 100), 32, 8, 1, 1, CPU, draw)
    assert len(earlier) == 16
