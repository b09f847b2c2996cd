"""The Ray Train back end: the loop in 1 to k workers, restarted from the last checkpoint when one dies."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...methods.errors import InputError, RaylignError
from .options import TrainingSpec

if TYPE_CHECKING:
    from ray.util.queue import Queue


class RayTrainReporter:
    """A `Reporter` inside a Ray Train worker.

    Rank 0 also puts each epoch's metrics into a queue that the driver empties: Ray Train keeps only those that come
    with a checkpoint, and the driver is the one writer of run folder and MLflow.
    """

    def __init__(self, queue: Queue) -> None:
        import ray.train

        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()
        self._queue = queue
        self._opened = ExitStack()

    def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        """A barrier over all ranks; the checkpoint is copied to the run's storage before it returns."""
        import ray.train

        # Told first: an epoch that a kill undoes is told again, but one that is never told would be missing for ever.
        if self.rank == 0:
            self._queue.put(dict(metrics))
        stored = ray.train.Checkpoint.from_directory(str(checkpoint)) if checkpoint else None
        ray.train.report(dict(metrics), checkpoint=stored)

    def latest_checkpoint(self) -> Path | None:
        """A local copy of the last checkpoint; it lives as long as this worker."""
        import ray.train

        checkpoint = ray.train.get_checkpoint()
        return Path(self._opened.enter_context(checkpoint.as_directory())) if checkpoint else None

    def should_stop(self) -> bool:
        """Never: Ray Train stops a run by ending its workers."""
        return False


def _worker(config: dict[str, Any]) -> None:
    import torch

    from .loop import spec_from_dict, train

    # Ray sets OMP_NUM_THREADS to this worker's CPUs; more threads than free cores make each step many times slower.
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    train(spec_from_dict(config["spec"]), RayTrainReporter(config["queue"]))


def train_on_ray(
    spec: TrainingSpec,
    folder: Path,
    name: str,
    *,
    workers: int,
    max_failures: int,
    on_epoch: Callable[[dict[str, float]], None],
) -> Path:
    """Train with Ray Train; a run of the same folder and name goes on where it stopped.

    Args:
        spec: what to train.
        folder: the run's storage; Ray keeps its state and checkpoints in `ray/` below it.
        name: the run's name.
        workers: how many train together; each gets its share of the cluster's CPUs, or one GPU where there are any.
        max_failures: how often dead workers are restarted.
        on_epoch: called in the driver with the metrics of each epoch.

    Returns:
        A folder with the best checkpoint by `val_psnr_overlap`.

    Raises:
        InputError: the cluster is too small for the workers.
        RaylignError: the training failed.
    """
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "60")
    import ray
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.util.queue import Queue

    total = ray.cluster_resources()
    gpu = total.get("GPU", 0) >= workers
    cpus = int(total.get("CPU", 0)) // workers
    if cpus < 1:
        raise InputError(f"--workers {workers}: the cluster has {int(total.get('CPU', 0))} CPUs; ask for fewer workers")
    queue = Queue(actor_options={"num_cpus": 0})
    drained = threading.Event()

    def drain() -> None:
        from ray.util.queue import Empty

        while True:
            try:
                on_epoch(queue.get(timeout=0.5))
            except Empty:
                if drained.is_set():
                    return

    thread = threading.Thread(target=drain, daemon=True, name="epochs")
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"spec": _as_dict(spec), "queue": queue},
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers, use_gpu=gpu, resources_per_worker={"CPU": cpus, **({"GPU": 1} if gpu else {})}
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=str(folder / "ray"),
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=1, checkpoint_score_attribute="val_psnr_overlap", checkpoint_score_order="max"
            ),
            # Ray retries a group that cannot start for ever; a clear error is better.
            failure_config=ray.train.FailureConfig(  # type: ignore[call-arg]  # Ray swaps in another class at run time
                max_failures=max_failures, controller_failure_limit=0
            ),
        ),
    )
    thread.start()
    try:
        result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise _cause(error) from None
    finally:
        drained.set()
        thread.join(timeout=30)
        queue.shutdown()
    best = max(
        (entry for entry in result.best_checkpoints or [] if "val_psnr_overlap" in entry[1]),
        key=lambda entry: entry[1]["val_psnr_overlap"],
        default=(result.checkpoint, {}),
    )[0]
    if best is None:
        raise RaylignError("the training ended without a checkpoint")
    target = Path(tempfile.mkdtemp(prefix="best-", dir=folder))
    best.to_directory(str(target))
    return target


def _as_dict(spec: TrainingSpec) -> dict[str, Any]:
    from .loop import spec_to_dict

    return spec_to_dict(spec)


def _cause(error: Exception) -> RaylignError:
    """The workers' own error where it is one of ours, else one line of what Ray says."""
    failures = getattr(error, "worker_failures", {}) or {}
    for failure in failures.values():
        inner = getattr(failure, "cause", None) or failure
        if isinstance(inner, RaylignError):
            return inner
    first = next(iter(failures.values()), error)
    lines = [line for line in str(first).strip().splitlines() if line.strip()]
    return RaylignError(f"the training failed: {lines[-1].strip() if lines else type(error).__name__}")
