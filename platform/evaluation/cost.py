"""What an alignment costs: peak memory and floating-point operations."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

_PROC = Path("/proc/self")
_RESET_PEAK = "5"
"""What `clear_refs` takes to set the peak of the resident memory back to what is resident (Linux, proc(5))."""


def _give_back_freed_memory() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@dataclass
class Peak:
    """Filled when its block ends."""

    megabytes: float | None = None
    """Peak memory above what was in use before, in MB; None where the system does not tell."""


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the peak memory of a block: on the GPU if there is one, else of this process."""
    peak = Peak()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield peak
        peak.megabytes = (torch.cuda.max_memory_allocated() - before) / 1e6
        return
    _give_back_freed_memory()  # what lies ready from before would not be counted
    resident = _reset_peak()
    yield peak
    if resident is not None:
        peak.megabytes = max(0, _status("VmHWM") - resident) / 1e3


def _reset_peak() -> int | None:
    """Resident kB now, with the peak set back to it; None where that cannot be done."""
    try:
        (_PROC / "clear_refs").write_text(_RESET_PEAK)
        return _status("VmRSS")
    except OSError:
        return None


def _status(name: str) -> int:
    """A line of /proc/self/status, in kB."""
    for line in (_PROC / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise OSError(f"no {name} in {_PROC}/status")


def count_gflop(work: Callable[[], object]) -> float:
    """Floating-point operations of a call, 1e9: two per multiply-add of torch's matrix products and convolutions."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops()) / 1e9
