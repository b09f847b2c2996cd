"""Progress of long work: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """A counted piece of work, as a context manager: `with Progress("rendering", 100, "scene") as bar`."""

    def __init__(self, title: str, total: int, unit: str, *, seconds_between_lines: float = 10.0) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._pause = seconds_between_lines
        self._done = self._printed = 0
        self._start = self._last_line = time.monotonic()
        self._bar: RichProgress | None = None
        if Console(stderr=True).is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )

    def __enter__(self) -> Progress:
        self._start = self._last_line = time.monotonic()
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total, note="")
        return self

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more as done; `note` is shown beside the bar."""
        self._done += count
        if self._bar:
            self._bar.update(self._task, advance=count, note=note)
            return
        now = time.monotonic()
        if self._done >= self._total or now - self._last_line >= self._pause:
            self._last_line = now
            self._line(note)

    def _line(self, note: str) -> None:
        self._printed = self._done
        seconds = time.monotonic() - self._start
        rate = self._done / seconds if seconds > 0 else 0.0
        left = f", {(self._total - self._done) / rate:.0f} s left" if rate and self._done < self._total else ""
        text = f"{self._title}: {self._done}/{self._total} {self._unit}s in {seconds:.0f} s{left}"
        print(f"{text} {note}".rstrip(), file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif self._done > self._printed:
            self._line("")
