"""Contact sheet of a dataset, as a picture or as a web page of one file."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from ...methods.errors import InputError
from ..report import figure, page, picture, plots, slider, table
from .drawing import INK, SOFT, fit, font, resize
from .rows import GAP, Row, sample_row
from .samples import Samples, spread
from .shards import DatasetInfo, publish_bytes
from .statistics import QUANTITIES, SampleStatistics, known, round_edges

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".html")
WIDTH = 1184
"""Of a sheet's rows, in pixels, where they are long enough."""
PAGE_WIDTH = 954
"""Of a web page's rows: what a section of `report.page` has room for."""
NARROWEST = 720
MARGIN = 28
SLIDERS = 3
SLIDER_SIDE = 480


def check_target(out: Path) -> None:
    """Refuse what cannot be written, before any work is done.

    Raises:
        InputError: another ending, or a folder.
    """
    if out.suffix.lower() not in ENDINGS:
        raise InputError(f"-o {out}: the file must end in {' or '.join(ENDINGS)}")
    if out.is_dir():
        raise InputError(f"-o {out}: is a folder, not a file")
    if out.parent.exists() and not out.parent.is_dir():
        raise InputError(f"-o {out}: {out.parent} is not a folder")


def write_preview(
    url: str,
    out: Path,
    split: str | None,
    scenes: int,
    figures: Sequence[SampleStatistics],
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Write a contact sheet with histograms; the file is there whole or not at all.

    Args:
        url: the dataset.
        out: ends in `.png` or `.html`.
        split: one of its splits, or None for all samples.
        scenes: rows, spread over the samples.
        figures: of the samples, for the histograms; none leaves them out.
        advance: called with 1 after each row.

    Raises:
        InputError: the target is of another kind, full, or not writable.
        DatasetError: a sample cannot be read.
    """
    check_target(out)
    samples = Samples(url, split)
    html = out.suffix.lower() == ".html"
    rows = draw_rows(samples, scenes, PAGE_WIDTH if html else WIDTH, advance)
    write = _page if html else _sheet
    content = write(url, samples, rows, figures)
    publish_bytes(str(out.absolute().parent), out.name, content)


def contact_sheet(url: str, split: str | None, scenes: int) -> bytes:
    """A PNG with one row per sample, without title and histograms.

    Args:
        url: the dataset.
        split: one of its splits, or None for all samples.
        scenes: rows, spread over the samples.
    """
    rows = draw_rows(Samples(url, split), scenes, WIDTH)
    return _png(_stack([_strip(row, captioned=True) for row in rows]))


def draw_rows(samples: Samples, scenes: int, width: int, advance: Callable[[int], None] = lambda _: None) -> list[Row]:
    """Rows of at most `scenes` samples, spread evenly, at most `width` pixels wide."""
    rows = []
    for position in spread(len(samples), scenes):
        row = sample_row(samples, position, width)
        rows.append(row)
        advance(1)
    return rows


def _strip(row: Row, *, captioned: bool) -> Image.Image:
    """One row: caption, pictures side by side, and under each what it is."""
    cells = [cell.pixels for cell in row.cells]
    top = 26 if captioned else 0
    height = max(pixels.shape[0] for pixels in cells)
    width = sum(pixels.shape[1] for pixels in cells) + GAP * (len(cells) - 1)
    caption_width = 0.0
    if captioned:
        caption_width = font(14, True).getlength(row.key) + 14 + font(13).getlength(row.caption)
    strip = Image.new("RGB", (max(width, int(caption_width) + 1), top + height + 20), "white")
    draw = ImageDraw.Draw(strip)
    if captioned:
        draw.text((0, 15), row.key, fill=INK, font=font(14, True), anchor="ls")
        draw.text((font(14, True).getlength(row.key) + 14, 15), row.caption, fill=SOFT, font=font(13), anchor="ls")
    x = 0
    for cell, pixels in zip(row.cells, cells, strict=True):
        strip.paste(Image.fromarray(pixels), (x, top))
        draw.text((x, top + height + 15), cell.label, fill=SOFT, font=font(11), anchor="ls")
        x += pixels.shape[1] + GAP
    return strip


def _stack(parts: Sequence[Image.Image], gap: int = 16, least: int = 0) -> Image.Image:
    """Pictures below each other on white."""
    width = max(least, *(part.width for part in parts)) + 2 * MARGIN
    height = sum(part.height for part in parts) + gap * (len(parts) - 1) + 2 * MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    y = MARGIN
    for part in parts:
        sheet.paste(part, (MARGIN, y))
        y += part.height + gap
    return sheet


def _title(url: str, samples: Samples) -> Image.Image:
    title, lead = url.rstrip("/").rpartition("/")[2], _lead(samples)
    width = max(font(24, True).getlength(title), font(14).getlength(lead))
    header = Image.new("RGB", (int(width) + 1, 58), "white")
    draw = ImageDraw.Draw(header)
    draw.text((0, 24), title, fill=INK, font=font(24, True), anchor="ls")
    draw.text((0, 48), lead, fill=SOFT, font=font(14), anchor="ls")
    return header


def _lead(samples: Samples) -> str:
    info = samples.reader.info
    part = f"split {samples.reader.split}: {len(samples)} of " if samples.reader.split else ""
    return f"{part}{info.scenes} {info.kind}s by {info.generator}, seed {info.seed}"


def _sheet(url: str, samples: Samples, rows: list[Row], figures: Sequence[SampleStatistics]) -> bytes:
    strips = [_strip(row, captioned=True) for row in rows]
    parts = [_title(url, samples), *strips]
    drawn = histograms(figures, max(NARROWEST, *(strip.width for strip in strips)))
    if drawn is not None:
        parts.append(Image.open(io.BytesIO(_figure_png(drawn))).convert("RGB"))
    return _png(_stack(parts, least=NARROWEST))


def histograms(figures: Sequence[SampleStatistics], width: int) -> Figure | None:
    """Histograms of overlap, motion or parallax, and brightness, side by side; None where nothing is known.

    Args:
        figures: one per sample.
        width: of the drawing, in pixels at 100 dots per inch.
    """
    shown = [(each, known(figures, each)) for each in QUANTITIES if each.name != "occluded"]
    shown = [(quantity, values) for quantity, values in shown if values]
    if not shown:
        return None
    pyplot: Any = plots()
    drawn, axes = pyplot.subplots(1, len(shown), figsize=(width / 100, 2.5), squeeze=False, layout="constrained")
    for axis, (quantity, values) in zip(axes[0], shown, strict=True):
        edges = round_edges(values, quantity, 12)
        axis.hist(np.clip(values, edges[0], edges[-1]), edges, color="#3b82c4", edgecolor="white", linewidth=1)
        mean = float(np.mean(values))
        axis.axvline(mean, color="#1c2024", linewidth=1, linestyle=(0, (4, 3)))
        axis.set_title(f"{quantity.title}: mean {mean:.1f}", loc="left", fontsize=10, fontweight="bold")
        axis.set_xlabel(quantity.unit, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.xaxis.get_major_locator().set_params(nbins=6)
        axis.yaxis.get_major_locator().set_params(integer=True)
        axis.grid(visible=False, axis="x")
    axes[0][0].set_ylabel(f"samples (of {len(figures)})", fontsize=9)
    return drawn


def _figure_png(drawn: Figure) -> bytes:
    import matplotlib.pyplot as pyplot

    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=100)
    pyplot.close(drawn)
    return buffer.getvalue()


def _page(url: str, samples: Samples, rows: list[Row], figures: Sequence[SampleStatistics]) -> bytes:
    strips = [picture(_png(_strip(row, captioned=False)), f"{row.key}  ·  {row.caption}") for row in rows]
    legend = _LEGENDS[samples.reader.info.kind]
    sections = [("Samples", f'<p class="soft">{legend}</p>\n' + "\n<br>\n".join(strips))]
    drawn = histograms(figures, 1000)
    if drawn is not None:
        sections.append((f"Figures of {len(figures)} samples", figure(drawn)))
    sliders = "\n".join(_sliders(row) for row in [row for row in rows if row.comparison][:SLIDERS])
    if sliders:
        text = "Move the divider. Left of it lies the source, right of it the reference; hatched pixels are not seen."
        sections.append(("Before and after", f'<p class="soft">{text}</p>\n{sliders}'))
    sections.append(("Settings", table(["setting", "value"], _settings(samples.reader.info))))
    return page(url.rstrip("/").rpartition("/")[2], sections, f"{_lead(samples)}. {url}").encode()


_LEGENDS = {
    "sequence": "The undisturbed picture, then frames. Yellow is the painting's outline and grid, brought into each "
    "frame by its homography; pink are occluders.",
    "pair": "Flow: hue is the direction, saturation the length, up to the one beside the wheel. Pink pixels are hidden "
    "in the source, hatched ones are not seen in it. Depth: near is bright.",
}


def _sliders(row: Row) -> str:
    """The source over the reference, as it is and aligned."""
    assert row.comparison is not None
    pictures = (row.comparison.reference, row.comparison.before, row.comparison.after)
    size = fit((pictures[0].shape[0], pictures[0].shape[1]), SLIDER_SIDE)
    reference, before, after = (_png(Image.fromarray(resize(each, size))) for each in pictures)
    left = slider(reference, before, f"{row.key}: source as it is")
    right = slider(reference, after, f"{row.key}: source brought onto the reference by the ground truth")
    return f'<div class="pair">{left}{right}</div><br>'


def _settings(info: DatasetInfo) -> list[tuple[str, str]]:
    """Everything that `dataset.json` says, one line each."""
    rows = [("kind", info.kind), ("generator", info.generator), ("seed", str(info.seed))]
    rows += [("samples", f"{info.scenes}, {info.shard_size} per shard, {len(info.failed)} failed")]
    splits = sorted(info.splits.items(), key=lambda item: item[1])
    rows += [(f"split {name}", f"{end - first} ({first} to {end - 1})") for name, (first, end) in splits if end > first]
    rows += [("fields", ", ".join(info.fields))]
    rows += [(f"unit of {name}", unit) for name, unit in info.units.items()]
    return rows + _flat(info.settings)


def _flat(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((prefix + name, text))
    return rows


def _png(drawn: Image.Image) -> bytes:
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG")
    return buffer.getvalue()
