"""Trains on a Ray cluster of several machines in one, whose workers are killed and whose machines leave.

Run as `python cluster_training.py FOLDER SPEC.json SEED KILLS LEAVES [MIN_WORKERS]`: KILLS times a random worker gets
SIGKILL, at random moments within the training; LEAVES (0 or 1) says whether one machine leaves as hard. Without
MIN_WORKERS there is a spare machine, which takes its place. Writes `history.json` and `events.json`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import psutil
import ray
from ray.cluster_utils import Cluster

from raylign.platform.training.options import spec_from_dict
from raylign.platform.training.placement import Placement
from raylign.platform.training.ray_train import Listener, train_on_ray

WORKERS = 2


class Trouble:
    """Called with the progress of the training, by the thread that tells it: makes the next trouble when it is due."""

    def __init__(self, cluster: Cluster, rng: random.Random, kills: int, leaves: int) -> None:
        self.cluster, self.rng = cluster, rng
        self.plan = ["kill"] * kills
        for _ in range(leaves):
            self.plan.insert(rng.randrange(len(self.plan) + 1), "leave")
        self.due = rng.randrange(5, 40)
        self.done: list[str] = []
        self.waiting = False

    def __call__(self, metrics: dict[str, float]) -> None:
        step = int(metrics["epoch"] - 1) * int(metrics["steps"]) + int(metrics["step"])
        if self.waiting or not self.plan or step < self.due:
            return
        self.waiting = True
        trouble = self.plan.pop(0)
        self.done.append(f"{trouble} at step {step}")
        print(self.done[-1], flush=True)
        if trouble == "kill":
            os.kill(self.rng.choice(_workers()).pid, signal.SIGKILL)
        else:
            # Both workers' machines have one CPU and one worker: any of them will do, as long as it has one.
            parents = {worker.ppid() for worker in _workers()}
            raylet = psutil.Process(sorted(parents)[0])
            for child in raylet.children(recursive=True):
                child.kill()
            raylet.kill()
        # The next one comes after some steps that are new.
        self.due = step + self.rng.randrange(20, 50)

    def event(self, text: str) -> None:
        print(text, flush=True)
        self.waiting = False


def _workers() -> list[psutil.Process]:
    """The processes that train, below this one's raylets."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "RayTrainWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def main(folder: Path, spec_file: str, seed: int, kills: int, leaves: int, min_workers: int = 0) -> int:
    spec = spec_from_dict(json.loads(Path(spec_file).read_text()))
    # The head has no CPU: it cannot be a worker's machine.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    # A raylet can only be added from the main thread, which will be busy training: the one to come is there from the
    # start. The training takes two machines at a time.
    for _ in range(WORKERS + (leaves if not min_workers else 0)):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    trouble = Trouble(cluster, random.Random(seed), kills, leaves)
    history: dict[int, dict[str, float]] = {}

    def epoch(metrics: dict[str, float]) -> None:
        history[int(metrics["epoch"])] = metrics
        print({name: metrics[name] for name in ("epoch", "loss", "workers")}, flush=True)

    started = time.monotonic()
    try:
        train_on_ray(
            spec,
            str(folder / "ray"),
            "proof",
            placement=Placement(min_workers or WORKERS, WORKERS, 1, False),
            max_failures=kills + leaves + 2,
            listener=Listener(epoch, trouble, trouble.event, lambda name, content: None),
            target=folder / "best",
        )
    finally:
        ray.shutdown()
        cluster.shutdown()
    (folder / "history.json").write_text(json.dumps([history[number] for number in sorted(history)]))
    (folder / "events.json").write_text(json.dumps(trouble.done))
    print(f"{time.monotonic() - started:.0f} s, {len(trouble.done)} troubles", flush=True)
    return 0


if __name__ == "__main__":
    place, spec, *numbers = sys.argv[1:]
    sys.exit(main(Path(place), spec, *map(int, numbers)))
