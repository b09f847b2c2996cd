"""`raylign data {info,preview,verify}`: looks into a dataset."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ...methods.errors import DatasetError, InputError
from ..arguments import parse
from ..runs import absolute_url


@dataclass(frozen=True)
class InfoOptions:
    """Say what a dataset holds."""

    url: Annotated[str, tyro.conf.Positional]
    """Local path or URL."""
    json: bool = False
    """Print `dataset.json` instead of a summary."""


@dataclass(frozen=True)
class PreviewOptions:
    """Draw a contact sheet of a dataset."""

    url: Annotated[str, tyro.conf.Positional]
    """Local path or URL."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """PNG file to write."""
    split: str | None = None
    """Only this split."""
    scenes: int = 8
    """Samples on the sheet."""


@dataclass(frozen=True)
class VerifyOptions:
    """Read every sample of a dataset and say what is damaged, missing or there twice."""

    url: Annotated[str, tyro.conf.Positional]
    """Local path or URL."""


def main(arguments: list[str]) -> int:
    """Run the command."""
    actions = {"info": _info, "preview": _preview, "verify": _verify}
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: raylign data {info,preview,verify} URL\n\nLook into a dataset; '... info --help' tells more.")
        return 0
    if arguments[0] not in actions:
        raise InputError(f"unknown action '{arguments[0]}'; choose one of {', '.join(actions)}")
    return actions[arguments[0]](arguments[1:])


def _info(arguments: list[str]) -> int:
    options = parse(InfoOptions, arguments, "data info")
    from .shards import DatasetInfo, published_shards

    url = absolute_url(options.url)
    info = DatasetInfo.load(url)
    if options.json:
        print(json.dumps(asdict(info), indent=1))
        return 0
    print(f"{url}\n  {info.kind}s by {info.generator}, seed {info.seed}")
    state = "complete" if info.complete else "not finished"
    print(f"  {info.scenes} scenes in {len(published_shards(url))} shards ({state}), {len(info.failed)} failed")
    for name, (first, end) in info.splits.items():
        print(f"  {name}: {end - first} scenes ({first} to {end - 1})")
    print(f"  fields: {', '.join(info.fields)}")
    return 0


def _preview(arguments: list[str]) -> int:
    options = parse(PreviewOptions, arguments, "data preview")
    if options.scenes < 1:
        raise InputError("--scenes must be at least 1")
    from .preview import contact_sheet

    try:
        options.out.write_bytes(contact_sheet(absolute_url(options.url), options.split, options.scenes))
    except OSError as error:
        from .shards import write_error

        raise write_error(options.out, error) from None
    print(options.out)
    return 0


def _verify(arguments: list[str]) -> int:
    options = parse(VerifyOptions, arguments, "data verify")
    from .preview import find_damage

    url = absolute_url(options.url)
    problems = find_damage(url)
    for problem in problems:
        print(problem)
    if problems:
        raise DatasetError(f"{url}: {len(problems)} problems; delete the shards named above and render again")
    print(f"{url}: every sample is there once and whole")
    return 0
