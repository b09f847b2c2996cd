"""What is studied: the file that `raylign study` reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...methods.errors import InputError
from ..evaluation.results import BY_NAME
from ..runs import read_yaml

Relation = Literal["<", "<="]

_KEYS = (*("method", "data", "test", "seeds", "base", "variants", "budget", "orders", "metric", "inference", "limit"),)
_NEEDED = ("method", "data", "test", "seeds", "variants")
_PARTS = ("loop", "augment", "model")
_RELATION = re.compile(r"\s+(<=|<)\s+")


@dataclass(frozen=True)
class Budget:
    """What every training gets; both None leave it to the options of the base."""

    steps: int | None = None
    """Optimizer steps."""
    minutes: float | None = None
    """Time of the optimizer steps, validation not counted."""


@dataclass(frozen=True)
class Order:
    """A claim: by the metric of the study, `worse` is worse than `better` (`<`), or at most as good (`<=`)."""

    worse: str
    relation: Relation
    better: str

    def __str__(self) -> str:
        return f"{self.worse} {self.relation} {self.better}"


@dataclass(frozen=True)
class Study:
    """A study file, checked as far as it can be without knowing the method's options."""

    method: str
    data: str
    """Dataset to train on, where a variant does not name another."""
    tests: tuple[tuple[str, str], ...]
    """Label (empty: what `raylign evaluate` calls it) and URL of each dataset to measure on."""
    seeds: tuple[int, ...]
    variants: dict[str, dict[str, Any]]
    """Options by their names as flags (`model.levels`), those of the base included; `data` is a dataset of its own."""
    budget: Budget
    orders: tuple[Order, ...]
    metric: str | None
    """By which orders are checked; None for the metric that ranks methods in `raylign evaluate`."""
    inference: str
    """Inference options of the measured models, as `raylign evaluate --methods NAME[...]` takes them."""
    limit: int | None
    """At most so many cases of each test dataset."""


def read_study(path: Path) -> Study:
    """Read a study file.

    Raises:
        InputError: it cannot be read, or a key is unknown, missing or has a wrong value; the line names file and key.
    """
    content = read_yaml(path)
    try:
        return _study(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _study(content: dict[str, Any]) -> Study:
    unknown = [str(key) for key in content if key not in _KEYS]
    if unknown:
        raise InputError(f"unknown key {', '.join(unknown)}; a study has {', '.join(_KEYS)}")
    missing = [key for key in _NEEDED if content.get(key) in (None, [], {}, "")]
    if missing:
        raise InputError(f"{', '.join(missing)} missing; a study needs {', '.join(_NEEDED)}")
    for key in ("method", "data", "inference"):
        if not isinstance(content.get(key, ""), str):
            raise InputError(f"{key}: must be a text, not {content[key]!r}")
    base = _options(content.get("base"), "base")
    named = content["variants"]
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named):
        raise InputError("variants: must map names (texts) to options")
    bad = [name for name in named if _RELATION.search(name) or not name.strip()]
    if bad:
        raise InputError(
            f"variants: {bad[0]!r} cannot name a variant, because orders are written with ' < ' and ' <= '"
        )
    variants = {name: base | _options(own, f"variants: {name}", also=("data",)) for name, own in named.items()}
    limit = content.get("limit")
    if limit is not None and not _whole(limit, 1):
        raise InputError(f"limit: must be a whole number from 1, not {limit!r}")
    return Study(
        method=content["method"],
        data=content["data"],
        tests=_tests(content["test"]),
        seeds=_seeds(content["seeds"]),
        variants=variants,
        budget=_budget(content.get("budget")),
        orders=_orders(content.get("orders") or [], variants),
        metric=_metric(content.get("metric")),
        inference=content.get("inference", ""),
        limit=limit,
    )


def _options(content: Any, where: str, also: tuple[str, ...] = ()) -> dict[str, Any]:
    """Options of `raylign train` by the names of their flags, of its parts and those named in `also`."""
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{where}: must map options to values, as 'model.levels: 1' does")
    options: dict[str, Any] = {}
    for key, value in content.items():
        name = str(key).replace("_", "-")
        if name not in also and (name.partition(".")[0] not in _PARTS or "." not in name):
            told = [*(f"start with {part}." for part in _PARTS), *(f"are {each}" for each in also)]
            raise InputError(f"{where}: '{key}' is no option; they {', '.join(told)}")
        if name == "loop.seed":
            raise InputError(f"{where}: '{key}' is what 'seeds' tells; leave it out")
        if name == "data" and not isinstance(value, str):
            raise InputError(f"{where}: data: must be a text, not {value!r}")
        if isinstance(value, dict):
            raise InputError(f"{where}: {key}: must be a value, not a mapping; write its options with dots")
        options[name] = value
    return options


def _tests(content: Any) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for each in content if isinstance(content, list) else [content]:
        pairs = list(each.items()) if isinstance(each, dict) else [("", each)]
        if not pairs or not all(isinstance(label, str) and isinstance(url, str) and url for label, url in pairs):
            raise InputError(f"test: {each!r} is no dataset; give PATH, PATH#SPLIT or 'label: PATH'")
        found += pairs
    labels = [label for label, _ in found if label]
    if len(set(labels)) < len(labels):
        raise InputError("test: two datasets have the same label")
    return tuple(found)


def _seeds(content: Any) -> tuple[int, ...]:
    if not isinstance(content, list) or not all(_whole(seed, 0) for seed in content):
        raise InputError(f"seeds: must be a list of whole numbers from 0, not {content!r}")
    if len(set(content)) < len(content):
        raise InputError("seeds: one is given twice")
    return tuple(content)


def _budget(content: Any) -> Budget:
    if content is None:
        return Budget()
    if not isinstance(content, dict) or len(content) != 1 or not set(content) <= {"steps", "minutes"}:
        raise InputError(f"budget: must be 'steps: N' or 'minutes: N', not {content!r}")
    steps, minutes = content.get("steps"), content.get("minutes")
    if steps is not None and not _whole(steps, 1):
        raise InputError(f"budget: steps must be a whole number from 1, not {steps!r}")
    if minutes is not None and (isinstance(minutes, bool) or not isinstance(minutes, int | float) or minutes <= 0):
        raise InputError(f"budget: minutes must be a number above 0, not {minutes!r}")
    return Budget(steps, minutes)


def _orders(content: Any, variants: dict[str, Any]) -> tuple[Order, ...]:
    if not isinstance(content, list):
        raise InputError("orders: must be a list of texts like 'A < B' or 'A < B <= C'")
    orders = []
    for text in content:
        parts = _RELATION.split(str(text).strip())
        if len(parts) < 3:
            raise InputError(
                f"orders: {text!r} is none; write 'A < B' (B is better) or 'A <= B' (B is as good or better)"
            )
        for name in parts[::2]:
            if name not in variants:
                raise InputError(f"orders: {text!r}: '{name}' is no variant; there is {', '.join(variants)}")
        for place in range(0, len(parts) - 2, 2):
            orders.append(Order(parts[place], "<" if parts[place + 1] == "<" else "<=", parts[place + 2]))
    return tuple(orders)


def _metric(name: Any) -> str | None:
    known = [metric.name for metric in BY_NAME.values() if metric.per_case]
    if name is not None and name not in known:
        raise InputError(f"metric: {name!r} is not one of {', '.join(known)}")
    return name


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
