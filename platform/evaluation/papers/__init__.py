"""The papers' own numbers, and ours beside them: `beside(paper_of("002"), rows, settings)`, then `text` or `html`."""

from __future__ import annotations

from ....methods.errors import InputError
from . import adm, crossscale, diar, dmaligner
from .comparison import PaperComparison, beside
from .contents import Column, Finding, Paper, PaperRow, PaperTable
from .show import html, text

__all__ = [
    "PAPERS",
    "Column",
    "Finding",
    "Paper",
    "PaperComparison",
    "PaperRow",
    "PaperTable",
    "beside",
    "html",
    "paper_of",
    "text",
]

PAPERS: dict[str, Paper] = {
    found.number: found for found in (dmaligner.PAPER, diar.PAPER, crossscale.PAPER, diar.SUMMARY, adm.PAPER)
}
"""The papers by their number."""


def paper_of(number: str) -> Paper:
    """The paper with this number.

    Raises:
        InputError: there is none.
    """
    if number not in PAPERS:
        choices = "; ".join(f"{known.number} ({known.title})" for known in PAPERS.values())
        raise InputError(f"--paper {number}: no such paper; choose one of {choices}")
    return PAPERS[number]
