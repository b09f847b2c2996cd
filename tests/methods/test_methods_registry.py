"""The ways in: names, classes, lazy imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raylign import methods
from raylign.methods.aligner import Aligner, LearnedAligner
from raylign.methods.errors import InputError, UnknownMethodError


def test_names() -> None:
    assert {"crossscale", "identity", "sift"} <= set(methods.names())
    assert methods.names() == sorted(methods.names())
    assert "crossscale" in methods.names(learned=True)
    assert "sift" not in methods.names(learned=True)
    assert "sift" in methods.names(learned=False)


@pytest.mark.parametrize("name", methods.names())
def test_every_name_has_a_class_and_a_summary(name: str) -> None:
    cls = methods.method_class(name)
    assert issubclass(cls, Aligner)
    assert cls.name == name
    assert issubclass(cls, LearnedAligner) == (name in methods.names(learned=True))
    assert methods.summary(name)


def test_unknown_names_list_the_known_ones() -> None:
    for ask in (methods.load, methods.method_class, methods.summary):
        with pytest.raises(UnknownMethodError, match="crossscale") as caught:
            ask("crosscale")
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, InputError)
        assert caught.value.exit_status == 2


def test_load_gives_a_ready_method() -> None:
    assert isinstance(methods.load("identity"), methods.Aligner)


def test_importing_the_package_loads_neither_torch_nor_opencv() -> None:
    code = (
        "import sys, raylign.methods; raylign.methods.names(); raylign.methods.summary('sift'); "
        "print([m for m in ('torch', 'cv2', 'kornia', 'huggingface_hub', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
