"""Validation during training: a fixed set of held-out samples at the working size."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...methods.aligner import LearnedAligner
from ...methods.geometry import image_corners, transform_points
from .average import WeightAverage
from .pictures import masked_psnr, sheet


@torch.inference_mode()
def validate(
    model: LearnedAligner,
    samples: dict[str, Tensor],
    *,
    seed: int = 0,
    average: WeightAverage | None = None,
    inference: Any = None,
    pictures: int = 0,
    batch_size: int = 32,
) -> tuple[dict[str, float], bytes | None]:
    """Measure a model on held-out samples, with its own `align`: in the precision that its users get.

    What the model aligns with otherwise holds again afterwards.

    Args:
        model: any learned method.
        samples: pairs `reference`, `source` `(P, 3, S, S)` in [0, 1], `homography (P, 3, 3)`, NaN where unknown, and
            where known `truth (P, 3, S, S)`, `dynamic (P, 1, S, S)` in {0, 1} or NaN; or sequences
            `frames (P, T, 3, S, S)`, `truth (P, 3, S, S)`, `homographies (P, T, 3, 3)`.
        seed: of methods that draw random numbers; the training's own stream is left as it is.
        average: whose weights are measured instead of the model's.
        inference: the `Inference` to align with; None means the method's `validation_inference()`.
        pictures: samples on the contact sheet.
        batch_size: samples at a time.

    Returns:
        Means of `val_psnr_overlap` (dB, against the truth, or without one against the reference), `val_overlap` (share
        of the frame) and, where homographies are known, `val_corner_error` (mean distance of the four corners in
        pixels), where it is known that something moves, `val_psnr_dynamic` (dB, over what moves, covered or not); and
        the contact sheet as PNG.
    """
    device = model.device
    devices = [device] if device.type == "cuda" else []
    picture = None
    names = ("val_psnr_overlap", "val_overlap", "val_corner_error", "val_psnr_dynamic")
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    model.eval()
    applied = average.applied() if average else contextlib.nullcontext()
    with torch.random.fork_rng(devices), applied, _aligning_with(model, inference):
        torch.manual_seed(seed)
        for first in range(0, len(next(iter(samples.values()))), batch_size):
            batch = {name: value[first : first + batch_size].to(device) for name, value in samples.items()}
            reference, sources, truth, homographies = _asked(batch)
            found = model.align(reference, sources)
            parts["val_psnr_overlap"].append(masked_psnr(found.image, truth, found.mask))
            parts["val_overlap"].append(found.mask.float().mean((1, 2, 3)))
            if found.homography is not None:
                parts["val_corner_error"].append(corner_errors(found.homography, homographies, truth.shape[-1]))
            if "dynamic" in batch:
                moving = (batch["dynamic"] == 1).float()
                known = moving.flatten(1).any(1)
                parts["val_psnr_dynamic"].append(masked_psnr(found.image, truth, moving)[known])
            if pictures and picture is None:
                picture = sheet(batch, found, pictures)
    means = {name: torch.cat(values) for name, values in parts.items() if values}
    return {name: float(values.mean()) for name, values in means.items() if len(values)}, picture


@contextlib.contextmanager
def _aligning_with(model: LearnedAligner, inference: Any) -> Iterator[None]:
    chosen, model.inference = model.inference, inference or model.validation_inference()
    try:
        yield
    finally:
        model.inference = chosen


def _asked(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Reference `(B, 3, S, S)`, sources `(B, N, 3, S, S)`, truth `(B, 3, S, S)`, homographies `(B, N, 3, 3)`."""
    if "frames" in batch:
        frames = batch["frames"]
        return frames[:, 0], frames[:, 1:], batch["truth"], batch["homographies"][:, 1:]
    reference = batch["reference"]
    return reference, batch["source"][:, None], batch.get("truth", reference), batch["homography"][:, None]


def corner_errors(found: Tensor, truth: Tensor, size: int) -> Tensor:
    """Mean distance in pixels of the four corners under homographies `(B, N, 3, 3)`, for those `truth` knows."""
    known = truth.isfinite().all((2, 3))
    corners = image_corners((size, size), device=found.device)[None].expand(int(known.sum()), 4, 2)
    guess = transform_points(found[known].double(), corners)
    return (transform_points(truth[known].double(), corners) - guess).norm(dim=-1).mean(-1)
