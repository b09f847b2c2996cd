"""`raylign data {info,preview,verify,convert}`: looks into a dataset, or writes it as shards."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ...methods.errors import InputError
from ..arguments import parse
from ..runs import absolute_url
from .layouts import NAMES

if TYPE_CHECKING:
    from .shards import DatasetInfo
    from .statistics import SampleStatistics


@dataclass(frozen=True)
class InfoOptions:
    """Say what a dataset holds, and what its samples are like; of a folder that is none, what it lacks."""

    url: Annotated[str, tyro.conf.Positional]
    """Local path or URL."""
    samples: int = 200
    """Read at most so many samples for the histograms, evenly spread; 0 reads none."""
    json: bool = False
    """Print `dataset.json` and the figures as one JSON object instead of a summary."""


@dataclass(frozen=True)
class PreviewOptions:
    """Draw a contact sheet of a dataset, with histograms."""

    url: Annotated[str, tyro.conf.Positional]
    """Local path or URL."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """File to write: a picture (.png) or a web page in one file (.html)."""
    split: str | None = None
    """Only this split."""
    scenes: int = 8
    """Samples on the sheet, evenly spread."""
    samples: int = 200
    """Read at most so many samples for the histograms, evenly spread; 0 leaves them out."""


@dataclass(frozen=True)
class VerifyOptions:
    """Read every sample of a dataset, derive its ground truth again, and say what is wrong."""

    url: Annotated[str, tyro.conf.Positional]
    """Local path or URL."""
    json: Path | None = None
    """Write what was found to this JSON file as well."""


@dataclass(frozen=True)
class ConvertOptions:
    """Write a dataset as shards, or in a published layout; what broke off goes on where it was."""

    source: Annotated[str, tyro.conf.Positional]
    """Local path or URL, or the folder of a public dataset."""
    out: Annotated[str, tyro.conf.Positional]
    """Local path or URL of the shards; with --to a local folder."""
    to: Literal["shards", "dsia-release", "fire"] = "shards"
    """What to write: shards, or pictures in the folders in which DSIA or FIRE is published."""
    split: str | None = None
    """Only this split."""
    limit: int | None = None
    """Only the first so many samples."""
    size: int | None = None
    """Side in pixels to which the pictures of pairs are resized, whatever their shape: 512 is the protocol of UDIS."""


def main(arguments: list[str]) -> int:
    """Run the command."""
    actions = {"info": _info, "preview": _preview, "verify": _verify, "convert": _convert}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(
            "usage: raylign data {info,preview,verify} URL\n"
            "       raylign data convert SOURCE OUT\n\n"
            "Look into a dataset, or write it as shards; '... info --help' tells more. A URL may also be the folder\n"
            "of a public dataset as it was published; it is recognised, or named by a prefix (fire:FOLDER):\n"
            f"{', '.join(NAMES)}."
        )
        return 0
    if arguments[0] not in actions:
        raise InputError(f"unknown action '{arguments[0]}'; choose one of {', '.join(actions)}")
    return actions[arguments[0]](arguments[1:])


def _info(arguments: list[str]) -> int:
    options = parse(InfoOptions, arguments, "data info")
    _at_least("--samples", options.samples, 0)
    from .layouts.base import LayoutError, LayoutReader
    from .layouts.opening import find_layout
    from .shards import DatasetInfo, published_shards

    url = absolute_url(options.url)
    try:
        found = find_layout(url)
        reader = None if found is None else LayoutReader(*found, url)
    except LayoutError as error:
        if error.advice:
            print(error.advice)
        raise
    info = DatasetInfo.load(url) if reader is None else reader.info
    shards = len(published_shards(url)) if reader is None else 0
    # A rendering that has just begun has settings and no sample: they can be told already.
    summary = _figures(url, None, options.samples)[1] if shards or reader else None
    if options.json:
        print(json.dumps({**asdict(info), **({"statistics": summary} if summary else {})}, indent=1))
        return 0
    print(_describe(url, info, shards) if reader is None else reader.describe())
    if summary:
        from .statistics import text_histograms

        print(f"\n{summary['samples']} samples read\n")
        print(text_histograms(summary, plain=not _can_print("▏█")))
    return 0


def _describe(url: str, info: DatasetInfo, shards: int) -> str:
    state = "complete" if info.complete else "not finished"
    lines = [
        url,
        f"  {info.kind}s by {info.generator}, seed {info.seed}",
        f"  {info.scenes} scenes in {shards} shard{'s' * (shards != 1)} ({state}), {len(info.failed)} failed",
    ]
    for name, (first, end) in sorted(info.splits.items(), key=lambda item: item[1]):
        lines.append(f"  {name}: {end - first} scenes" + (f" ({first} to {end - 1})" if end > first else ""))
    return "\n".join([*lines, f"  fields: {', '.join(info.fields)}"])


def _figures(url: str, split: str | None, limit: int) -> tuple[list[SampleStatistics], dict[str, Any] | None]:
    """Figures of at most `limit` samples and their summary."""
    if limit == 0:
        return [], None
    from ..progress import Progress
    from .layouts.opening import open_reader
    from .statistics import collect, summarise

    with Progress("reading", min(limit, len(open_reader(url, split))), "sample") as bar:
        rows = collect(url, split, limit, advance=bar.advance)
    return rows, summarise(rows)


def _preview(arguments: list[str]) -> int:
    options = parse(PreviewOptions, arguments, "data preview")
    _at_least("--scenes", options.scenes, 1)
    _at_least("--samples", options.samples, 0)
    from ..progress import Progress
    from .layouts.opening import open_reader
    from .preview import check_target, write_preview

    check_target(options.out)
    url = absolute_url(options.url)
    rows = min(options.scenes, len(open_reader(url, options.split)))
    figures, _ = _figures(url, options.split, options.samples)
    with Progress("drawing", rows, "row") as bar:
        write_preview(url, options.out, options.split, options.scenes, figures, advance=bar.advance)
    print(options.out)
    return 0


def _verify(arguments: list[str]) -> int:
    options = parse(VerifyOptions, arguments, "data verify")
    if options.json is not None and options.json.is_dir():
        raise InputError(f"--json {options.json}: is a folder, not a file")
    from ..progress import Progress
    from ..runs import write_text
    from .layouts.opening import open_reader
    from .shards import ShardReader
    from .verify import DamagedDatasetError, verify

    url = absolute_url(options.url)
    reader = open_reader(url)
    with Progress("checking", len(reader), "sample") as bar:
        problems = verify(url, advance=bar.advance)
    for problem in problems:
        print(problem)
    if options.json is not None:
        content = {"url": url, "samples": len(reader), "problems": [asdict(problem) for problem in problems]}
        write_text(options.json, json.dumps(content, indent=1) + "\n")
    if problems:
        bad = len({problem.place for problem in problems if problem.place.startswith("sample")})
        cure = "delete the shards that hold them and make them again"
        if not isinstance(reader, ShardReader):
            cure = "download their files again"
        raise DamagedDatasetError(f"{url}: {len(problems)} problems in {bad} of {reader.info.scenes} samples; {cure}")
    failed = f"; {len(reader.info.failed)} more could not be rendered" if reader.info.failed else ""
    print(f"{url}: {len(reader)} {reader.info.kind}s, each there once and whole, ground truth consistent{failed}")
    return 0


def _convert(arguments: list[str]) -> int:
    options = parse(ConvertOptions, arguments, "data convert")
    if options.limit is not None:
        _at_least("--limit", options.limit, 1)
    if options.size is not None:
        _at_least("--size", options.size, 16)
    from ..progress import Progress
    from .convert import convert
    from .layouts.opening import open_reader
    from .release import write_release

    url, out = absolute_url(options.source), absolute_url(options.out)
    held = len(open_reader(url, options.split))
    if options.to != "shards" and options.size is not None:
        raise InputError(f"--size: --to {options.to} writes pictures as they are; convert to shards of that size first")
    with Progress("converting", min(held, options.limit or held), "sample") as bar:
        if options.to != "shards":
            count = write_release(url, out, options.to, options.split, options.limit, advance=bar.advance)
            print(f"{out}: {count} pairs as {options.to}")
            return 0
        info = convert(url, out, options.split, options.limit, options.size, advance=bar.advance)
    print(f"{out}: {info.scenes} {info.kind}s, complete")
    return 0


def _at_least(flag: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{flag} must be at least {least}")


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
