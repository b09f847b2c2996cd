"""A bare Blender process: renders the scenes it gets, one JSON a line, and writes nothing. No Ray, no farm.

Run as `python bare_blender.py KIND`; says `ready`, waits for the scenes, then says when each was done, in
monotonic seconds.
"""

from __future__ import annotations

import sys
import time

from raylign.rendering.kinds import kind, part


def main(name: str) -> None:
    chosen = kind(name)
    read, render = part(chosen.read), part(chosen.render)
    print("ready", flush=True)
    scenes = sys.stdin.read().splitlines()
    print(f"start {time.monotonic()}", flush=True)
    for scene in scenes:
        render(read(scene), None, 1, "cpu")
        print(f"done {time.monotonic()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
