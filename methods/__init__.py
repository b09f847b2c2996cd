"""Alignment methods as plain PyTorch: `load("crossscale")`, `names()`, and the `Aligner` contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .registry import load, method_class, names, needs_weights, summary, takes_sets

if TYPE_CHECKING:
    from .aligner import Aligner, Alignment, LearnedAligner

__all__ = [
    "Aligner",
    "Alignment",
    "LearnedAligner",
    "load",
    "method_class",
    "names",
    "needs_weights",
    "summary",
    "takes_sets",
]


def __getattr__(name: str) -> Any:
    """Import the contract, and with it torch, only when it is asked for."""
    if name in ("Aligner", "Alignment", "LearnedAligner"):
        from . import aligner

        return getattr(aligner, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
