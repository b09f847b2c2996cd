"""A budget in minutes as a number of steps: schedules then end where the budget does, and a repeated study takes the
same steps."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from ..runs import write_text
from ..training.loop import train
from ..training.options import TrainingSpec
from ..training.reporter import PlainReporter
from .plan import digest

PROBE_STEPS = 24
"""Optimizer steps of the short training that measures the pace, over all epochs after the first."""


def with_minutes(spec: TrainingSpec, minutes: float, folder: Path) -> TrainingSpec:
    """The specification with as many steps as fit into a time on this machine.

    The pace is measured once and kept in the study's folder.

    Args:
        spec: of a variant.
        minutes: of optimizer steps; validation is not counted.
        folder: of the study.

    Raises:
        RaylignError: the variant cannot be trained.
    """
    known_file = folder / "pace.json"
    known: dict[str, float] = json.loads(known_file.read_text()) if known_file.exists() else {}
    key = digest(spec)
    if key not in known:
        known[key] = _seconds_per_step(spec)
        write_text(known_file, json.dumps(known, indent=1) + "\n")
    steps = max(1, round(60 * minutes / known[key] / spec.loop.epochs))
    print(f"{1000 * known[key]:.0f} ms/step: {spec.loop.epochs} epochs of {steps} steps", file=sys.stderr)
    return replace(spec, loop=replace(spec.loop, steps_per_epoch=steps))


def _seconds_per_step(spec: TrainingSpec) -> float:
    # All epochs, so that every stage has its share; the first one also loads and compiles, and does not count.
    epochs = max(2, spec.loop.epochs)
    steps = -(-PROBE_STEPS // (epochs - 1))
    loop = replace(
        spec.loop,
        epochs=epochs,
        steps_per_epoch=steps,
        checkpoint_steps=0,
        val_every=epochs,
        val_pairs=1,
        val_pictures=0,
    )
    with tempfile.TemporaryDirectory(prefix="raylign-pace-") as place:
        reporter = PlainReporter(Path(place))
        train(replace(spec, loop=loop), reporter)
    return sum(epoch["seconds"] for epoch in reporter.history[1:]) / ((epochs - 1) * steps)
