"""What a training is doing: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import textwrap
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel as Frame
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .history import BEST, best_epoch
from .report import PACE, PLACE, is_loss, number, reading

REFRESHES_PER_SECOND = 2
SPARKLINE = 40
"""Values in a sparkline, where the terminal is wide enough."""
EVENTS = 3
_TICKS = "▁▂▃▄▅▆▇█"
_LONG_WAIT = 0.3
"""Share of time spent waiting for data from which it is coloured: the data, not the model, sets the pace."""
_FIXED = "\xa0"
"""A space at which no line breaks."""
_CELL = 26
"""Characters of one metric in the table."""


class Panel:
    """The progress of one training, as a context manager: `with Panel("training demo", 30, 500) as panel`.

    In a terminal it is one panel on standard error that redraws itself; elsewhere there is a line for each finished
    epoch and each event, and now and then one from within an epoch. It may be told from any thread.

    Args:
        title: what is being trained.
        epochs: all that there will be.
        steps_per_epoch: optimizer steps; None where they are not known before they are told.
        history: metrics of the epochs that were done before, of a training that goes on.
        console: where to write; standard error by default.
        seconds_between_lines: at least, between two lines from within an epoch.
    """

    def __init__(
        self,
        title: str,
        epochs: int,
        steps_per_epoch: int | None,
        *,
        history: Sequence[Mapping[str, float]] = (),
        console: Console | None = None,
        seconds_between_lines: float = 10.0,
    ) -> None:
        self._title, self._total, self._steps = title, epochs, steps_per_epoch
        self._pause = seconds_between_lines
        self._console = console or Console(stderr=True)
        self._epochs = {int(entry["epoch"]): dict(entry) for entry in history}
        self._running = max(self._epochs, default=0)
        self._step = 0
        self._within: dict[str, float] = {}
        self._losses: deque[float] = deque(maxlen=SPARKLINE)
        self._events: deque[str] = deque(maxlen=EVENTS)
        self._whole, self._part = _Pace(), _Pace()
        self._start = self._last_line = time.monotonic()
        self._untold = False
        self._lock = threading.Lock()
        self._live: Live | None = None
        capable = self._console.is_interactive and not self._console.options.ascii_only
        if self._console.is_terminal and capable:
            self._live = Live(
                get_renderable=self._draw,
                console=self._console,
                refresh_per_second=REFRESHES_PER_SECOND,
                redirect_stdout=sys.stdout.isatty(),
            )

    def __enter__(self) -> Panel:
        self._start = self._last_line = time.monotonic()
        if self._live:
            self._live.start()
        return self

    def step(self, metrics: Mapping[str, float]) -> None:
        """Tell how an epoch is going, about once a second.

        Args:
            metrics: any of `epoch` (from 1), `step` and `steps` (done, and all, of this epoch), `loss` and its parts,
                `lr`, `samples_per_s`, `data_wait` (share of the time), `memory_mb`, `gpu_memory_mb`, `workers`,
                `stage`; others are shown by their names.
        """
        with self._lock:
            self._running = _integer(metrics, "epoch") or max(self._epochs, default=0) + 1
            self._step = _integer(metrics, "step") or 0
            self._steps = _integer(metrics, "steps") or self._steps
            self._within = dict(metrics)
            if "loss" in metrics:
                self._losses.append(metrics["loss"])
            share = min(1.0, self._step / self._steps) if self._steps else 0.0
            self._whole.tell(self._running - 1 + share)
            self._part.tell(self._step)
            self._untold = True
            if self._live is None and time.monotonic() - self._last_line >= self._pause:
                self._line(self._step_text())

    def epoch(self, metrics: Mapping[str, float]) -> None:
        """Tell that an epoch is done: its number, mean losses, and where it was validated `val_...`."""
        with self._lock:
            done = _integer(metrics, "epoch") or max(self._epochs, default=0) + 1
            self._epochs[done] = {**metrics, "epoch": float(done)}
            self._running, self._step = done, self._steps or self._step
            self._within = dict(metrics)
            self._whole.tell(done, (self._start, done - 1))
            self._part.tell(self._step)
            if self._live is None:
                self._line(self._epoch_text(done))

    def say(self, text: str) -> None:
        """Tell an event, for example `worker died, restarting from step 120`."""
        text = " ".join(text.split())
        with self._lock:
            self._events.append(f"{time.strftime('%H:%M:%S')} {text}")
            if self._live is None:
                self._print(text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        elif self._untold:
            self._line(self._step_text())

    def _line(self, text: str) -> None:
        self._last_line, self._untold = time.monotonic(), False
        self._print(text)

    def _print(self, text: str) -> None:
        print(f"{self._title}: {text}", file=self._console.file, flush=True)

    def _step_text(self) -> str:
        """Where a running epoch is, and how it is doing."""
        left = self._whole.left(self._total)
        steps = f"/{self._steps}" if self._steps else ""
        parts = [f"epoch {self._running}/{self._total}", f"step {self._step}{steps} in {self._seconds()}"]
        parts += [f"{_clock(left)} left"] if left is not None else []
        losses = [f"{key} {number(value)}" for key, value in self._within.items() if is_loss(key)]
        return ", ".join(parts + losses + self._facts())

    def _epoch_text(self, done: int) -> str:
        """How many epochs are done, and how the last one did."""
        left = self._whole.left(self._total)
        parts = [f"{done}/{self._total} epochs in {self._seconds()}"]
        parts += [f"{_clock(left)} left"] if left and done < self._total else []
        entry = self._epochs[done]
        shown = [key for key in _validation(entry) if key not in PLACE]
        parts += [f"{key} {reading(key, entry[key])}" for key in ("loss", *shown) if key in entry]
        best = best_epoch(self._epochs.values())
        if BEST in entry and best is not None:
            parts.append("the best so far" if best["epoch"] == done else f"best {_named(best)}")
        return ", ".join(parts + self._facts())

    def _seconds(self) -> str:
        return _clock(time.monotonic() - self._start)

    def _facts(self) -> list[str]:
        """How the training runs: learning rate, throughput, memory, workers."""
        shown = {key: self._within[key] for key in PACE if key in self._within}
        if not shown.get("damaged"):
            shown.pop("damaged", None)
        return [_fact(key, value) for key, value in shown.items()]

    def _draw(self) -> RenderableType:
        """The whole panel, for the width that the terminal has now."""
        with self._lock:
            width = max(20, self._console.width - 4)
            parts: list[RenderableType] = [self._bars()]
            for part in (self._curves(width), self._cells(width), self._pace(width), self._last_events(width)):
                if part is not None:
                    parts += [Text(""), part]
            return Frame(
                Group(*parts),
                title=Text(self._title, "bold not dim"),
                title_align="left",
                subtitle=self._seconds(),
                subtitle_align="right",
                border_style="dim",
            )

    def _bars(self) -> Table:
        rows = [
            ("epoch", self._running, self._whole.last, self._total, self._whole.left(self._total)),
            ("step", self._step, self._step, self._steps, self._part.left(self._steps or 0)),
        ]
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column()
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(justify="right", no_wrap=True)
        for name, count, done, total, left in rows:
            bar = ProgressBar(total, min(done, total)) if total else ""
            grid.add_row(name, f"{count}/{total}" if total else f"{count}", bar, f"{_clock(left)} left" if left else "")
        return grid

    def _curves(self, width: int) -> Table | None:
        """The loss within epochs and the validation over epochs, each with its latest values as a sparkline."""
        room = max(1, min(SPARKLINE, width - 30))
        grid = Table.grid(padding=(0, 2))
        grid.add_column()
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(no_wrap=True)
        losses = list(self._losses) or self._over_epochs("loss")
        for name, values in (("loss", losses), (BEST, self._over_epochs(BEST))):
            if values:
                now = self._within.get(name, values[-1])
                grid.add_row(name, _value(name, now), Text(sparkline(values[-room:]), "cyan"))
        best = best_epoch(self._epochs.values())
        if best is not None:
            grid.add_row("best", Text(reading(BEST, best[BEST]), "green"), f"at epoch {best['epoch']:.0f}")
        return grid if grid.row_count else None

    def _over_epochs(self, name: str) -> list[float]:
        return [entry[name] for _, entry in sorted(self._epochs.items()) if name in entry]

    def _cells(self, width: int) -> Table | None:
        """All metrics without a place of their own, as many side by side as fit."""
        validated = (entry for _, entry in sorted(self._epochs.items(), reverse=True))
        shown = {key: value for key, value in self._within.items() if key not in PACE and not key.startswith("val_")}
        shown |= next((found for entry in validated if (found := _validation(entry))), {})
        pairs = [(key, value) for key, value in shown.items() if key not in ("loss", BEST, *PLACE)]
        if not pairs:
            return None
        columns = max(1, min(3, width // _CELL))
        rows = -(-len(pairs) // columns)
        grid = Table.grid(padding=(0, 2))
        for _ in range(columns):
            grid.add_column(overflow="ellipsis", no_wrap=True)
            grid.add_column(justify="right", no_wrap=True)
        for row in range(rows):
            grid.add_row(*(cell for key, value in pairs[row::rows] for cell in (Text(key), _value(key, value))))
        return grid

    def _pace(self, width: int) -> Text | None:
        """How the training runs, in lines that break between metrics only."""
        facts = [fact.replace(" ", _FIXED) for fact in self._facts()]
        if not facts:
            return None
        lines = textwrap.wrap(f"{_FIXED}{_FIXED}·  ".join(facts), width)
        shown = Text("\n".join(line.rstrip(f"{_FIXED}·") for line in lines))
        if self._within.get("data_wait", 0.0) > _LONG_WAIT:
            shown.highlight_words([fact for fact in facts if fact.startswith(f"data{_FIXED}wait")], "yellow")
        return shown

    def _last_events(self, width: int) -> Group | None:
        """The last events, two lines each at most."""
        if not self._events:
            return None
        return Group(*(Text(textwrap.shorten(text, 2 * width - 8, placeholder=" ..."), "dim") for text in self._events))


class _Pace:
    """How fast a count grows."""

    def __init__(self) -> None:
        self.last = 0.0
        self._first: tuple[float, float] | None = None
        self._time = 0.0

    def tell(self, count: float, since: tuple[float, float] | None = None) -> None:
        """Tell the count; `since` is an earlier time and count, for a first one. A lower count begins anew."""
        now = time.monotonic()
        if self._first is None:
            self._first = since or (now, count)
        elif count < self.last:
            self._first = (now, count)
        self.last, self._time = count, now

    def left(self, total: float) -> float | None:
        """Seconds until the count is `total`, None where that cannot be told."""
        if self._first is None or self.last <= self._first[1]:
            return None
        seconds = (total - self.last) * (self._time - self._first[0]) / (self.last - self._first[1])
        return max(0.0, seconds - (time.monotonic() - self._time))


def sparkline(values: Sequence[float]) -> str:
    """One character per value, the higher the larger; `x` for those that are not finite."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    top = len(_TICKS) - 1
    return "".join(
        _TICKS[round(top * (value - low) / (high - low)) if high > low else 0] if math.isfinite(value) else "x"
        for value in values
    )


def _integer(metrics: Mapping[str, float], key: str) -> int | None:
    value = metrics.get(key, math.nan)
    return int(value) if math.isfinite(value) else None


def _validation(entry: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in entry.items() if key.startswith("val_")}


def _named(best: Mapping[str, float]) -> str:
    return f"{reading(BEST, best[BEST])} at epoch {best['epoch']:.0f}"


def _value(name: str, value: float) -> Text:
    return Text(reading(name, value), "" if math.isfinite(value) else "bold red")


def _fact(name: str, value: float) -> str:
    """One metric of `PACE` in words."""
    if name == "samples_per_s":
        return f"{number(value)} samples/s"
    if name == "workers":
        return f"{number(value)} {'worker' if value == 1 else 'workers'}"
    if name == "damaged":
        return f"{number(value)} damaged {'sample' if value == 1 else 'samples'}"
    names = {"data_wait": "data wait", "memory_mb": "memory", "gpu_memory_mb": "GPU memory"}
    return f"{names.get(name, name)} {reading(name, value)}"


def _clock(seconds: float) -> str:
    """`m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
