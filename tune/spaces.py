"""Search spaces by name: which hyperparameters of a method a sweep tries, and in which ranges.

A space is plain data, so it pickles with the searcher, prints in a help text and is checked in a test. A key is the
dotted name of a `TrainingSpec` field, as the flags of `raylign train` have it: `loop.lr`, `model.levels`; or that of an
inference option of a trained model, `inference.guidance`: a space has either the ones or the others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..methods.errors import InputError
from ..platform.inference import Chosen, default_inference
from ..platform.training.options import TrainingSpec

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Real:
    """A real number in `[low, high]`."""

    low: float
    high: float
    log: bool = False
    """Search the exponent: every decade gets equally many trials."""

    def suggest(self, trial: optuna.Trial, name: str) -> float:
        """Ask Optuna for a value."""
        return float(trial.suggest_float(name, self.low, self.high, log=self.log))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and math.isfinite(value) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Integer:
    """A whole number in `[low, high]`, both ends included."""

    low: int
    high: int

    def suggest(self, trial: optuna.Trial, name: str) -> int:
        """Ask Optuna for a value."""
        return int(trial.suggest_int(name, self.low, self.high))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


@dataclass(frozen=True)
class Choice:
    """One of a few values without an order."""

    values: tuple[str | float | bool, ...]

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """Ask Optuna for a value."""
        return trial.suggest_categorical(name, self.values)

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return " | ".join(map(str, self.values))


Range = Real | Integer | Choice
Space = Mapping[str, Range]
INFERENCE = "inference."
"""What the names of inference options begin with."""

# What every learned method has.
_OPTIMIZER: dict[str, Range] = {
    "loop.lr": Real(1e-5, 3e-3, log=True),
    "loop.weight_decay": Real(1e-6, 1e-2, log=True),
    "loop.grad_clip": Real(0.3, 10.0, log=True),
}

_SPACES: dict[str, dict[str, dict[str, Range]]] = {
    "crossscale": {
        "default": {
            "model.levels": Integer(0, 2),
            "model.jnd_weight": Real(0.0, 2.0),
            "loop.lr": Real(1e-5, 3e-3, log=True),
        },
        "weights": {
            "model.homography_content_weight": Real(0.3, 10.0, log=True),
            "model.shape_weight": Real(0.1, 100.0, log=True),
            "model.jnd_weight": Real(0.01, 10.0, log=True),
        },
        "inference": {
            "inference.adapt": Integer(0, 160),
            "inference.start": Choice(("auto", "network", "classical")),
        },
    },
    "adm": {
        "default": {
            "model.pixel_weight": Real(0.1, 10.0, log=True),
            "model.regularisation_weight": Real(0.01, 1.0, log=True),
            "loop.lr": Real(1e-5, 3e-3, log=True),
        },
        "networks": {
            "model.homography_network": Choice(("transformer", "cnn")),
            "model.displacement_network": Choice(("cnn", "transformer")),
            "model.patch_tokens": Choice((False, True)),
        },
        "inference": {
            "inference.guidance": Real(1e-3, 1.0, log=True),
            "inference.iterations": Integer(1, 4),
            "inference.steps": Integer(2, 100),
            "inference.solver": Choice(("ancestral", "ddim", "dpm")),
            "inference.start": Choice(("keypoints", "noise")),
            "inference.refinement": Choice((0, 30, 60)),
        },
    },
    "diar": {
        "default": {
            "model.aggregation": Choice(("softmax", "average", "deepsets")),
            "model.temporal_window": Integer(1, 3),
            "loop.lr": Real(1e-5, 3e-3, log=True),
        },
        "inference": {
            "inference.keypoints": Choice((False, True)),
            "inference.bundle": Choice((False, True)),
            "inference.refine": Choice((False, True)),
            "inference.scales": Integer(1, 9),
        },
    },
    "dmaligner": {
        "default": {
            "model.gamma": Real(0.5, 0.9),
            "model.dmp": Choice(("correlation", "features", "none")),
            "loop.lr": Real(1e-5, 3e-3, log=True),
        },
        "diffusion": {
            "model.prediction": Choice(("sample", "epsilon")),
            "model.min_snr": Choice((0.0, 5.0)),
            "model.dmp": Choice(("correlation", "features", "none")),
        },
        "inference": {
            "inference.solver": Choice(("ddim", "dpm")),
            "inference.steps": Integer(1, 50),
            "inference.keep_pixels": Choice((False, True)),
        },
    },
}


def space_names(method: str) -> list[str]:
    """Names of the spaces of a method; `default` is the first."""
    return list(dict.fromkeys(["default", *_SPACES.get(method, {}), "optimizer"]))


def search_space(method: str, name: str) -> Space:
    """The space of a method by its name.

    Raises:
        InputError: there is none.
    """
    if name not in space_names(method):
        raise InputError(f"--space: {method} has no space '{name}'; choose one of {', '.join(space_names(method))}")
    return _SPACES.get(method, {}).get(name, _OPTIMIZER)


def searches_inference(space: Space) -> bool:
    """Whether a space is over inference options of a trained model, so that nothing is trained."""
    return any(name.startswith(INFERENCE) for name in space)


def suggest(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """Draw one point of the space (Optuna's define-by-run)."""
    return {name: each.suggest(trial, name) for name, each in space.items()}


def apply(spec: TrainingSpec, point: Mapping[str, Any]) -> TrainingSpec:
    """The specification with the values of a point put in.

    Args:
        spec: what to start from.
        point: dotted names to values.
    """
    parts: dict[str, dict[str, Any]] = {"loop": {}, "augment": {}, "model": {}}
    for name, value in point.items():
        part, _, key = name.partition(".")
        parts[part][key] = value
    return dataclasses.replace(
        spec,
        loop=dataclasses.replace(spec.loop, **parts["loop"]),
        augment={**spec.augment, **parts["augment"]},
        model={**spec.model, **parts["model"]},
    )


def start_point(space: Space, spec: TrainingSpec, fixed: Chosen = ()) -> dict[str, Any]:
    """The values that `spec` and the method have already, where they lie in their ranges: a sweep tries these first."""
    parts: dict[str, Mapping[str, Any]] = {"loop": vars(spec.loop), "augment": spec.augment, "model": spec.model}
    if searches_inference(space):
        parts["inference"] = default_inference(spec.method, fixed)
    point = {}
    for name, allowed in space.items():
        part, _, key = name.partition(".")
        value = parts[part].get(key)
        if value in allowed:
            point[name] = value
    return point
