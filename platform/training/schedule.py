"""When what happens in a training: stages over the epochs, and the learning rate over the steps."""

from __future__ import annotations

import math

from ...methods.aligner import Stage
from ...methods.errors import InputError
from .options import LoopOptions


def stage_epochs(stages: tuple[Stage, ...], epochs: int) -> list[range]:
    """The epochs, counted from 0, of each stage: its share of all, rounded, and at least one.

    Raises:
        InputError: there are fewer epochs than stages.
    """
    if epochs < len(stages):
        named = ", ".join(stage.name for stage in stages)
        raise InputError(f"--loop.epochs {epochs} is too few for the {len(stages)} stages of this method ({named})")
    total, begun, first = sum(stage.share for stage in stages), 0.0, 0
    ranges = []
    for number, stage in enumerate(stages):
        begun += stage.share
        left = len(stages) - number - 1
        last = min(max(round(epochs * begun / total), first + 1), epochs - left)
        ranges.append(range(first, last))
        first = last
    return ranges


def learning_rate_factor(options: LoopOptions, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Factor on the learning rate at an optimizer step of a stage, counted from 0.

    Args:
        options: schedule, decay and warm-up.
        step: of the stage.
        steps_per_epoch: optimizer steps.
        epochs: of the stage.
    """
    if step < options.warmup_steps:
        return (step + 1) / options.warmup_steps
    if options.schedule == "constant":
        return 1.0
    if options.schedule == "step":
        return float(options.lr_decay ** (step // steps_per_epoch))
    total = epochs * steps_per_epoch
    share = (step - options.warmup_steps) / max(1, total - options.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
