"""`raylign align`: bring picture files into the frame of a reference."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..methods.errors import InputError
from .alignment import (
    AUTO,
    AlignedPicture,
    ModelChoice,
    align_images,
    choose_model,
    load_model,
    stitch_images,
    unreliable,
)
from .arguments import parse
from .images import check_fits, check_image, encode_image, output_format, read_image, write_files
from .inference import Chosen, check_inference, read_choices

if TYPE_CHECKING:
    from torch import Tensor

    from ..methods.aligner import Aligner
    from ..methods.canvas import Canvas


@dataclass(frozen=True)
class AlignOptions:
    """Bring one or more pictures into the frame of a reference.

    Exit status: 0 done, 2 an input is wrong, 3 no reliable alignment was found (then nothing is written).
    """

    reference: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="REF")]
    """The picture whose frame counts: PNG, JPEG, WebP or TIFF."""
    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SRC [SRC ...]")]
    """The picture to bring into that frame; several for methods that merge."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="OUT")]
    """Where the result goes; .png, .webp (both lossless) or .jpg."""
    method: str = AUTO
    """A method's name; auto takes the champion if there is one, else sift."""
    checkpoint: str | None = None
    """A checkpoint folder, or a model of 'raylign models': champion, a version number or a run's name."""
    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Published weights of the method (.safetensors, .pth, .ckpt), for those that need them."""
    pretrained: tyro.conf.FlagCreatePairsOff[bool] = False
    """Take the published weights from torch's cache, or download them there."""
    save_transform: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None
    """Also write flow (pixels, reference to source), mask, confidence and homography; of sets which sources were used,
    and their weights in each pixel."""
    apply: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None
    """Find nothing: bring SRC over as a file of --save-transform says, which was found for pictures in the same frames,
    also of other resolutions."""
    report: Annotated[Path | None, tyro.conf.arg(metavar="FILE.html")] = None
    """Also write a page that shows before and after; of sets each shot as aligned, and which one each pixel is from."""
    canvas: Literal["linear", "seam"] | None = None
    """OUT becomes the panorama of REF and SRC: the frame of REF, made large enough for all of both. Where both show
    something, 'linear' fades from one to the other; 'seam' cuts where they differ least."""
    alpha: tyro.conf.FlagCreatePairsOff[bool] = False
    """Make OUT transparent where no source covers it; with --canvas, where neither picture does."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE [NAME=VALUE ...]")] = ()
    """Inference options of a learned method, after REF and SRC; a wrong name tells which ones it has."""
    adapt: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Short for --set adapt=N: most steps of adaptation to the pair, for methods that adapt; 0 turns it off."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print one line of facts as JSON on standard output."""
    force: tyro.conf.FlagCreatePairsOff[bool] = False
    """Write the result even if its confidence is under the method's threshold."""
    tracking_uri: str | None = None
    """MLflow store; by default MLFLOW_TRACKING_URI, else runs/mlflow.db."""


def main(arguments: Sequence[str]) -> None:
    """`raylign align REF SRC [SRC ...] -o OUT`.

    Raises:
        InputError: an argument or a picture is wrong; nothing was written.
        UnreliableAlignmentError: the confidence is under the threshold; nothing was written.
    """
    options = parse(AlignOptions, arguments, "align")
    if not options.sources:
        raise InputError("missing SRC; give the picture to align (see 'raylign align --help')")
    format_name = _check_outputs(options)
    labelled = {f"REF {options.reference}": options.reference}
    labelled |= {f"SRC {source}": source for source in options.sources}
    sizes = {label: check_image(path, label) for label, path in labelled.items()}
    check_fits(format_name, sizes[f"REF {options.reference}"], f"--out {options.out}")
    choice, aligner = _model(options)
    reference = read_image(options.reference, f"REF {options.reference}")
    sources = [read_image(source, f"SRC {source}") for source in options.sources]
    aligned = align_images(aligner, reference, sources, choice)
    written = aligned.reliable or options.force
    facts = aligned.facts | {"out": str(options.out) if written else None}
    if written:
        canvas = None
        if options.canvas is not None:
            canvas = stitch_images(aligned, reference, sources[0], options.canvas)
            size = (canvas.image.shape[2], canvas.image.shape[1])
            check_fits(format_name, size, f"--out {options.out} --canvas {options.canvas}")
            told = {"blend": options.canvas, "size": list(size), "reference_offset": list(canvas.reference_offset)}
            facts["canvas"] = told
        write_files(_contents(options, format_name, reference, sources, aligned, canvas, facts))
    if options.json:
        print(json.dumps(facts, allow_nan=False))
    elif written:
        print(_summary(facts))
    if not written:
        raise unreliable(aligned)


def _model(options: AlignOptions) -> tuple[ModelChoice, Aligner]:
    """What aligns: a method, a model, or a transform that was saved."""
    if options.apply is not None:
        usual = AlignOptions(options.reference, options.sources, options.out)
        for name in ("method", "checkpoint", "weights", "pretrained", "set", "adapt"):
            if getattr(options, name) != getattr(usual, name):
                raise InputError(f"--apply and --{name} exclude each other; give one")
        from .transform_arrays import SavedTransform

        told = str(options.apply)
        return ModelChoice(SavedTransform.name, told, told), SavedTransform(options.apply, f"--apply {told}")
    choice = choose_model(
        options.method,
        options.checkpoint,
        options.tracking_uri,
        weights=None if options.weights is None else str(options.weights),
        pretrained=options.pretrained,
    )
    choice = replace(choice, inference=_inference(options, choice.method))
    return choice, load_model(choice)


def _inference(options: AlignOptions, method: str) -> Chosen:
    """What `--set` and `--adapt` choose."""
    chosen = check_inference(method, read_choices(options.set, "--set"), "--set")
    if options.adapt is None:
        return chosen
    if "adapt" in dict(chosen):
        raise InputError("--adapt and --set adapt=N exclude each other; give one")
    return tuple(sorted((*chosen, *check_inference(method, (("adapt", str(options.adapt)),), "--adapt"))))


def _check_outputs(options: AlignOptions) -> str:
    """Check every output before any work; returns the format of OUT."""
    format_name = output_format(options.out, "--out", alpha=options.alpha)
    outputs = {"--out": options.out, "--save-transform": options.save_transform, "--report": options.report}
    suffixes = {"--save-transform": ".npz", "--report": ".html"}
    taken = {path.resolve(): name for name, path in _inputs(options)}
    for option, path in outputs.items():
        if path is None:
            continue
        if option in suffixes and path.suffix.lower() != suffixes[option]:
            raise InputError(f"{option} {path}: the name must end in {suffixes[option]}")
        if path.exists() and not path.is_file():
            raise InputError(f"{option} {path}: this is not a regular file; give a file name")
        folder = path.resolve().parent
        if not folder.is_dir():
            raise InputError(f"{option} {path}: there is no folder {folder}; make it first")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"{option} {path}: the folder {folder} is not writable; choose another place")
        if path.resolve() in taken:
            raise InputError(f"{option} {path} would overwrite {taken[path.resolve()]}; give another name")
        taken[path.resolve()] = option
    return format_name


def _inputs(options: AlignOptions) -> Iterable[tuple[str, Path]]:
    yield "REF", options.reference
    if options.apply is not None:
        yield "--apply", options.apply
    for source in options.sources:
        yield "SRC", source


def _contents(
    options: AlignOptions,
    format_name: str,
    reference: Tensor,
    sources: Sequence[Tensor],
    aligned: AlignedPicture,
    canvas: Canvas | None,
    facts: dict[str, Any],
) -> dict[Path, bytes]:
    """Everything that is to be written, as bytes."""
    shown = canvas or aligned
    contents = {options.out: encode_image(shown.image, shown.mask if options.alpha else None, format_name)}
    if options.save_transform:
        import numpy as np

        from .transform_arrays import transform_arrays

        buffer = io.BytesIO()
        np.savez_compressed(buffer, **transform_arrays(aligned))
        contents[options.save_transform] = buffer.getvalue()
    if options.report:
        from .align_report import align_page

        lead = _summary(facts | {"out": "Aligned"})
        contents[options.report] = align_page(reference, sources, aligned, canvas, facts, lead).encode()
    return contents


def _summary(facts: dict[str, Any]) -> str:
    model = "" if facts["model"] == facts["method"] else f" ({facts['model']})"
    confidence = "" if facts["confidence"] is None else f", confidence {facts['confidence']:.3f}"
    width, height = facts["canvas"]["size"] if "canvas" in facts else facts["reference"]
    where = "" if "canvas" not in facts else ", REF at {}, {}".format(*facts["canvas"]["reference_offset"])
    left_out = [str(number) for number, used in enumerate(facts.get("sources_used", ()), start=1) if not used]
    without = f", left out: SRC {', '.join(left_out)}" if left_out else ""
    return (
        f"{facts['out']}: {width} x {height}{where}, {facts['method']}{model}{confidence}{without}, "
        f"overlap {facts['overlap']:.1%}, {facts['seconds']:.2f} s"
    )
