"""Aligning one reference with its sources: the one way that `raylign align` and the service share.

The service promises the bytes that the command line writes. Sums in floating point depend on how many threads share
them, and Ray gives its workers another number than a shell has; so the number is set here, in one place, for both.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..methods.errors import CheckpointError, InputError, RaylignError, UnreliableAlignmentError
from ..methods.registry import is_learned, load, names, needs_weights
from .inference import Chosen, set_inference, told_inference

if TYPE_CHECKING:
    from torch import Tensor

    from ..methods.aligner import Aligner, Alignment
    from ..methods.canvas import Blend, Canvas
    from ..methods.transform import Transform

AUTO = "auto"
CHAMPION = "champion"
FALLBACK_METHOD = "sift"
"""What `--method auto` takes while no model is the champion: it needs no training."""

MIN_CONFIDENCE = 0.0
"""The threshold for methods that name none of their own (`min_confidence`): at 0 they answer with no result at all."""


@dataclass(frozen=True)
class ModelChoice:
    """Which model to align with; cheap to make and to send, nothing is loaded yet."""

    method: str
    """Name of the method in the registry."""
    name: str
    """What the user sees: the training run's name, the checkpoint's folder, or the method's name."""
    target: str
    """What `raylign.methods.load` takes."""
    version: int | None = None
    """Number in the model registry, where it comes from there."""
    metrics: tuple[tuple[str, float], ...] = ()
    """What its training measured last."""
    weights: str | None = None
    """File with the published weights of a method that needs them."""
    pretrained: bool = False
    """Whether to take those weights from torch's cache, or to download them there."""
    inference: Chosen = ()
    """What it aligns with instead of its method's defaults, see `inference.check_inference`."""


@dataclass(frozen=True)
class AlignedPicture:
    """One reference with its sources, aligned. Everything lies on the CPU."""

    image: Tensor
    """`(3, H, W)` in [0, 1], the sources in the frame of the reference; zero outside `mask`."""
    mask: Tensor
    """`(H, W)`, bool."""
    homography: Tensor | None
    """`(N, 3, 3)`, float64, reference pixels to source pixels; NaN for a source that was left out."""
    flow: Tensor | None
    """`(N, 2, H, W)`, float32, pixels, where the method itself gives one."""
    confidence: float | None
    """In [0, 1], where the method has one."""
    reliable: bool
    """Whether the confidence is above the method's threshold; a method without confidence is taken at its word."""
    facts: dict[str, Any]
    """What `--json` and the service tell, ready for JSON: method, model, sizes `[width, height]`, confidence, reliable,
    homography (a list of them for several sources, null for one that was left out), overlap (the covered share of the
    reference), seconds; inference (the options it was aligned with, empty for a method that has none); sources_used (a
    list of booleans), where the method leaves out what it finds nothing for; source_confidence (a list), where it has
    one for each source."""
    used: Tensor | None = None
    """`(N,)`, bool, which sources went into the image, where the method leaves out what it finds nothing for."""
    transform: Transform | None = None
    """Where any point of the reference plane lies in the source, where the method knows; on the method's device."""
    weights: Tensor | None = None
    """`(N + 1, H, W)`, of any precision, the part of the reference (first) and of each source in each pixel of the
    image, where the method tells it; they sum to 1."""
    source_confidence: Tensor | None = None
    """`(N,)` in [0, 1], of each source, where a method for sets has one."""


def choose_model(
    method: str = AUTO,
    checkpoint: str | None = None,
    tracking_uri: str | None = None,
    *,
    weights: str | None = None,
    pretrained: bool = False,
) -> ModelChoice:
    """Turn the options `--method`, `--checkpoint`, `--tracking-uri`, `--weights`, `--pretrained` into one model.

    Args:
        method: a name of `raylign.methods.names()`, or `auto`: the champion if there is one, else `sift`. A learned
            method without `checkpoint` means its newest trained model.
        checkpoint: a checkpoint folder, or what `raylign models` lists: `champion`, a version number or a run's name.
        tracking_uri: address of the MLflow store.
        weights: file with published weights, for a method that needs them.
        pretrained: take those weights from torch's cache, or download them there.

    Raises:
        InputError: unknown method, no such model, a checkpoint of another method than `method`, or published weights
            for a method that takes none.
    """
    if method != AUTO and method not in names():
        raise InputError(f"--method: '{method}' is not one of {AUTO}, {', '.join(names())}")
    if weights is not None or pretrained:
        option = "--pretrained" if pretrained else "--weights"
        wanting = [name for name in names() if needs_weights(name)]
        if checkpoint is not None:
            raise InputError(f"{option} and --checkpoint exclude each other; give one")
        if method not in wanting:
            raise InputError(f"{option} is for --method {', '.join(wanting)}; leave it out")
    if checkpoint is not None:
        choice = _checkpoint(checkpoint, tracking_uri)
        if method not in (AUTO, choice.method):
            raise InputError(f"--checkpoint {checkpoint} belongs to '{choice.method}'; leave out --method {method}")
        return choice
    if method == AUTO:
        return _champion(tracking_uri) or ModelChoice(FALLBACK_METHOD, FALLBACK_METHOD, FALLBACK_METHOD)
    if not is_learned(method):
        file = None if weights is None else str(Path(weights).expanduser().resolve())
        return ModelChoice(method, method, method, weights=file, pretrained=pretrained)
    return registered_model(method, tracking_uri)


def load_model(choice: ModelChoice) -> Aligner:
    """The model, ready to align: in evaluation mode, on the GPU if there is one.

    Raises:
        CheckpointError: its files are incomplete or damaged.
        MissingWeightsError: the method needs published weights, and `choice` names none.
        InputError: those weights cannot be had, or do not fit; or the method has no such inference options.
    """
    import torch

    aligner = load(choice.target, weights=choice.weights, pretrained=choice.pretrained)
    if isinstance(aligner, torch.nn.Module):
        aligner.eval().requires_grad_(False)
        if torch.cuda.is_available():
            aligner.to("cuda")
    set_inference(aligner, choice.inference, choice.name)
    return aligner


def align_images(
    aligner: Aligner,
    reference: Tensor,
    sources: Sequence[Tensor],
    choice: ModelChoice,
    *,
    threads: int | None = None,
) -> AlignedPicture:
    """Align pictures, the same way in every process of one machine.

    Args:
        aligner: from `load_model(choice)`.
        reference: `(3, H, W)`, RGB in [0, 1].
        sources: each `(3, h, w)`; several must have one size.
        choice: the model, for the facts.
        threads: CPU threads; None means one for each CPU that this process may use.

    Raises:
        InputError: no source or more than the method takes, several sizes of them, or tensors that are no pictures.
        RaylignError: the method gave numbers that are not finite.
    """
    import torch

    if not sources:
        raise InputError("SRC: there is no source; give one")
    for label, picture in (("REF", reference), *(("SRC", source) for source in sources)):
        if picture.dim() != 3 or picture.shape[0] != 3:
            raise InputError(f"{label}: a picture must be (3, H, W), not {tuple(picture.shape)}")
    most = aligner.max_sources
    if most is not None and len(sources) > most:
        raise InputError(f"SRC: '{choice.method}' takes at most {most} at once, not {len(sources)}; align one by one")
    sizes = {tuple(source.shape) for source in sources}
    if len(sizes) > 1:
        told = ", ".join(f"{width} x {height}" for _, height, width in sorted(sizes))
        raise InputError(f"SRC: several sources must have one size, these have {told}")
    device = next(aligner.parameters()).device if isinstance(aligner, torch.nn.Module) else torch.device("cpu")
    start = time.perf_counter()
    with same_everywhere(threads or usable_cpus()):
        alignment = aligner.align(reference[None].to(device), torch.stack(list(sources))[None].to(device))
    seconds = time.perf_counter() - start
    _check_finite(alignment, choice)
    return _picture(alignment, reference, sources, choice, seconds, aligner)


def stitch_images(aligned: AlignedPicture, reference: Tensor, source: Tensor, blend: Blend) -> Canvas:
    """Reference and source on one canvas that holds all of both, on the CPU; the same in every process of one machine.

    Args:
        aligned: what was found for them.
        reference: `(3, H, W)`, RGB in [0, 1].
        source: `(3, h, w)`.
        blend: how they are mixed, see `methods.canvas.Blend`.

    Raises:
        InputError: the method tells nothing beyond the reference's frame, or the source reaches too far.
    """
    from ..methods.canvas import stitch

    if aligned.transform is None:
        raise InputError(
            f"--canvas: '{aligned.facts['method']}' tells nothing beyond the frame of REF; choose another --method"
        )
    with same_everywhere(usable_cpus()):
        canvas = stitch(reference, source, aligned.transform, blend)
    return replace(canvas, image=canvas.image.cpu(), mask=canvas.mask.cpu())


def unreliable(aligned: AlignedPicture) -> UnreliableAlignmentError:
    """The error that tells why a result is held back."""
    facts = aligned.facts
    return UnreliableAlignmentError(
        f"no reliable alignment found: confidence {facts['confidence']:.3f} is not above the threshold "
        f"{facts['min_confidence']:.3f} of '{facts['method']}'; try another method, or force to have the result anyway"
    )


def usable_cpus() -> int:
    """How many CPUs this process may keep busy: its affinity, within the quota of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, round(int(quota) / int(period))))
    return count


@contextlib.contextmanager
def same_everywhere(threads: int) -> Iterator[None]:
    """Have threads, random numbers and GPU kernels chosen alike in every process; the caller's random state stays."""
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    cv2.setRNGSeed(0)
    with (
        torch.inference_mode(),
        torch.random.fork_rng(),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(0)
        yield


def _check_finite(alignment: Alignment, choice: ModelChoice) -> None:
    told = [alignment.image, alignment.mask, alignment.homography, alignment.flow, alignment.confidence]
    told.append(alignment.extras.get("weights"))
    if not all(bool(tensor.isfinite().all()) for tensor in told if tensor is not None):
        raise RaylignError(
            f"'{choice.name}' gave numbers that are not finite for these pictures; choose another method or model"
        )


def _picture(
    alignment: Alignment,
    reference: Tensor,
    sources: Sequence[Tensor],
    choice: ModelChoice,
    seconds: float,
    aligner: Aligner,
) -> AlignedPicture:
    min_confidence = getattr(aligner, "min_confidence", MIN_CONFIDENCE)
    mask = alignment.mask[0, 0].cpu() > 0.5
    homography = None if alignment.homography is None else alignment.homography[0].cpu().double()
    confidence = None if alignment.confidence is None else float(alignment.confidence[0])
    reliable = confidence is None or confidence > min_confidence
    # Frame 0 of a method that merges is the reference.
    frames_used = alignment.extras.get("frames_used")
    used = None if frames_used is None else frames_used[0, 1:].cpu()
    if homography is not None and used is not None:
        homography = homography.masked_fill(~used[:, None, None], math.nan)
    weights, sure = alignment.extras.get("weights"), alignment.extras.get("source_confidence")
    told = None if homography is None else [each.tolist() if each.isfinite().all() else None for each in homography]
    return AlignedPicture(
        image=alignment.image[0].float().cpu(),
        mask=mask,
        homography=homography,
        flow=None if alignment.flow is None else alignment.flow[0].float().cpu(),
        confidence=confidence,
        reliable=reliable,
        facts={
            "method": choice.method,
            "model": choice.name,
            "version": choice.version,
            "reference": [reference.shape[2], reference.shape[1]],
            "sources": [[source.shape[2], source.shape[1]] for source in sources],
            "confidence": confidence,
            "min_confidence": min_confidence,
            "reliable": reliable,
            "homography": told[0] if told and len(told) == 1 else told,
            "overlap": round(float(mask.float().mean()), 6),
            "seconds": round(seconds, 4),
            "inference": told_inference(aligner),
        }
        | ({} if used is None else {"sources_used": used.tolist()})
        | ({} if sure is None else {"source_confidence": [round(each, 6) for each in sure[0].tolist()]}),
        used=used,
        transform=alignment.transform,
        weights=None if weights is None else weights[0, :, 0].cpu(),
        source_confidence=None if sure is None else sure[0].float().cpu(),
    )


def _checkpoint(text: str, tracking_uri: str | None) -> ModelChoice:
    folder = Path(text).expanduser()
    if folder.is_dir():
        path = folder.resolve()
        # A training leaves runs/train/NAME/checkpoint.
        name = path.parent.name if path.name == "checkpoint" else path.name
        return ModelChoice(_method_of(folder), name, str(path))
    if folder.exists() or "/" in text:
        raise CheckpointError(f"--checkpoint {text}: no checkpoint folder; give one that holds model.safetensors")
    return registered_model(text, tracking_uri)


def _method_of(folder: Path) -> str:
    """The method that a checkpoint belongs to."""
    import json

    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        method = content["method"]
        if method in names():
            return str(method)
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(f"--checkpoint {folder}: its config.json is missing or names no method") from None
    raise CheckpointError(f"--checkpoint {folder} belongs to '{method}', which is not one of {', '.join(names())}")


def registered_model(text: str, tracking_uri: str | None) -> ModelChoice:
    """A model of the registry.

    Args:
        text: `champion`, a version number, a run's name or a method's name.
        tracking_uri: address of the MLflow store.

    Raises:
        InputError: there is none.
    """
    if not _store_exists(tracking_uri):
        raise InputError(f"no model '{text}': nothing is trained yet; run 'raylign train METHOD --data URL' first")
    from .models import resolve_model

    model = resolve_model(text, tracking_uri)
    metrics = tuple(sorted(model.metrics.items()))
    return ModelChoice(model.method, model.name, str(model.checkpoint), model.version, metrics)


def _champion(tracking_uri: str | None) -> ModelChoice | None:
    """The promoted model, if there is one."""
    if not _store_exists(tracking_uri):
        return None
    from .models import list_models

    promoted = any(CHAMPION in model.aliases for model in list_models(tracking_uri))
    return registered_model(CHAMPION, tracking_uri) if promoted else None


def _store_exists(tracking_uri: str | None) -> bool:
    """Whether the SQLite file of the registry is there; asking MLflow takes seconds and would leave an empty one."""
    from .runs import RUNS
    from .tracking import sqlite_path

    store = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(RUNS / 'mlflow.db').absolute()}"
    database = sqlite_path(store)
    return database is None or database.expanduser().exists()
