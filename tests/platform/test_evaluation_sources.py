"""Which files decide what a measured case says: those that run, found without running them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raylign.methods.errors import UnknownMethodError
from raylign.methods.registry import module_of, names
from raylign.platform.evaluation.sources import ROOT, sources_behind

LOADED = """
import sys
from raylign.platform.evaluation import work
from raylign.methods import method_class
method_class(sys.argv[1])
own = (module for name, module in sys.modules.items() if name.startswith("raylign."))
print(*(module.__file__ for module in own if getattr(module, "__file__", None)), sep="\\n")
"""


def relative(method: str) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in sources_behind(method)}


@pytest.mark.parametrize("method", ["sift-ecc", "adm"])
def test_all_that_python_loads_is_found(method: str) -> None:
    command = [sys.executable, "-c", LOADED, method]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    loaded = {Path(line).resolve() for line in told if line}
    assert len(loaded) > 20
    assert loaded <= {path.resolve() for path in sources_behind(method)}


def test_other_methods_and_pages_are_no_part_of_it() -> None:
    found = relative("sift")
    assert {"methods/classical/sift.py", "methods/geometry.py", "platform/evaluation/measure.py"} <= found
    assert not {
        path for path in found if path.startswith(("methods/adm", "methods/diar", "tune", "serve", "rendering"))
    }
    assert not found & {"platform/evaluation/page.py", "platform/evaluation/charts.py", "methods/classical/orb.py"}


def test_a_method_that_loads_another_by_name() -> None:
    """crossscale takes a start from SIFT."""
    assert "methods/classical/sift.py" in relative("crossscale")


def test_every_method_has_its_own_file() -> None:
    for name in names():
        own = module_of(name).removeprefix("raylign.").replace(".", "/")
        assert relative(name) & {f"{own}.py", f"{own}/__init__.py"}, name
    with pytest.raises(UnknownMethodError):
        sources_behind("nothing")
