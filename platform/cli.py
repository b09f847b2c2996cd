"""The front door: `raylign <command> [arguments]`.

It alone knows every room, and imports one only when its command runs, so that `raylign --help` stays fast. A command is
a function `main(arguments) -> exit status | None` in the room that does the work.

Exit status: 0 done; 2 the input is wrong (one clear line); 3 no reliable alignment was found; 1 anything else.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence

from ..methods.errors import InputError, RaylignError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("..platform.demo:main", "the whole chain on this machine, small, with a report at the end"),
    "render": ("..rendering.command:main", "render a dataset, with Blender or without"),
    "data": ("..platform.data.command:main", "look into a dataset: info, preview, verify its ground truth"),
    "train": ("..platform.training.command:main", "train a method on a dataset"),
    "tune": ("..tune.command:main", "search a method's hyperparameters"),
    "evaluate": ("..platform.evaluation.command:main", "one table for all methods"),
    "study": ("..platform.study.command:main", "an ablation study: variants and seeds, one table"),
    "align": ("..platform.align_command:main", "align picture files"),
    "promote": ("..platform.models_command:promote", "make a trained model the champion"),
    "models": ("..platform.models_command:models", "list the trained models"),
    "serve": ("..serve.command:main", "serve the champion over HTTP"),
    "submit": ("..platform.submit_command:main", "run one of these as a Ray job on a cluster"),
    "doctor": ("..platform.doctor:main", "say what this machine has and what is wrong"),
}


def usage() -> str:
    """The help text of `raylign --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: raylign COMMAND [ARGUMENTS]",
            "",
            "Train, compare, tune and serve image-alignment methods on rendered ground truth.",
            "",
            *lines,
            "",
            "'raylign COMMAND --help' tells more. New here? Run 'raylign demo'.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    name, rest = arguments[0], arguments[1:]
    if name in ("-V", "--version"):
        from importlib.metadata import version

        print(f"raylign {version('raylign')}")
        return 0
    try:
        if name not in COMMANDS:
            raise InputError(f"unknown command '{name}'; choose one of {', '.join(COMMANDS)}")
        module, _, function = COMMANDS[name][0].partition(":")
        status = getattr(importlib.import_module(module, __package__), function)(rest)
        return int(status or 0)
    except RaylignError as error:
        return _fail(name, str(error), error.exit_status)
    except KeyboardInterrupt:
        return _fail(name, "interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        # The reader of our output has gone (`raylign models | head`); nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            place = f" ({error.filename})" if error.filename else ""
            return _fail(name, f"no space left on the disk{place}; free some and run the same command again", 2)
        raise


def _fail(command: str, message: str, status: int) -> int:
    print(f"raylign {command}: error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
