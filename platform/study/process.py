"""A raylign command as a process of its own: whatever happens to it, the study goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..children import start_command


def run_command(arguments: Sequence[str], log: Path) -> str:
    """Run a raylign command to its end.

    Args:
        arguments: of `raylign`.
        log: file that its messages are added to; they appear here as well.

    Returns:
        Why it failed, in one line; empty where it did not.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    said = b""
    # A file, not a pipe: what a killed command leaves running would hold a pipe open.
    with log.open("ab") as sink, log.open("rb") as source:
        source.seek(0, 2)
        process = start_command(arguments, stdout=subprocess.DEVNULL, stderr=sink)
        try:
            while True:
                ended = process.poll() is not None
                told = source.read()
                said += told
                sys.stderr.write(told.decode("utf-8", "replace"))
                sys.stderr.flush()
                if ended:
                    break
                time.sleep(0.1)
        except BaseException:
            process.terminate()
            process.wait(timeout=30)
            raise
    return _reason(process.returncode, said.decode("utf-8", "replace")) if process.returncode else ""


def _reason(status: int, said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for line in reversed(lines):
        head, found, message = line.partition(": error: ")
        if found and head.startswith("raylign "):
            return message
    if status < 0:
        return f"killed by signal {signal.Signals(-status).name}"
    return lines[-1] if lines else f"exit status {status}"
