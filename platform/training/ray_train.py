"""The Ray Train back end: the loop in 1 to k workers, restarted from the last checkpoint when one dies."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.exceptions import RayActorError
from ray.train import UserCallback

from ...methods.errors import RaylignError
from ..memory import keep_freed_memory
from .history import score
from .options import TrainingSpec, spec_from_dict, spec_to_dict
from .placement import Placement
from .reporter import Checkpoint

if TYPE_CHECKING:
    from ray.util.queue import Queue

SCORE = "score"
"""What Ray Train compares the checkpoints of epochs by (`history.score`)."""
WAIT_FOR_MACHINES = 10
"""Minutes that a training waits for machines that left, or that others use, before it gives up."""


@dataclass(frozen=True)
class Listener:
    """What the driver does with what a training tells."""

    epoch: Callable[[dict[str, float]], None]
    """The metrics of an epoch that is done."""
    running: Callable[[dict[str, float]], None]
    """Those of the running epoch, about once a second."""
    event: Callable[[str], None]
    """Something happened: a worker died, others joined."""
    keep: Callable[[str, bytes], None]
    """A file for the run's folder."""


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

    def report(self, metrics: Mapping[str, float], checkpoint: Checkpoint | None) -> None:
        """A barrier over all ranks; the checkpoint is written and copied to the storage by a thread."""
        # Told first, as in `Watched`.
        if self.rank == 0:
            self._queue.put(("epoch", dict(metrics)))
        self._report({**metrics, SCORE: score(metrics)}, checkpoint)

    def save(self, checkpoint: Checkpoint | None) -> None:
        """As `report`, without metrics: such a checkpoint is never the best."""
        self._report({}, checkpoint)

    def _report(self, metrics: Mapping[str, float], checkpoint: Checkpoint | None) -> None:
        import ray.train

        if checkpoint is None:
            ray.train.report(dict(metrics), checkpoint=None)
            return
        staged = tempfile.mkdtemp(prefix="raylign-checkpoint-")
        storage = ray.train.get_context().get_storage()

        def write(local: ray.train.Checkpoint, name: str) -> ray.train.Checkpoint:
            try:
                checkpoint.write(Path(local.path))
                return storage.persist_current_checkpoint(local, name)
            finally:
                shutil.rmtree(local.path, ignore_errors=True)

        ray.train.report(
            dict(metrics),
            checkpoint=ray.train.Checkpoint.from_directory(staged),
            checkpoint_upload_mode=ray.train.CheckpointUploadMode.ASYNC,
            checkpoint_upload_fn=write,
            delete_local_checkpoint_after_upload=False,
        )

    def tell(self, metrics: Mapping[str, float]) -> None:
        """Into the queue."""
        self._queue.put(("running", dict(metrics)))

    def keep(self, name: str, content: bytes) -> None:
        """Into the queue."""
        self._queue.put(("keep", name, content))

    def latest_checkpoint(self) -> Path | None:
        """A local copy of the last checkpoint; it lives as long as this worker."""
        import ray.train

        checkpoint = ray.train.get_checkpoint()
        return Path(self._opened.enter_context(checkpoint.as_directory())) if checkpoint else None

    def should_stop(self) -> bool:
        """Never: Ray Train stops a run by ending its workers."""
        return False

    def close(self) -> None:
        """Ray Train waits for its threads by itself."""


def _worker(config: dict[str, Any]) -> None:
    import torch

    from .loop import train

    # Ray sets OMP_NUM_THREADS to this worker's CPUs; more threads than free cores make each step many times slower.
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    keep_freed_memory()
    train(spec_from_dict(config["spec"]), RayTrainReporter(config["queue"]))


class _Verdict(UserCallback):
    """In the controller: tells the driver of failures, and ends the training where a restart would only repeat one."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise what raylign raised on purpose: Ray does not retry after an error in a callback."""
        for failure in worker_exceptions.values():
            ours = _raised_on_purpose(failure)
            if ours is not None:
                raise ours
        # When one worker dies, the others' connections to it break: that is no news.
        dead = {
            rank: failure
            for rank, failure in worker_exceptions.items()
            if isinstance(getattr(failure, "health_check_failure", failure), RayActorError)
        }
        for rank, failure in sorted((dead or worker_exceptions).items()):
            what = "died" if rank in dead else f"failed ({_last_line(failure)[:160]})"
            self._queue.put(("event", f"worker {rank} {what}; going on from the last checkpoint"))


def train_on_ray(
    spec: TrainingSpec,
    storage: str,
    name: str,
    *,
    placement: Placement,
    max_failures: int,
    listener: Listener,
    target: Path,
) -> None:
    """Train with Ray Train; a run of the same storage and name goes on where it stopped.

    Args:
        spec: what to train.
        storage: path or URL where Ray keeps its state and the checkpoints.
        name: the run's name.
        placement: how many workers, and what each needs.
        max_failures: how often dead workers are restarted.
        listener: called in the driver.
        target: an empty folder for the best checkpoint (`history.score`).

    Raises:
        RaylignError: the training failed.
    """
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "60")
    import ray
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # On the driver's machine: it must not go with a machine that leaves.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"spec": spec_to_dict(spec), "queue": queue},
        scaling_config=placement.scaling(),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=storage,
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=1, checkpoint_score_attribute=SCORE, checkpoint_score_order="max"
            ),
            # A group that cannot start is tried once a minute.
            failure_config=ray.train.FailureConfig(  # type: ignore[call-arg]  # Ray swaps in another class at run time
                max_failures=max_failures, controller_failure_limit=WAIT_FOR_MACHINES
            ),
            callbacks=[_Verdict(queue)],  # type: ignore[list-item]  # likewise
        ),
    )
    with _Drain(queue, listener):
        try:
            result = trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise _cause(error) from None
    best = max(result.best_checkpoints or [], key=lambda entry: score(entry[1]), default=(result.checkpoint, {}))[0]
    if best is None:
        raise RaylignError("the training ended without a checkpoint")
    best.to_directory(str(target))


class _Drain:
    """Empties the queue of a training into its listener, in a thread; an error of the listener comes out at the end."""

    def __init__(self, queue: Queue, listener: Listener) -> None:
        self._queue, self._listener = queue, listener
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="training-events")

    def _run(self) -> None:
        from ray.util.queue import Empty

        calls = {name: getattr(self._listener, name) for name in ("epoch", "running", "event", "keep")}
        while True:
            try:
                kind, *content = self._queue.get(timeout=0.5)
            except Empty:
                if self._ended.is_set():
                    return
                continue
            except Exception as error:  # the queue's actor has gone with Ray
                self._error = self._error or error
                return
            try:
                calls[kind](*content)
            except Exception as error:
                self._error = self._error or error

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._ended.set()
        self._thread.join(timeout=30)
        self._queue.shutdown()
        if self._error is not None and kind is None:
            raise self._error


def _raised_on_purpose(failure: BaseException) -> RaylignError | None:
    for inner in (failure, getattr(failure, "cause", None), getattr(failure, "_base_exc", None)):
        if isinstance(inner, RaylignError):
            return inner
    return None


def _last_line(error: object) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _cause(error: Exception) -> RaylignError:
    """The workers' own error where it is one of ours, else one line of what Ray says."""
    controller = getattr(error, "controller_failure", None)
    failures = list((getattr(error, "worker_failures", {}) or {}).values())
    for failure in (controller, *failures):
        ours = _raised_on_purpose(failure) if failure is not None else None
        if ours is not None:
            return ours
    return RaylignError(f"the training failed: {_last_line(failures[0] if failures else controller or error)}")
