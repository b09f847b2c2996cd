"""The check that the settings of every kind of scenes pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from ..methods.errors import InputError


def check_settings(config: Any, at_least: Mapping[str, float], at_most: Mapping[str, float]) -> None:
    """Check a dataclass of numbers, ranges `(low, high)` and choices.

    Args:
        config: the settings.
        at_least: the least value of a number, or of a range's low end, by name.
        at_most: the most of a number, or of a range's high end.

    Raises:
        InputError: a setting is out of its bounds; the line names its flag.
    """
    kinds = get_type_hints(type(config))
    for each in fields(config):
        value = getattr(config, each.name)
        if isinstance(value, tuple) and not value:
            raise InputError(f"{_flag(each.name)}: name at least one")
        values = value if isinstance(value, tuple) else (value,)
        if isinstance(values[0], str):
            # `Literal[...]` or `tuple[Literal[...], ...]`.
            choices = (
                get_args(get_args(kinds[each.name])[0]) if isinstance(value, tuple) else get_args(kinds[each.name])
            )
            wrong = [one for one in values if one not in choices]
            if wrong:
                raise InputError(f"{_flag(each.name)}: '{wrong[0]}' is not one of {', '.join(choices)}")
            continue
        if not all(math.isfinite(number) for number in values):
            raise InputError(f"{_flag(each.name)}: not a finite number")
        if not values[0] <= values[-1]:
            raise InputError(f"{_flag(each.name)}: {values[0]} to {values[-1]} is not a range from low to high")
        if values[0] < at_least.get(each.name, -math.inf):
            raise InputError(f"{_flag(each.name)}: {values[0]} is below {at_least[each.name]}")
        if values[-1] > at_most.get(each.name, math.inf):
            raise InputError(f"{_flag(each.name)}: {values[-1]} is above {at_most[each.name]}")


def _flag(name: str) -> str:
    return "--scene." + name.replace("_", "-")
