"""What the user sees while a dataset is rendered: how far, how fast, where, and what went wrong."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

from ..platform.progress import Progress

WINDOW = 60.0
"""Seconds over which the speed is taken."""


class Watch:
    """Counts scenes by node, as a context manager around the rendering."""

    def __init__(self, scenes: int, pictures: int) -> None:
        """Count up to `scenes` scenes of `pictures` pictures each."""
        self._bar = Progress("rendering", scenes, "scene")
        self._pictures = pictures
        self._start = time.monotonic()
        self._recent: deque[tuple[float, str]] = deque()
        self._failures = 0

    def __enter__(self) -> Watch:
        self._bar.__enter__()
        self._start = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def scene(self, change: int, node: str) -> None:
        """A node has rendered a scene, or lost as many as `change` says (negative)."""
        now = time.monotonic()
        if change > 0:
            self._recent.append((now, node))
        while self._recent and now - self._recent[0][0] > WINDOW:
            self._recent.popleft()
        self._bar.advance(change, self.note(now))

    def failure(self) -> None:
        """An attempt at a scene has failed."""
        self._failures += 1
        self._bar.advance(0, self.note(time.monotonic()))

    def note(self, now: float) -> str:
        """Speed over the last minute, all together and, with several, of each node; failed attempts."""
        span = max(1e-3, min(WINDOW, now - self._start))
        counts: dict[str, int] = {}
        for _, node in self._recent:
            counts[node] = counts.get(node, 0) + 1
        rate = len(self._recent) / span
        parts = [f"{rate:.2f} scenes/s", f"{rate * self._pictures:.1f} frames/s"]
        if len(counts) > 1:
            parts.append(", ".join(f"{node} {count / span:.2f}/s" for node, count in sorted(counts.items())))
        if self._failures:
            parts.append(f"{self._failures} failed attempts")
        return f"({'; '.join(parts)})"
