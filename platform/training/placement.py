"""How many workers a training gets on a cluster, and what each of them may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...methods.errors import InputError

Node = tuple[int, int]
"""CPUs and GPUs of a machine."""


@dataclass(frozen=True)
class Placement:
    """The workers of a training."""

    least: int
    """Workers below which it waits for machines."""
    most: int
    """Workers that it wants."""
    cpus: int
    """CPUs of each."""
    gpu: bool
    """Whether each has a GPU."""

    def scaling(self) -> Any:
        """Ray Train's `ScalingConfig`."""
        import ray.train

        options: dict[str, Any] = {"num_workers": self.most}
        if self.least < self.most:
            # Looked at so often whether machines have come or gone.
            options = {"num_workers": (self.least, self.most), "elastic_resize_monitor_interval_s": 20.0}
        resources = {"CPU": self.cpus, **({"GPU": 1} if self.gpu else {})}
        return ray.train.ScalingConfig(use_gpu=self.gpu, resources_per_worker=resources, **options)


def place(nodes: Sequence[Node], workers: int, min_workers: int) -> Placement:
    """Share a cluster's machines among workers: a GPU each where there are any, and as many CPUs as all can have.

    Args:
        nodes: of the cluster.
        workers: that are wanted.
        min_workers: that the training may go on with; 0 means `workers`, no fewer.

    Raises:
        InputError: the cluster is too small.
    """
    least = min_workers or workers
    gpus = sum(gpu for _, gpu in nodes)
    # Where there are GPUs, every worker has one.
    room = gpus or sum(cpu for cpu, _ in nodes)
    unit = "GPU" if gpus else "CPU"
    if room < least:
        raise InputError(
            f"--workers {workers} needs {least} {unit}s, one for each worker, and the cluster has {room} on "
            f"{len(nodes)} machine{'s' * (len(nodes) != 1)}; ask for at most {room}, or add machines"
        )
    now = min(workers, room)
    cpus = 1
    while _fits(nodes, now, cpus + 1, bool(gpus)):
        cpus += 1
    return Placement(least, workers, cpus, bool(gpus))


def _fits(nodes: Sequence[Node], workers: int, cpus: int, gpu: bool) -> bool:
    return sum(min(cpu // cpus, gpus) if gpu else cpu // cpus for cpu, gpus in nodes) >= workers


def machines() -> list[Node]:
    """The machines of the cluster that this process is connected to."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(int(each.get("CPU", 0)), int(each.get("GPU", 0))) for each in alive]
