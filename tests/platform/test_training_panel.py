"""The panel of a training: plain lines in files, a live panel in terminals of any width."""

from __future__ import annotations

import io
import math
import re
import threading

import pytest
from rich.console import Console

from raylign.platform.training import panel as module
from raylign.platform.training.panel import Panel, sparkline

STEP = {
    "epoch": 2.0,
    "step": 120.0,
    "steps": 500.0,
    "loss": 0.125,
    "content": 0.0625,
    "lr": 1e-4,
    "samples_per_s": 142.3,
    "data_wait": 0.45,
    "memory_mb": 2150.0,
    "gpu_memory_mb": 512.0,
    "workers": 2.0,
    "stage": 1.0,
    "damaged": 3.0,
}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def strftime(self, _: str) -> str:
        return "12:30:11"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def screen(stream: io.StringIO) -> str:
    """What the panel drew last."""
    text = ESCAPES.sub("", stream.getvalue()).replace("\xa0", " ")
    return text[text.rindex("╭") :]


def live(width: int) -> tuple[io.StringIO, Console]:
    stream = io.StringIO()
    return stream, Console(force_terminal=True, file=stream, width=width)


def test_plain_lines_tell_epochs_events_and_now_and_then_a_step(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Panel("training demo", 4, 100) as panel:
        for step in range(100):
            clock.now += 0.25
            panel.step({"epoch": 1, "step": step + 1, "loss": 1 / (step + 1), "lr": 1e-4, "workers": 2, "damaged": 0})
        panel.say("worker died,\nrestarting from step 120")
        panel.epoch({"epoch": 1, "loss": 0.5, "val_psnr_overlap": 20.5, "val_corner_error": 3.0, "samples_per_s": 16.0})
        clock.now += 25
        panel.epoch({"epoch": 2, "loss": 0.4, "val_psnr_overlap": 19.0, "seconds": 25.0, "val_seconds": 2})
        clock.now += 5
        panel.step({"epoch": 3, "step": 20, "loss": 0.3})
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "training demo: epoch 1/4, step 40/100 in 0:10, 1:30 left, loss 0.025, lr 0.0001, 2 workers",
        "training demo: epoch 1/4, step 80/100 in 0:20, 1:20 left, loss 0.0125, lr 0.0001, 2 workers",
        "training demo: worker died, restarting from step 120",
        "training demo: 1/4 epochs in 0:25, 1:15 left, loss 0.5, val_psnr_overlap 20.50 dB, "
        "val_corner_error 3 px, the best so far, 16 samples/s",
        "training demo: 2/4 epochs in 0:50, 0:50 left, loss 0.4, val_psnr_overlap 19.00 dB, best 20.50 dB at epoch 1",
        "training demo: epoch 3/4, step 20/100 in 0:55, 0:45 left, loss 0.3",
    ]


def test_a_training_that_goes_on_knows_its_best_epoch(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    before = [{"epoch": 1.0, "val_psnr_overlap": 25.0}, {"epoch": 2.0, "val_psnr_overlap": math.nan}]
    with Panel("training demo", 4, None, history=before) as panel:
        clock.now += 30
        panel.epoch({"epoch": 3.0, "loss": math.nan, "val_psnr_overlap": 24.0})
        clock.now += 3600
        panel.epoch({"epoch": 4.0, "val_psnr_overlap": math.nan})
    assert capsys.readouterr().err.splitlines() == [
        "training demo: 3/4 epochs in 0:30, 0:30 left, loss nan, val_psnr_overlap 24.00 dB, best 25.00 dB at epoch 1",
        "training demo: 4/4 epochs in 1:00:30, val_psnr_overlap nan, best 25.00 dB at epoch 1",
    ]


def test_a_step_behind_the_last_begins_the_estimate_anew(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Panel("t", 1, 100, seconds_between_lines=0) as panel:
        for step in (10, 20, 5, 10):
            clock.now += 10
            panel.step({"epoch": 1, "step": step})
    assert [line.partition(" in ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "0:10",
        "0:20, 1:20 left",
        "0:30",
        "0:40, 3:00 left",
    ]


@pytest.mark.parametrize("width", [60, 120])
def test_a_terminal_shows_everything(clock: Clock, width: int) -> None:
    stream, console = live(width)
    with Panel("training [red]demo", 30, 500, console=console) as panel:
        panel.epoch({"epoch": 1, "loss": 0.5, "val_psnr_overlap": 20.5, "val_overlap": 0.8, "val_corner_error": 3.25})
        for step in range(1, 121):
            clock.now += 1
            panel.step({**STEP, "step": step, "loss": 0.125 + (120 - step) / 100, "gradient": math.nan})
        panel.say("3 [workers] now")
        panel.say("worker died: " + "a long reason " * 30)
    shown = screen(stream)
    assert all(len(line) == width for line in shown.splitlines() if line.startswith(("╭", "│", "╰")))
    wanted = ["training [red]demo", "2/30", "120/500", "6:20 left", "0.125", "0.0625", "gradient", "nan", "20.50 dB"]
    wanted += ["at epoch 1", "3.25 px", "80 %", "0.0001", "142.3 samples/s", "data wait 45 %", "memory 2.1 GB"]
    wanted += ["GPU memory 512 MB", "2 workers", "stage 1", "3 damaged samples", "12:30:11 3 [workers] now", "..."]
    for text in wanted:
        assert text in shown, text
    marks = re.findall("[▁▂▃▄▅▆▇█]{2,}", shown)
    assert [len(mark) for mark in marks] == [min(40, width - 4 - 30)], "the newest losses, and one validation"
    assert marks[0][0] == "█"
    assert marks[0][-1] == "▁"


def test_a_terminal_shows_little_where_little_is_known() -> None:
    stream, console = live(30)
    with Panel("t", 3, None, console=console) as panel:
        panel.step({})
        panel.step({"epoch": math.nan, "step": math.inf, "steps": math.nan, "loss": math.nan, "lr": math.inf})
        panel.epoch({})
        panel.epoch({"val_psnr_overlap": math.nan, "val_psnr_far": -math.inf})
    shown = screen(stream)
    assert "2/3" in shown
    assert "best" not in shown
    assert "-inf" in shown


def test_an_error_passes_and_leaves_the_terminal_as_it_was() -> None:
    stream, console = live(80)
    panel = Panel("t", 3, 5, console=console)
    with pytest.raises(ZeroDivisionError), panel:
        1 / 0
    assert stream.getvalue().rstrip("\n").endswith("\x1b[?25h"), "the cursor is back"


def test_a_terminal_without_these_characters_gets_lines() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    with Panel("t", 1, 5, console=Console(force_terminal=True, file=stream, width=80)) as panel:
        panel.epoch({"loss": 0.5})
    stream.seek(0)
    assert re.fullmatch(r"t: 1/1 epochs in 0:00, loss 0\.5\n", stream.read())


def test_a_panel_is_redrawn_seldom_and_told_from_any_thread() -> None:
    stream, console = live(100)
    with Panel("t", 3, 1000, console=console) as panel:

        def tell() -> None:
            for step in range(500):
                panel.step({**STEP, "step": step})

        threads = [threading.Thread(target=tell) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert stream.getvalue().count("╭") < 20


def test_a_sparkline_spans_its_values() -> None:
    assert sparkline([0.0, 7.0, math.nan, 3.5]) == "▁█x▅"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([math.inf]) == "x"
    assert sparkline([]) == ""
