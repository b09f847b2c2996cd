"""Which of raylign's source files can change what a method answers and how it is measured."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from ...methods.registry import module_of, names

ROOT = Path(__file__).parents[2]
OWN = __package__.partition(".")[0]
MEASURING = "platform.evaluation.work"
"""The module that aligns and measures, dotted below `ROOT`."""


def sources_behind(method: str) -> list[Path]:
    """The files whose code runs when a method is measured, found by their imports; nothing is imported.

    A file that holds a method's name as a text is taken to load that method. So another method's file, or a page of the
    report, changes nothing here.

    Args:
        method: of the registry; of one that another distribution brings, only what measures it.
    """
    found: set[Path] = set()
    waiting = [_file(tuple(MEASURING.split("."))), _of_method(method)]
    while waiting:
        path = waiting.pop()
        if path is None or path in found:
            continue
        found.add(path)
        imported, texts = _read(path)
        waiting += [_file(module) for module in imported]
        # The registry names them all, and loads what it is asked for.
        if path.name != "registry.py":
            waiting += [_of_method(name) for name in texts & set(names())]
    return sorted(found)


def _of_method(method: str) -> Path | None:
    package, *module = module_of(method).split(".")
    return _file(tuple(module)) if package == OWN else None


def _file(module: tuple[str, ...]) -> Path | None:
    """The file of a module below `ROOT`, None where there is none."""
    place = ROOT.joinpath(*module)
    candidates = (place / "__init__.py", place.with_name(place.name + ".py")) if module else ()
    return next((path for path in candidates if path.is_file()), None)


@cache
def _read(path: Path) -> tuple[frozenset[tuple[str, ...]], frozenset[str]]:
    """What a file imports of raylign, by module, its packages among it, and the texts in it."""
    here = path.relative_to(ROOT).with_suffix("").parts[:-1]
    tree = ast.parse(path.read_bytes())
    modules = {here}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            written = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                base = here[: len(here) - node.level + 1] + written
            elif written[:1] == (OWN,):
                base = written[1:]
            else:
                continue
            modules |= {base, *((*base, name.name) for name in node.names)}
    packages = {module[:length] for module in modules for length in range(1, len(module))}
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return frozenset(modules | packages), frozenset(text for text in texts if isinstance(text, str))
