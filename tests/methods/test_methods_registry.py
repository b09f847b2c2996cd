"""The ways in: names, classes, lazy imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raylign import methods
from raylign.methods.aligner import Aligner, LearnedAligner
from raylign.methods.checkpoints import load_checkpoint
from raylign.methods.errors import InputError, UnknownMethodError
from raylign.methods.registry import is_learned
from raylign.platform.alignment import choose_model


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


STRANGERS = """
from dataclasses import dataclass

import torch

from raylign.methods.aligner import Aligner, LearnedAligner


class Collage(Aligner):
    name = "collage"
    max_sources = None

    def align(self, reference, sources): ...


class Fetched(Aligner):
    name = "fetched"

    def __init__(self, *, weights=None, pretrained=False):
        self.given = weights, pretrained

    def align(self, reference, sources): ...


@dataclass(frozen=True)
class PupilConfig:
    size: int = 2


class Pupil(LearnedAligner):
    name = "pupil"
    Config = PupilConfig

    def __init__(self, config=PupilConfig(), *, initialise=True):
        super().__init__()
        self.config = config
        self.layer = torch.nn.Linear(config.size, 1)

    def align(self, reference, sources): ...

    def training_step(self, batch): ...
"""


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another distribution with a method of each kind, and one that cannot be imported."""
    info = tmp_path / "strangers-1.0.dist-info"
    info.mkdir()
    (tmp_path / "strange_methods.py").write_text(STRANGERS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    classes = {"collage": "Collage", "fetched": "Fetched", "pupil": "Pupil", "gone": "Gone", "odd": "PupilConfig"}
    lines = [f"{name} = strange_methods:{cls}" for name, cls in classes.items()]
    (info / "entry_points.txt").write_text("\n".join(["[raylign.methods]", *lines, "lost = no_such_module:Lost", ""]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "strange_methods", raising=False)


@pytest.mark.usefixtures("strangers")
def test_classes_of_other_distributions_tell_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {"collage", "fetched", "pupil", "gone", "lost", "odd"}
    assert theirs <= set(methods.names())
    assert methods.summary("collage") == "from strangers"
    assert {name for name in theirs if methods.takes_sets(name)} == {"collage"}
    assert {name for name in theirs if methods.needs_weights(name)} == {"fetched"}
    assert theirs & set(methods.names(learned=True)) == {"pupil"}
    assert {name for name in theirs if is_learned(name)} == {"pupil"}
    assert methods.load("fetched", weights="w.pth").given == ("w.pth", False)  # type: ignore[attr-defined]
    methods.load("pupil").save_pretrained(tmp_path / "checkpoint")  # type: ignore[attr-defined]
    assert load_checkpoint(tmp_path / "checkpoint").name == "pupil"
    monkeypatch.chdir(tmp_path)
    assert choose_model("collage").target == "collage"
    with pytest.raises(InputError, match="nothing is trained yet"):
        choose_model("pupil")


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize(
    ("name", "target"),
    [("gone", "strange_methods:Gone"), ("lost", "no_such_module:Lost"), ("odd", "strange_methods:PupilConfig")],
)
def test_a_method_that_cannot_be_imported_says_whose_it_is(name: str, target: str) -> None:
    for ask in (methods.load, methods.method_class):
        with pytest.raises(InputError, match=f"from strangers cannot be imported as {target} .*uninstall") as caught:
            ask(name)
        assert "\n" not in str(caught.value)
    assert "sift" in methods.names(learned=False)
