"""raylign commands as processes of their own that never outlive the one that started them."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def start_command(arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a raylign command.

    Args:
        arguments: of `raylign`.
        options: of `subprocess.Popen`.
    """
    command = [sys.executable, "-m", "raylign.platform.cli", *arguments]
    return subprocess.Popen(command, preexec_fn=_die_with_parent, **options)


def _die_with_parent() -> None:
    """Have the kernel end the command when its parent is killed (Linux): nothing goes on unseen, in a folder of
    another."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
