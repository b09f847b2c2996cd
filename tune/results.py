"""What a finished sweep leaves in its folder: tables, the best configuration and a page."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from ..platform.runs import write_text
from .records import TrialRecord, as_csv, best_record
from .report import sweep_report
from .spaces import apply, search_space

if TYPE_CHECKING:
    from .sweep import SweepSettings


def write_results(settings: SweepSettings, folder: Path, records: list[TrialRecord]) -> list[Path]:
    """Write `results.csv`, `results.json`, `best.yaml` and `report.html`; returns the paths of those that exist.

    `best.yaml` is a configuration for `raylign train --config`; without a trial that gave a number there is none, and
    none where nothing was trained.

    Raises:
        InputError: the place is full or not writable.
    """
    best = best_record(records)
    write_text(folder / "results.csv", as_csv(records))
    content = {
        "settings": settings.plain(),
        "best": best.plain() if best else None,
        "trials": [record.plain() for record in records],
    }
    write_text(folder / "results.json", json.dumps(content, indent=1, allow_nan=False))
    if best is not None and not settings.checkpoint:
        spec = json.loads(json.dumps(asdict(apply(settings.spec, best.params))))
        write_text(folder / "best.yaml", yaml.safe_dump(spec, sort_keys=False))
    space = search_space(settings.spec.method, settings.space)
    title = f"raylign: sweep {folder.name}"
    use = use_best(settings, folder, best) if best is not None else ""
    grace = None if settings.checkpoint else settings.grace
    write_text(folder / "report.html", sweep_report(title, records, space, grace=grace, use=use))
    names = ("results.csv", "results.json", "best.yaml", "report.html", "config.yaml")
    return [folder / name for name in names if (folder / name).exists()]


def use_best(settings: SweepSettings, folder: Path, best: TrialRecord) -> str:
    """The command that takes the best point of a sweep."""
    if not settings.checkpoint:
        return f"raylign train --config {folder / 'best.yaml'}"
    from .inference import chosen_options

    options = chosen_options(settings.spec.method, settings.inference, best.params)
    told = " ".join(f"{name}={value}" for name, value in options)
    return f"raylign align REF SRC -o OUT --checkpoint {settings.checkpoint} --set {told}"
