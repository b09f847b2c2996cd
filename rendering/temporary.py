"""A folder for all temporary files of one render process, which outlives a kill by no more than the next start."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "raylign-render"


def own_temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Make the folder, put this process's temporary files there (Blender's as well), remove those of the dead.

    A process that is killed cannot tidy up. Its folder bears its machine's name and its number, so that the next one to
    start on the machine knows that nobody uses it any more.
    """
    root = Path(tempfile.gettempdir())
    host = os.uname().nodename
    for left in root.glob(f"{PREFIX}-{host}-*-*"):
        number = left.name.removeprefix(f"{PREFIX}-{host}-").partition("-")[0]
        if number.isdigit() and not _alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)
    folder = tempfile.TemporaryDirectory(prefix=f"{PREFIX}-{host}-{os.getpid()}-", dir=root, ignore_cleanup_errors=True)
    tempfile.tempdir = os.environ["TMPDIR"] = folder.name
    return folder


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
