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


LONGEST = (
    *("test_demo.py", "test_training.py", "test_sweep.py", "test_render_command.py", "test_evaluate.py"),
    *("test_farm.py", "test_service.py", "test_training_failures.py", "test_study.py", "test_training_workers.py"),
)
"""Files that take minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: of two processes that share the files, none shall be left with one at the end."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


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
