"""The render actor: one process, one Blender, one shard at a time.

Only strings, numbers and dictionaries of them cross between the driver and an actor, for the actor may run in another
Python environment with another NumPy. Pictures never pass through the driver: the actor writes its shard itself.

The driver asks for one scene at a time. So it knows which scene was being rendered when a process died, it counts
scenes and not shards, and a shard whose actor is lost is made again elsewhere from its first scene: scenes do not
depend on each other, hence the bytes are the same.
"""

from __future__ import annotations

import errno
import resource
import shutil
import sys
import tempfile
import time
from typing import Any

from ..methods.errors import InputError

Answer = dict[str, Any]
"""`status` is `done`, `failed` (this scene, with `reason`) or `stop` (nobody could go on, with `reason`)."""

LEAST_FREE = 4 << 20
"""Bytes of temporary space without which a failed scene means a full disk: Blender only says that it wrote nothing."""


class RenderWorker:
    """Renders scenes into shards. Wrapped by `ray.remote` where it is used."""

    def __init__(self, url: str, pictures: str | None, threads: int) -> None:
        """Remember where things are; Blender is loaded by `hello`, where a failure can be told.

        Args:
            url: the dataset.
            pictures: folder of the user's pictures, seen from the actor's machine; None for scikit-image's.
            threads: threads for Cycles: the CPUs that Ray reserved.
        """
        self._url, self._pictures, self._threads = url, pictures, threads
        self._writer: Any = None

    def hello(self) -> Answer:
        """Load what the scenes need; says Blender's version."""
        try:
            import webdataset  # noqa: F401  the shards' library, now: a scene's time is its own

            from .blender.engine import blender_version
        except ImportError as error:
            version = ".".join(map(str, sys.version_info[:2]))
            reason = f"the render processes' Python {version} lacks raylign[render] ({error})"
            return {"status": "stop", "reason": reason}
        return {"status": "done", "blender": blender_version()}

    def render(self, shard: str, scene: str) -> Answer:
        """Render one scene, given as JSON, into the shard; the first call for a shard opens it."""
        from ..platform.data.shards import ShardWriter, write_error
        from .blender.scene import render_scene
        from .scenes import SceneSpec

        spec = SceneSpec.from_json(scene)
        start = time.monotonic()
        try:
            fields = render_scene(spec, self._pictures, self._threads)
        except InputError as error:
            return _answer("stop", error)
        except Exception as error:  # whatever else it is, it concerns this scene alone, and the job goes on
            place = tempfile.gettempdir()
            if shutil.disk_usage(place).free < LEAST_FREE:
                return _answer("stop", write_error(place, OSError(errno.ENOSPC, "")))
            return {"status": "failed", "reason": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        try:
            if self._writer is None:
                self._writer = ShardWriter(self._url, shard)
            self._writer.write(spec.key, fields)
        except (InputError, OSError) as error:
            return _answer("stop", error)
        return {"status": "done", "seconds": time.monotonic() - start}

    def publish(self) -> Answer:
        """Publish the shard; says the size of this process, in MiB."""
        writer, self._writer = self._writer, None
        try:
            writer.close()
        except (InputError, OSError) as error:
            return _answer("stop", error)
        return {"status": "done", "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _answer(status: str, error: Exception) -> Answer:
    return {"status": status, "reason": " ".join(str(error).split())}
