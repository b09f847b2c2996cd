"""Sets that are restored in parts: equal to the whole, without seams, in bounded memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raylign.methods.diar import tiling
from raylign.methods.diar.config import DiarConfig
from raylign.methods.diar.restoration import restore
from raylign.methods.diar.swin import swin_blocks
from raylign.methods.diar.tiling import Tiling, windows_around
from tests.methods.diar_network import network, shots
from tests.methods.test_properties import repeatable


@repeatable
@given(
    start=st.integers(0, 60),
    length=st.integers(1, 20),
    window=st.integers(1, 9),
    shifts=st.lists(st.integers(0, 4), max_size=4),
)
def test_what_blocks_need_is_what_their_windows_reach(start: int, length: int, window: int, shifts: list[int]) -> None:
    shifts = [min(shift, window - 1) for shift in shifts]
    wanted = set(range(start, start + length))
    for shift in reversed(shifts):
        corners = {(place - shift) // window for place in wanted}
        wanted = {corner * window + shift + place for corner in corners for place in range(window)}
    needed = windows_around(range(start, start + length), window, shifts)
    assert set(needed) == wanted


def test_the_margin_of_the_defaults() -> None:
    tile = next(each for each in Tiling(DiarConfig(), 10, (3000, 3000), 512).tiles() if each.core[0].start)
    assert tile.core[0] == range(128, 256)
    assert tile.drawn[0] == range(123, 261)
    assert tile.attended[0] == range(104, 280)
    assert tile.encoded[0] == range(99, 285)


@repeatable
@given(size=st.tuples(st.integers(1, 900), st.integers(1, 900)), tile=st.integers(1, 40), count=st.integers(1, 200))
def test_cores_cover_the_picture_once_and_steps_the_frames(size: tuple[int, int], tile: int, count: int) -> None:
    plan = Tiling(DiarConfig(temporal_window=3), count, size, tile * 32)
    covered = torch.zeros(plan.size, dtype=torch.long)
    for each in plan.tiles():
        rows, columns = each.core
        covered[rows.start : rows.stop, columns.start : columns.stop] += 1
        assert all(not span.start % 8 for span in (*each.core, *each.attended))
    assert (covered == 1).all()
    steps = list(plan.steps())
    assert [frame for part, _ in steps for frame in part] == list(range(count))
    assert all(not needed.start % 3 and set(part) <= set(needed) <= set(range(count)) for part, needed in steps)


@pytest.mark.parametrize("window", [1, 2, 3])
def test_attention_over_steps_equals_attention_over_all(window: int) -> None:
    torch.manual_seed(0)
    config = DiarConfig(width=4, heads=2, window=2, temporal_window=window)
    blocks = swin_blocks(config)
    features = torch.randn(1, 17, 4, 4, 8)
    plan = Tiling(config, 17, (16, 16), 512)
    plan.step = 2 * window
    with torch.no_grad():
        whole = blocks(features)
        for part, needed in plan.steps():
            found = blocks(features[:, needed.start : needed.stop])
            own = found[:, part.start - needed.start : part.stop - needed.start]
            torch.testing.assert_close(own, whole[:, part.start : part.stop], atol=1e-5, rtol=1e-4)
            assert window == 1 or len(needed) > len(part)


@pytest.mark.parametrize(
    ("aggregation", "window", "side", "skip", "size", "count", "at_once"),
    [
        ("softmax", 1, 4, "picture", (250, 21), 7, 2**17),
        ("softmax", 1, 8, "none", (9, 391), 5, 2**17),
        ("softmax", 3, 4, "none", (21, 250), 20, 2**18),
        ("average", 2, 4, "picture", (250, 19), 15, 2**17),
        ("deepsets", 1, 5, "picture", (131, 170), 7, 2**17),
    ],
)
def test_tiles_equal_the_whole(
    aggregation: str,
    window: int,
    side: int,
    skip: str,
    size: tuple[int, int],
    count: int,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = network(aggregation=aggregation, temporal_window=window, skip=skip, window=side)
    frames, masks = shots(1, count, size)
    with torch.no_grad():
        whole = made(frames, masks)
    untiled, untiled_weights = restore(made, frames[0], masks[0], 512)
    # So little that few frames go at a time.
    monkeypatch.setattr(tiling, "AT_ONCE", at_once)
    plan = Tiling(made.config, count, size, 64)
    tiles = list(plan.tiles())
    assert plan.step < count
    # None sees everything.
    assert len(tiles) > 2
    assert all((len(tile.encoded[0]), len(tile.encoded[1])) != plan.size for tile in tiles)
    tiled, weights = restore(made, frames[0], masks[0], 64)
    torch.testing.assert_close(untiled, whole.image[0].clamp(0, 1), atol=1e-5, rtol=0)
    torch.testing.assert_close(tiled, untiled, atol=1e-5, rtol=0)
    torch.testing.assert_close(weights, untiled_weights, atol=1e-5, rtol=0)
    assert tiled.std() > 0.05


@pytest.mark.parametrize("name", ["ENCODER_REACH", "DECODER_REACH"])
def test_smaller_margins_would_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = network(aggregation="deepsets")
    frames, masks = shots(1, 2, (60, 170))
    whole, _ = restore(made, frames[0], masks[0], 512)
    monkeypatch.setattr(tiling, name, 0)
    tiled, _ = restore(made, frames[0], masks[0], 32)
    assert (tiled - whole).abs().max() > 1e-3


def test_windows_that_lie_elsewhere_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network()
    frames, masks = shots(1, 2, (24, 250))
    whole, _ = restore(made, frames[0], masks[0], 512)
    monkeypatch.setattr(tiling, "windows_around", lambda wanted, window, shifts: wanted)
    tiled, _ = restore(made, frames[0], masks[0], 32)
    assert (tiled - whole).abs().max() > 1e-3


def test_tiles_shrink_for_many_frames() -> None:
    config = DiarConfig()
    sides = [Tiling(config, count, (4000, 4000), 512).side * 4 for count in (1, 10, 50, 100, 200)]
    assert sides[:3] == [512, 512, 512]
    assert sides[2] > sides[3] > sides[4] >= 128
    drawn = sides[4] // 4 + 10
    assert 200 * (128 + tiling.SHARE_COST) * drawn**2 <= tiling.KEPT
    over_time = Tiling(DiarConfig(temporal_window=3), 200, (4000, 4000), 512)
    assert 32 <= over_time.side * 4 < 512
    # Less is kept for the weights where they are the same for all channels.
    assert Tiling(DiarConfig(aggregation="average"), 200, (4000, 4000), 512).side * 4 > sides[4]


MEASURE = """
import re, torch
from raylign.methods.diar import tiling
from raylign.methods.diar.config import DiarConfig
from raylign.methods.diar.restoration import Restoration, restore

def peak():
    # Not getrusage: its peak counts what the process was before it became this one.
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

torch.set_num_threads(1)
made = Restoration(DiarConfig(width=16)).eval()
frames = torch.rand(200, 3, 64, 64)
masks = torch.ones(200, 1, 64, 64, dtype=torch.bool)
restore(made, frames[:1], masks[:1], 512)
before = peak()
for tiling.AT_ONCE in (2**22, 2**28):
    restore(made, frames, masks, 512)
    print((peak() - before) // 1024)
"""


def test_memory_is_bounded() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], check=True, capture_output=True, text=True)
    bounded, unbounded = (int(line) for line in done.stdout.split())
    # In MiB: 16 of intermediate results, 7 of logits, 3 each of weights and shares, and what malloc keeps.
    assert bounded < 64
    # All 200 frames at once.
    assert unbounded > 100
