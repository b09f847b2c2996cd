"""Which trainings a study is made of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ...methods.errors import InputError, RaylignError
from ..arguments import parse
from ..runs import write_text
from ..training.command import spec_options, to_spec
from ..training.history import read_history
from ..training.options import TrainingSpec, spec_to_dict
from .options import Budget, Study

_NOT_IN_NAMES = re.compile(r"[^\w.=+-]+")
_LONGEST = 40
"""Letters of a variant in the name of a run."""


@dataclass(frozen=True)
class Training:
    """One variant with one seed."""

    variant: str
    seed: int
    spec: TrainingSpec
    folder: Path
    """Its run folder. The name has a digest of everything that decides the training, so that a change of a variant's
    options is another training and leaves those of the other variants alone."""

    @property
    def checkpoint(self) -> Path:
        """The folder of its best checkpoint, once it is done."""
        return self.folder / "checkpoint"

    @property
    def done(self) -> bool:
        """Whether it was trained to its end."""
        return (self.folder / "done.json").exists() and self.checkpoint.is_dir()

    @property
    def plain(self) -> dict[str, Any]:
        """Its specification as `config.yaml` holds it."""
        content: dict[str, Any] = json.loads(json.dumps(spec_to_dict(self.spec)))
        return content

    def write_config(self) -> Path:
        """Write `config.yaml`, which `raylign train --config` takes; returns its path."""
        path = self.folder / "config.yaml"
        if not path.exists():
            write_text(path, yaml.safe_dump(self.plain, sort_keys=False))
        return path

    def steps(self) -> float | None:
        """Optimizer steps that were taken; None before it is done."""
        history = read_history(self.folder) if self.done else []
        return sum(epoch["steps"] for epoch in history) if history else None

    def minutes(self) -> float | None:
        """Time of these steps, without validation; None before it is done."""
        history = read_history(self.folder) if self.done else []
        return sum(epoch["seconds"] for epoch in history) / 60 if history else None


def variant_specs(study: Study) -> dict[str, TrainingSpec]:
    """The specification of each variant, with seed 0 and without a budget in minutes.

    Raises:
        InputError: an option is unknown or has a wrong value, or two variants are the same; the line names the variant.
    """
    specs: dict[str, TrainingSpec] = {}
    for name, options in study.variants.items():
        try:
            arguments = _flags({"data": study.data} | options)
            spec = to_spec(study.method, parse(spec_options(study.method), arguments, f"train {study.method}"))
            spec = _within(spec, study.budget, options)
            spec.loop.check(1)
        except RaylignError as error:
            raise InputError(f"variant '{name}': {error}") from None
        same = next((other for other, known in specs.items() if known == spec), None)
        if same is not None:
            raise InputError(f"variants '{same}' and '{name}' are the same training; change or remove one of them")
        specs[name] = spec
    return specs


def make_trainings(specs: dict[str, TrainingSpec], seeds: Sequence[int], folder: Path) -> list[Training]:
    """All trainings: every variant with the first seed, then with the next, so that each seed is a whole table.

    Args:
        specs: by variant; their steps are final.
        seeds: of weights, order and chance.
        folder: of the study.
    """
    trainings = []
    for seed in seeds:
        for variant, spec in specs.items():
            own = replace(spec, loop=replace(spec.loop, seed=seed))
            name = f"{_NOT_IN_NAMES.sub('-', variant).strip('-.')[:_LONGEST]}-s{seed}-{digest(own)}"
            trainings.append(Training(variant, seed, own, folder / "train" / name))
    return trainings


def digest(spec: TrainingSpec) -> str:
    """Eight characters that change with anything that decides a training."""
    content = json.dumps(spec_to_dict(spec), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def count_parameters(spec: TrainingSpec) -> int:
    """Trained and frozen weights of the model, without the statistics of its norms.

    Raises:
        InputError: a model option has an impossible value.
    """
    from ..training.loop import build_model

    return sum(weight.numel() for weight in build_model(spec).parameters())


def _flags(options: dict[str, Any]) -> list[str]:
    """Options as `raylign train` takes them on the command line."""
    arguments: list[str] = []
    for name, value in options.items():
        if isinstance(value, bool):
            part, _, option = name.partition(".")
            arguments.append(f"--{name}" if value else f"--{part}.no-{option}")
        else:
            arguments += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return arguments


def _within(spec: TrainingSpec, budget: Budget, options: dict[str, Any]) -> TrainingSpec:
    """The specification with the steps of the budget, divided over its epochs."""
    if budget != Budget() and options.get("loop.steps-per-epoch") is not None:
        raise InputError("loop.steps-per-epoch is what 'budget' decides; leave one of them out")
    if budget.steps is None:
        return spec
    if budget.steps % spec.loop.epochs:
        raise InputError(
            f"the budget of {budget.steps} steps cannot be divided evenly over loop.epochs {spec.loop.epochs}; change "
            "one of them"
        )
    return replace(spec, loop=replace(spec.loop, steps_per_epoch=budget.steps // spec.loop.epochs))
