"""The connection to Ray: a local cluster made on the spot, or the one at `--address`."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import ClassVar

from ..methods.errors import InputError


@contextlib.contextmanager
def ray_session(
    address: str | None = None, *, num_cpus: int | None = None, dashboard: bool = False, preload: Sequence[str] = ()
) -> Iterator[None]:
    """Have Ray up inside the block; reuse a session that is already up, and then leave it up.

    Args:
        address: a cluster's address, or None for RAY_ADDRESS and else a local cluster in this process's name.
        num_cpus: CPUs of a local cluster; None means those this process may use.
        dashboard: start the dashboard of a local cluster.
        preload: modules that the processes of a local cluster import before they have anything to do.

    Raises:
        InputError: nothing answers at the address.
    """
    RayAhead.settle()
    with _session(address, num_cpus, dashboard, preload):
        yield


@contextlib.contextmanager
def _session(address: str | None, num_cpus: int | None, dashboard: bool, preload: Sequence[str]) -> Iterator[None]:
    # Workers keep the driver's working directory; every path is made absolute at the command line anyway.
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        _probe(address)
    if ray.is_initialized():
        yield
        return
    try:
        if address:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=True)
        else:
            ray.init(
                address="local",
                num_cpus=num_cpus or len(os.sched_getaffinity(0)),
                include_dashboard=dashboard,
                logging_level=logging.ERROR,
                log_to_driver=False,
                _system_config={"preload_python_modules": list(preload)} if preload else None,
            )
    except (ConnectionError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        told = f"{reason}; if the cluster has tokens, set the same RAY_AUTH_TOKEN here" if address else reason
        raise InputError(f"--address {address or 'local'}: no Ray cluster ({told})") from None
    try:
        yield
    finally:
        ray.shutdown()


class RayAhead:
    """Ray that comes up and goes down beside what this process does meanwhile, as a context manager.

    One thread has it from start to end: the kernel ends Ray's processes with the thread that made them.
    """

    _leaving: ClassVar[threading.Thread | None] = None

    def __init__(self, address: str | None, *, num_cpus: int | None = None, preload: Sequence[str] = ()) -> None:
        """What to start; see `ray_session`."""
        self._address, self._num_cpus, self._preload = address, num_cpus, preload
        self._up, self._over = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._before: threading.Thread | None = None
        self._thread = threading.Thread(target=self._hold, name="ray")

    def __enter__(self) -> RayAhead:
        self._before, RayAhead._leaving = RayAhead._leaving, None
        self._thread.start()
        return self

    def wait(self) -> None:
        """Return when Ray is up.

        Raises:
            InputError: nothing answers at the address.
        """
        self._up.wait()
        if self._error is not None:
            raise self._error

    def release(self) -> None:
        """Ray is not needed any more; it goes down from now on."""
        self._over.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        if kind is None:
            self._thread.join()
        else:  # The error is told at once; the interpreter does not end before its threads.
            RayAhead._leaving = self._thread

    @classmethod
    def settle(cls) -> None:
        """Return when a Ray that an error left behind is down: nobody may take it for one to use."""
        if cls._leaving is not None:
            cls._leaving.join()
            cls._leaving = None

    def _hold(self) -> None:
        try:
            if self._before is not None:
                self._before.join()
            if self._over.is_set():
                return
            with _session(self._address, self._num_cpus, False, self._preload):
                self._up.set()
                self._over.wait()
        except Exception as error:
            self._error = error
        finally:
            self._up.set()


def _probe(address: str) -> None:
    """Knock at the address first: Ray itself goes on asking for minutes where nobody answers.

    Raises:
        InputError: nothing listens there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():  # "auto" and "local" are found by Ray
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise InputError(f"--address {address}: nothing answers there ({error.strerror or error})") from None
