"""The connection to Ray: none is taken that is on its way down, none in place of the address asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raylign.methods.errors import InputError
from raylign.platform.cluster import ray_session

NOWHERE = "127.0.0.1:9"

LEFT_BEHIND = """
import ray
from raylign.platform.cluster import RayAhead, ray_session

for waits in (True, False, False):
    try:
        with RayAhead(None, num_cpus=1) as ahead:
            if waits:
                ahead.wait()
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
with ray_session(None, num_cpus=1):
    print(ray.get(ray.put("answered")))
print("up" if ray.is_initialized() else "down")
"""


@pytest.mark.usefixtures("ray_local")
def test_an_address_is_knocked_at_also_with_a_ray_up() -> None:
    with pytest.raises(InputError, match=f"--address {NOWHERE}: nothing answers"), ray_session(NOWHERE):
        pass


def test_a_session_waits_for_the_ray_an_error_left_behind() -> None:
    answer = subprocess.run([sys.executable, "-c", LEFT_BEHIND], capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["answered", "down"]
