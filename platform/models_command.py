"""`raylign models` lists the trained models, `raylign promote` makes one the champion."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from .arguments import parse

# What `raylign models` shows of all that a training measures: the field's own numbers, not the loop's.
_SHOWN_PREFIX = "val_"


@dataclass(frozen=True)
class PromoteOptions:
    """Make a trained model the champion, the one that 'raylign serve' loads."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A version number, a run's name, or a method's name (of several, the newest)."""
    tracking_uri: str | None = None
    """MLflow store; by default MLFLOW_TRACKING_URI, else runs/mlflow.db."""


@dataclass(frozen=True)
class ModelsOptions:
    """List the trained models, newest first."""

    json: bool = False
    """Print one JSON list instead of a table."""
    tracking_uri: str | None = None
    """MLflow store; by default MLFLOW_TRACKING_URI, else runs/mlflow.db."""


def promote(arguments: Sequence[str]) -> None:
    """`raylign promote MODEL`."""
    options = parse(PromoteOptions, arguments, "promote")
    from .models import promote as promote_model

    model = promote_model(options.model, options.tracking_uri)
    print(f"model {model.version} ({model.name}, {model.method}) is the champion now; 'raylign serve' loads it")


def models(arguments: Sequence[str]) -> None:
    """`raylign models`."""
    options = parse(ModelsOptions, arguments, "models")
    from .models import list_models

    found = list_models(options.tracking_uri)
    if options.json:
        print(json.dumps([_plain(model) for model in found], indent=1))
        return
    if not found:
        print("no models yet; 'raylign train METHOD --data URL' trains one ('raylign train --help' tells more)")
        return
    from rich.console import Console
    from rich.table import Column, Table

    table = Table("version", "method", "name", "validation", "champion", Column("date (UTC)", no_wrap=True))
    for model in found:
        shown = {key: value for key, value in model.metrics.items() if key.startswith(_SHOWN_PREFIX)}
        table.add_row(
            str(model.version),
            model.method,
            model.name,
            "\n".join(f"{key.removeprefix(_SHOWN_PREFIX)} {value:.4g}" for key, value in shown.items()),
            "yes" if "champion" in model.aliases else "",
            f"{model.created:%Y-%m-%d %H:%M}",
        )
    console = Console()
    if not console.is_terminal:
        console.width = 160  # a log or a pipe wraps nothing
    console.print(table)


def _plain(model: Any) -> dict[str, Any]:
    content = dataclasses.asdict(model)
    # JSON has no NaN.
    content["metrics"] = {key: value if math.isfinite(value) else None for key, value in model.metrics.items()}
    return content | {"checkpoint": str(model.checkpoint), "created": model.created.isoformat()}
