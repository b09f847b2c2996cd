"""The gallery of an evaluation: which cases to look at, and their pictures beside each other."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from ..report import data_uri
from .charts import headline
from .compare import by_place
from .results import BY_NAME, CaseResult
from .tables import TASKS

SIDE = 320
"""Pixels of a thumbnail's longer side."""

_SHOWN = ("psnr_overlap", "psnr", "corner_error", "epe", "mee")


class Chosen(NamedTuple):
    """A case that is worth a look, as one method left it; `why` is `failed`, `worst` or `median`."""

    method: str
    dataset: str
    task: str
    key: str
    why: str


@dataclass(frozen=True)
class GalleryItem:
    """One case as one method left it.

    Attributes:
        method: as in `CaseResult`.
        dataset: as in `CaseResult`.
        task: see `results.Task`.
        key: of the case.
        name: of the case.
        subset: of the case.
        why: `failed`, `worst` or `median`.
        metrics: value by name.
        error: why it failed, in one line; empty otherwise.
        reference: JPEG or WebP, from `thumbnail`.
        source: the same; of a set its first source.
        aligned: the same; None where there is none.
    """

    method: str
    dataset: str
    task: str
    key: str
    name: str
    subset: str
    why: str
    metrics: dict[str, float]
    error: str
    reference: bytes
    source: bytes
    aligned: bytes | None


@dataclass
class Pictures:
    """The pictures of a page, each kept once however often it is shown."""

    _places: dict[bytes, int] = field(default_factory=dict)

    def image(self, picture: bytes, alt: str, kind: str = "") -> str:
        """An `<img>` that the page's script fills; `alt` is plain text, `kind` a class."""
        place = self._places.setdefault(picture, len(self._places))
        return f'<img class="{kind}" data-picture="{place}" alt="{html.escape(alt)}" decoding="async">'

    def uris(self) -> list[str]:
        """Data URIs in order of their numbers."""
        return [data_uri(picture) for picture in self._places]


def thumbnail(picture: Tensor, side: int = SIDE) -> bytes:
    """A picture as a small WebP file.

    Args:
        picture: `(3, H, W)`, RGB in [0, 1].
        side: pixels of the longer side; smaller pictures keep their size.
    """
    pixels = (picture.detach().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=80, method=4)
    return buffer.getvalue()


def choose_items(results: Sequence[CaseResult], per_method: int = 4) -> list[Chosen]:
    """The cases that are worth a look.

    Args:
        results: of the whole evaluation.
        per_method: cases of each method on each dataset and task, at least 2. Failures take up to half of them, then
            the lowest PSNR (inside the overlap for pairs), and one is in the middle of those that did not fail.

    Returns:
        For each method and place failures first, then worst first, then the median. Equal values go by key.
    """
    chosen: list[Chosen] = []
    for (dataset, task), group in by_place(results).items():
        name = headline(task).name
        for method, cases in group.items():
            ordered = sorted(cases.values(), key=lambda case: (case.metrics.get(name, -math.inf), case.key))
            fine = [case.key for case in ordered if not case.failed]
            middle = [fine[len(fine) // 2]] if fine else []
            worst = [key for key in fine if key not in middle]
            room = per_method - len(middle)
            failed = [case.key for case in ordered if case.failed][: max(per_method // 2, room - len(worst))]
            picked = {"failed": failed, "worst": worst[: room - len(failed)], "median": middle}
            chosen += [Chosen(method, dataset, task, key, why) for why, keys in picked.items() for key in keys]
    return chosen


def gallery_html(items: Sequence[GalleryItem], pictures: Pictures) -> str:
    """Cards with a divider and a flicker between reference and aligned picture, and menus that choose among them."""
    order = {"failed": 0, "worst": 1, "median": 2}
    ordered = sorted(
        items, key=lambda item: (order[item.why], item.metrics.get(headline(item.task).name, -math.inf), item.key)
    )
    cards = "\n".join(_card(item, pictures) for item in ordered)
    menus = "".join(
        _menu(label, list(dict.fromkeys(getattr(item, label) for item in items)))
        for label in ("method", "dataset", "why")
    )
    return (
        "<p>On the left of the divider the aligned picture, or the source as it came where the method failed; on the "
        "right the reference, of sets the true picture. Flicker shows them in turn; before shows the source (of sets "
        "the first) as it came.</p>"
        f'<div class="menus">{menus}<output aria-live="polite"></output></div>\n<div class="cards">\n{cards}\n</div>'
        '<button type="button" class="more" hidden>show all of them</button>'
    )


def _menu(label: str, choices: list[str]) -> str:
    options = "".join(f'<option value="{html.escape(choice)}">{html.escape(choice)}</option>' for choice in choices)
    return f'<label>{label} <select data-filter="{label}"><option value="">all</option>{options}</select></label>'


def _card(item: GalleryItem, pictures: Pictures) -> str:
    shown = [BY_NAME[name] for name in _SHOWN if name in item.metrics]
    numbers = " · ".join(f"{m.name} {item.metrics[m.name]:.{m.digits}f} {m.unit}" for m in shown)
    place = " · ".join(part for part in (item.dataset, TASKS[item.task], item.name, item.subset) if part)
    attributes = "".join(
        f' data-{label}="{html.escape(value)}"'
        for label, value in (("method", item.method), ("dataset", item.dataset), ("why", item.why))
    )
    reference = pictures.image(item.reference, f"reference of {item.name}")
    before = pictures.image(item.source, f"source of {item.name}", "over before")
    after = pictures.image(item.aligned, f"{item.name} aligned by {item.method}", "over after") if item.aligned else ""
    error = f'<p class="error">{html.escape(item.error)}</p>' if item.error else ""
    back = '<button type="button" data-act="before" aria-pressed="false">before</button>' if after else ""
    return (
        f'<article class="card{"" if after else " bare"}"{attributes}>\n'
        f'<header><b>{html.escape(item.method)}</b> <span class="chip {item.why}">{item.why}</span>'
        f'<span class="soft">{html.escape(place)}</span></header>\n'
        f'<div class="slider">{reference}{before}{after}'
        f'<input type="range" min="0" max="100" value="50" aria-label="divider of {html.escape(item.name)}"></div>\n'
        '<div class="acts"><button type="button" data-act="flicker" aria-pressed="false">flicker</button>'
        f"{back}</div>\n"
        f'<p class="soft">{html.escape(numbers)}</p>{error}</article>'
    )
