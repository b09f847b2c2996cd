"""One alignment at 512 x 512 in the paper's configuration, against the structure of UDIS++. `make bench`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from raylign.methods import geometry
from raylign.methods.aligner import has_fast_bfloat16
from raylign.methods.crossscale import CrossScale, CrossScaleConfig, losses
from raylign.methods.crossscale.inference import InferenceCopy
from tests.benchmarks.udis2_structure import SIZE, UDIS2, warps

REPEATS = 9
CPU = torch.device("cpu")


def gflop(run: Callable[[], Any]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def test_cost_of_the_udis2_structure() -> None:
    # 978.2 by the paper's rule: two per multiplication and addition, batch 4. The feature flow's own sums, 1 G, are
    # elementwise in the released program and do not count.
    with FakeTensorMode():
        network, pictures = UDIS2(), torch.empty(4, 3, *SIZE)
        with FlopCounterMode(display=False) as counter:
            network(pictures, pictures)
    counts = counter.get_flop_counts()["Global"]
    total = sum(count for operator, count in counts.items() if "bmm" not in str(operator)) / 1e9
    assert total == pytest.approx(978.2, rel=2e-3)


def peak_mebibytes(run: Callable[[], Any]) -> float:
    """Largest sum of tensors that are alive at once, beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        run()
    now = most = 0
    for event in measured.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most / 2**20


def medians(runs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Wall seconds, one run after the other in turns."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(REPEATS):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            found[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in found.items()}


@pytest.mark.bench
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_forward_and_warp_against_the_udis2_structure(dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16 and not has_fast_bfloat16(CPU):
        pytest.skip("this processor has no matrix unit for bfloat16")
    torch.set_num_threads(2)
    torch.manual_seed(0)
    reference, source = torch.rand(2, 1, 3, *SIZE)
    with torch.inference_mode(False):
        network, theirs = CrossScale(CrossScaleConfig()).eval(), UDIS2().eval()
    ours = InferenceCopy().of(network, dtype)
    matrix = torch.randn(4096, 4096, dtype=dtype)

    def autocast(run: Callable[[], Any]) -> Callable[[], Any]:
        def inside() -> Any:
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                return run()

        return inside

    def our_warp() -> Any:
        prediction = autocast(lambda: ours.predict(reference, source))()
        positions = losses.mesh_positions(prediction.mesh, SIZE)
        return geometry.sample(source, positions), geometry.coverage(positions, SIZE)

    our_forward, their_forward = (autocast(lambda n=n: n(reference, source)) for n in (ours, theirs))
    found = medians(
        {
            "forward": our_forward,
            "UDIS++ forward": their_forward,
            "forward and warp": our_warp,
            "UDIS++ forward and warp": lambda: warps(source, *their_forward()),
            "matrix product": lambda: matrix @ matrix,
        }
    )
    peaks = peak_mebibytes(our_warp), peak_mebibytes(lambda: warps(source, *their_forward()))
    limit = 2 * 4096**3 / 1e9 / found["matrix product"]
    forward = found["forward"] / found["UDIS++ forward"]
    both = found["forward and warp"] / found["UDIS++ forward and warp"]
    # The counter does not know the fused convolutions of the copy.
    operations = gflop(lambda: network(reference, source)), gflop(their_forward)
    at_limit = operations[0] / limit
    print(f"\n{dtype}: " + ", ".join(f"{name} {seconds * 1e3:.0f} ms" for name, seconds in found.items()))
    print(f"ratios {forward:.2f} and {both:.2f}; GFLOP {operations[0]:.1f} and {operations[1]:.1f}")
    print(f"peak MiB beside the weights {peaks[0]:.0f} and {peaks[1]:.0f}")
    print(
        f"matrix products at {limit:.0f} GFLOP/s would take {at_limit * 1e3:.0f} ms, {at_limit / found['forward']:.0%}"
    )
    assert forward <= 1 / 2
    assert both <= 1 / 3
