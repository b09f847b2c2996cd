"""Command-line arguments from dataclasses (tyro), with every mistake told in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from ..methods.errors import InputError

T = TypeVar("T")


def parse(options: type[T], arguments: Sequence[str], command: str, *, default: T | None = None) -> T:
    """Read `arguments` into the dataclass `options`; field docstrings are the help texts.

    Args:
        options: a dataclass.
        arguments: what follows the command's name.
        command: the command, for example `render sidar`.
        default: the values to start from, instead of those in `options`.

    Raises:
        InputError: an argument is missing, unknown, or has a wrong value; the line names it.
        SystemExit: with status 0, after `--help`.
    """
    import tyro
    from tyro import _errors

    prog = f"raylign {command}"

    def tell(event: _errors.ParseErrorEvent) -> None:
        line = _one_line(event)
        if line:
            raise InputError(f"{line} (see '{prog} --help')")

    extra: dict[str, Any] = {} if default is None else {"default": default}
    with _errors.on_parse_error(tell):
        return tyro.cli(options, prog=prog, args=list(arguments), **extra)


def _one_line(event: Any) -> str | None:
    """The one-line form of a parse error of tyro; None leaves it to tyro's own panel."""
    match type(event).__name__:
        case "MissingArgs":
            missing = ", ".join(_name(each.arg) for each in event.missing_arguments)
            unknown = f"; unknown: {' '.join(event.unrecognized_tokens)}" if event.unrecognized_tokens else ""
            return f"missing {missing}{unknown}"
        case "UnrecognizedArgs":
            return f"unknown option {' '.join(event.tokens)}"
        case "InvalidChoice":
            return f"{_name(event.argument)}: '{event.value}' is not one of {', '.join(event.choices)}"
        case "BadValue":
            return f"{_name(event.argument)}: a value is missing or not allowed here"
        case "InstantiationFailure":
            where = f"{_name(event.argument)}: " if event.argument is not None else ""
            return where + " ".join(str(event.message).split())
    return None


def _name(argument: Any) -> str:
    lowered = argument.lowered
    return str(lowered.metavar) if argument.is_positional() else str(lowered.name_or_flags[-1])
