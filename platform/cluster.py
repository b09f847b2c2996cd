"""The connection to Ray: a local cluster made on the spot, or the one at `--address`."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator

from ..methods.errors import InputError


@contextlib.contextmanager
def ray_session(address: str | None = None, *, num_cpus: int | None = None, dashboard: bool = False) -> Iterator[None]:
    """Have Ray up inside the block; reuse a session that is already up, and then leave it up.

    Args:
        address: a cluster's address, or None for RAY_ADDRESS and else a local cluster in this process's name.
        num_cpus: CPUs of a local cluster; None means those this process may use.
        dashboard: start the dashboard of a local cluster.

    Raises:
        InputError: nothing answers at the address.
    """
    # Workers keep the driver's working directory; every path is made absolute at the command line anyway.
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
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
            )
    except ConnectionError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--address {address}: no Ray cluster answers ({reason})") from None
    try:
        yield
    finally:
        ray.shutdown()
