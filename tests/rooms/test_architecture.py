"""The rules of docs/architecture.md, read off the source files."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("methods", "platform", "rendering", "tune", "serve")
MAY_IMPORT = {
    "methods": set(),
    "platform": {"methods"},
    "rendering": {"platform", "methods"},
    "tune": {"platform", "methods"},
    "serve": {"platform", "methods"},
}
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a file imports, relatively or as `raylign.x`, wherever in the file the import stands."""
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            base = package[: len(package) - (node.level - 1)]
            names = [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
            found |= {base[0]} if base else set(names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("raylign."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("raylign.")}
    return found & set(ROOMS)


def test_there_are_sources() -> None:
    assert len(SOURCES) > 30


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_upwards(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    assert imported_rooms(path) <= MAY_IMPORT[room] | {room}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_each_other_relatively(path: Path) -> None:
    text = path.read_text()
    assert "from raylign" not in text
    assert "import raylign" not in text


def test_platform_has_no_init() -> None:
    # With one, any process started in the repository root would get our folder instead of Python's own `platform`.
    assert not (ROOT / "platform" / "__init__.py").exists()


@pytest.mark.parametrize("code", ["import platform; platform.python_version()", "import raylign.platform.cli"])
def test_both_platforms_import_from_the_root(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_only_the_blender_room_imports_bpy() -> None:
    for path in SOURCES:
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        if names & {"bpy", "mathutils", "bpy_extras"}:
            assert path.relative_to(ROOT).parts[:2] == ("rendering", "blender"), path


def test_every_package_is_in_the_wheel() -> None:
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {"raylign." + ".".join(path.parent.relative_to(ROOT).parts) for path in SOURCES}
    assert there <= listed | {"raylign"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_called_utils(path: Path) -> None:
    assert path.stem not in ("utils", "util", "helpers", "common", "misc")


def test_methods_need_neither_ray_nor_mlflow_nor_blender() -> None:
    code = (
        "import sys; import raylign.methods.crossscale, raylign.platform.training.loop; "
        "bad = {'ray', 'mlflow', 'bpy', 'optuna', 'fastapi'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
