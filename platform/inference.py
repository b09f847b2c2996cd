"""What users choose anew at each alignment: texts such as `adapt=0` become a method's own `Inference`.

A learned method names its options in a frozen dataclass (`LearnedAligner.Inference`). The types of its fields say how
a text is read (int, float, bool, str, Literal), its `__post_init__` which values there are; nothing here knows any
method.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from ..methods.errors import InputError
from ..methods.registry import method_class

if TYPE_CHECKING:
    from ..methods.aligner import Aligner

Chosen = tuple[tuple[str, str], ...]
"""Options as they were given, (name, value), each name once, sorted; what is left out keeps the method's default."""


def read_choices(texts: Iterable[str], label: str) -> Chosen:
    """Options from texts `NAME=VALUE`.

    Args:
        texts: one for each option.
        label: what the error line calls them, for example `--set`.

    Raises:
        InputError: a text of another form, or a name that is given twice.
    """
    chosen: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise InputError(f"{label}: '{text}' is no option; give NAME=VALUE")
        if name in chosen:
            raise InputError(f"{label}: {name} is given twice; give it once")
        chosen[name] = value
    return tuple(sorted(chosen.items()))


def split_name(text: str, label: str) -> tuple[str, Chosen]:
    """`NAME[adapt=0,start=network]` as the name of a model and the options after it; none without brackets.

    Raises:
        InputError: there is something else than `NAME=VALUE`, separated by commas, between the brackets.
    """
    name, bracket, inside = text.removesuffix("]").partition("[")
    if not bracket or not text.endswith("]"):
        return text, ()
    return name, read_choices(inside.split(","), f"{label} {text}")


def check_inference(method: str, chosen: Chosen, label: str) -> Chosen:
    """Options that are sure to fit a method; they are given back as they are.

    Raises:
        InputError: the method has none of that name, or does not take the value; the line tells what there is.
    """
    if chosen:
        _inference(method_class(method), chosen, label)
    return chosen


def set_inference(aligner: Aligner, chosen: Chosen, label: str) -> None:
    """Have a method align with its defaults but for what is chosen, from now on.

    Raises:
        InputError: as `check_inference`; the method is left as it was.
    """
    from ..methods.aligner import LearnedAligner

    if isinstance(aligner, LearnedAligner):
        aligner.inference = aligner.settled(_inference(type(aligner), chosen, label))
    elif chosen:
        raise _unknown(aligner.name, {}, chosen[0][0], label)


def told_inference(aligner: Aligner) -> dict[str, Any]:
    """All options that a method aligns with now, ready for JSON; empty where it has none."""
    from ..methods.aligner import LearnedAligner

    return dataclasses.asdict(aligner.inference) if isinstance(aligner, LearnedAligner) else {}


def default_inference(method: str, chosen: Chosen) -> dict[str, Any]:
    """As `told_inference`, of a method that is not loaded, with options that fit it."""
    from ..methods.aligner import LearnedAligner

    cls = method_class(method)
    return dataclasses.asdict(_inference(cls, chosen, method)) if issubclass(cls, LearnedAligner) else {}


def _inference(cls: type[Aligner], chosen: Chosen, label: str) -> Any:
    """The method's own dataclass.

    Raises:
        InputError: a name or a value is wrong.
    """
    from ..methods.aligner import LearnedAligner

    options: Any = cls.Inference if issubclass(cls, LearnedAligner) else None
    kinds = get_type_hints(options) if options else {}
    values = {}
    for name, text in chosen:
        if name not in kinds:
            raise _unknown(cls.name, kinds, name, label)
        try:
            values[name] = _value(kinds[name], text)
        except (ValueError, KeyError):
            raise InputError(f"{label}: {name} must be {_told(kinds[name])}, not '{text}'") from None
    try:
        return options(**values)
    except InputError as error:
        raise InputError(f"{label}: {error}") from None


def _unknown(method: str, kinds: dict[str, Any], name: str, label: str) -> InputError:
    if not kinds:
        return InputError(f"{label}: '{method}' has no inference options; leave '{name}' out")
    there = ", ".join(f"{each} ({_told(kind)})" for each, kind in kinds.items())
    return InputError(f"{label}: '{method}' has no option '{name}'; it has {there}")


def _value(kind: Any, text: str) -> Any:
    """A text as a value of a field's type.

    Raises:
        ValueError, KeyError: it is none.
    """
    if get_origin(kind) is Literal:
        return {str(each): each for each in get_args(kind)}[text]
    if kind is bool:
        return {"true": True, "false": False}[text.lower()]
    value = kind(text)
    if kind is float and not math.isfinite(value):
        raise ValueError
    return value


def _told(kind: Any) -> str:
    """What a field takes, in words."""
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[kind]
