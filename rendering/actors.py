"""The render actor: one process, one Blender, one shard at a time.

Only strings, numbers and dictionaries of them cross between the driver and an actor, for the actor may run in another
Python environment with another NumPy. Pictures never pass through the driver: the actor writes its shard itself.

The driver asks for one scene at a time. So it knows which scene was being rendered when a process died, it counts
scenes and not shards, and a shard whose actor is lost is made again elsewhere from its first scene: scenes do not
depend on each other, hence the bytes are the same.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..methods.errors import InputError
from .kinds import Device
from .temporary import own_temporary_folder

Answer = dict[str, Any]
"""`status` is `done`, `failed` (this scene, with `reason`) or `stop` (nobody could go on, with `reason`)."""

LEAST_FREE = 4 << 20
"""Bytes of temporary space without which a failed scene means a full disk: Blender only says that it wrote nothing."""


class RenderWorker:
    """Renders scenes into shards. Wrapped by `ray.remote` where it is used."""

    def __init__(self, kind: str, url: str, pictures: str | None, threads: int, device: Device) -> None:
        """Remember where things are; Blender is loaded by `hello`, where a failure can be told.

        Args:
            kind: the kind of scenes.
            url: the dataset.
            pictures: folder of the user's pictures, seen from the actor's machine; None for scikit-image's.
            threads: threads for Cycles: the CPUs that Ray reserved.
            device: what Cycles computes on.
        """
        self._kind, self._url, self._pictures, self._threads, self._device = kind, url, pictures, threads, device
        self._temporary = own_temporary_folder()
        self._writer: Any = None

    def hello(self) -> Answer:
        """Load what the scenes need; says Blender's version and where the process runs."""
        import ray

        try:
            import webdataset  # noqa: F401  the shards' library, now: a scene's time is its own

            from .kinds import kind, part

            found = kind(self._kind)
            if found.blender:
                with _few_cpus(self._threads):
                    from .blender.engine import blender_version, check_device
            self._read, self._render = part(found.read), part(found.render)
        except ImportError as error:
            version = ".".join(map(str, sys.version_info[:2]))
            reason = f"the render processes' Python {version} lacks raylign[render] ({error})"
            return {"status": "stop", "reason": reason}
        node = f"{os.uname().nodename}/{ray.get_runtime_context().get_node_id()[:4]}"
        try:
            if found.blender:
                check_device(self._device)
            elif self._device != "cpu":
                raise ValueError(f"'{self._kind}' is made on the CPU")
        except Exception as error:
            return {"status": "stop", "reason": f"--device {self._device}: {error} ({node}); use --device cpu"}
        return {"status": "done", "blender": blender_version() if found.blender else None, "node": node}

    def render(self, shard: str, scene: str) -> Answer:
        """Render one scene, given as JSON, into the shard; the first call for a shard opens it."""
        from ..platform.data.shards import ShardWriter, write_error

        start = time.monotonic()
        try:
            spec = self._read(scene)
            fields = self._render(spec, self._pictures, self._threads, self._device)
        except InputError as error:
            return _answer("stop", error)
        except Exception as error:  # whatever else it is, it concerns this scene alone, and the job goes on
            place = self._temporary.name
            # A full disk makes Blender write nothing, and a folder that somebody swept away as well.
            Path(place).mkdir(exist_ok=True)
            if shutil.disk_usage(place).free < LEAST_FREE:
                return _answer("stop", write_error(place, OSError(errno.ENOSPC, "")))
            return {"status": "failed", "reason": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        try:
            if self._writer is None:
                self._writer = ShardWriter(self._url, shard)
            self._writer.write(spec.key, fields)
        except (InputError, OSError) as error:
            return _answer("stop", error)
        # In a tar file each field has a header and is padded to whole blocks, of 512 bytes both.
        size = sum(512 * (1 - -len(content) // 512) for content in fields.values())
        return {"status": "done", "seconds": time.monotonic() - start, "bytes": size}

    def publish(self) -> Answer:
        """Publish the shard; says how much memory this process holds, in MiB."""
        import psutil

        writer, self._writer = self._writer, None
        try:
            writer.close()
        except (InputError, OSError) as error:
            return _answer("stop", error)
        return {"status": "done", "memory": psutil.Process().memory_info().rss / 2**20}


@contextlib.contextmanager
def _few_cpus(count: int) -> Iterator[None]:
    """Let Blender, imported in here, take its machine to have as many CPUs as this process reserved.

    Its thread pool is made for all CPUs that the process may use, whatever the renderer is told later, and threads that
    find no work spin for a while: beside a second renderer that costs small pictures a tenth of all time. What counts
    is the moment of the import; afterwards the process may run anywhere again.
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _answer(status: str, error: Exception) -> Answer:
    return {"status": status, "reason": " ".join(str(error).split())}
