"""Validation during training: a fixed set of held-out pairs at the working size."""

from __future__ import annotations

import torch
from torch import Tensor

from ...methods.aligner import LearnedAligner
from ...methods.geometry import image_corners, transform_points


def masked_psnr(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """PSNR in dB inside a mask, per sample; images `(B, 3, H, W)` in [0, 1], mask `(B, 1, H, W)` in {0, 1}.

    An empty mask gives 0 dB, equal images are capped at 100 dB.
    """
    count = mask.sum((1, 2, 3)) * a.shape[1]
    error = ((a - b).square() * mask).sum((1, 2, 3)) / count.clamp_min(1)
    value = -10 * torch.log10(error.clamp_min(1e-10))
    return torch.where(count > 0, value, torch.zeros_like(value))


@torch.inference_mode()
def validate(model: LearnedAligner, pairs: dict[str, Tensor], batch_size: int = 32) -> dict[str, float]:
    """Measure a model on held-out pairs, with its own `align`: in the precision that its users get.

    Args:
        model: any learned pair method.
        pairs: `reference`, `source` `(P, 3, S, S)` in [0, 1], `homography (P, 3, 3)`, NaN where unknown.
        batch_size: pairs at a time.

    Returns:
        Means of `val_psnr_overlap` (dB), `val_overlap` (share of the frame) and, where homographies are known,
        `val_corner_error` (mean distance of the four corners in pixels).
    """
    model.eval()
    device = model.device
    psnr, overlap, corner = [], [], []
    for first in range(0, len(pairs["reference"]), batch_size):
        batch = {name: value[first : first + batch_size].to(device) for name, value in pairs.items()}
        found = model.align(batch["reference"], batch["source"][:, None])
        psnr.append(masked_psnr(found.image, batch["reference"], found.mask))
        overlap.append(found.mask.float().mean((1, 2, 3)))
        known = batch["homography"].isfinite().all((1, 2))
        if found.homography is not None and known.any():
            size = batch["reference"].shape[-1]
            corners = image_corners((size, size), device=device)[None]
            truth = transform_points(batch["homography"][known], corners.expand(int(known.sum()), 4, 2))
            guess = transform_points(found.homography[known, 0].double(), corners.expand(int(known.sum()), 4, 2))
            corner.append((truth - guess).norm(dim=-1).mean(-1))
    metrics = {
        "val_psnr_overlap": float(torch.cat(psnr).mean()),
        "val_overlap": float(torch.cat(overlap).mean()),
    }
    if corner:
        metrics["val_corner_error"] = float(torch.cat(corner).mean())
    return metrics
