"""What all rooms' tests share: one Ray for the whole session, a working directory of their own, tiny datasets."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Two cores are what the suite is made for; more OpenMP threads than that make everything slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """A Ray of two CPUs, shared by all tests that need one."""
    import ray

    from raylign.platform.cluster import RayAhead

    RayAhead.settle()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def data_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Gives the dataset for a small training of a method, made where it is first asked for."""
    from tests.training import small_data

    folder = tmp_path_factory.mktemp("small-data")
    return functools.cache(lambda method: small_data(method, folder / method))


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory without a tracking server from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path
