"""`python -m raylign.rendering.blender.probe_asset FILE`: what a user's file holds, as JSON on standard output.

It is a program of its own because a broken file can take Blender with it, and its process has bounds: whoever starts
it loses no more than this one. Without a file it says whether Blender starts.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

MOST_MEMORY = 8 << 30
"""Bytes of address space; Blender itself takes less than two."""
MOST_SECONDS = 150
"""Of a processor's time."""


def main(arguments: list[str]) -> int:
    """Print what the file holds, or `reason`: why it cannot be used."""
    for kind, most in (
        (resource.RLIMIT_AS, MOST_MEMORY),
        (resource.RLIMIT_CPU, MOST_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        _bound(kind, most)
    # Each thread of Blender's takes address space; one is enough.
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[os.getpid() % len(allowed)]})
    # Blender is imported under the bounds.
    from ..errors import RenderError
    from .assets import measure
    from .engine import fresh_scene, silence

    with silence():
        scene = fresh_scene(8, 8, 1)
        try:
            answer = measure(scene, Path(arguments[0])) if arguments else {}
        except RenderError as error:
            answer = {"reason": str(error)}
        except MemoryError:
            answer = {"reason": f"is enormous: takes more than {MOST_MEMORY >> 30} GiB of memory"}
    print(json.dumps(answer))
    return 0


def _bound(kind: int, most: int) -> None:
    """Take no more of a resource, and no more than the user's own bound."""
    hard = resource.getrlimit(kind)[1]
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (least, least))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
