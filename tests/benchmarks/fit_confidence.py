"""Fits the logistic regression of the cross-scale method's confidence to pairs with known flow.

    python -m tests.benchmarks.fit_confidence CHECKPOINT DATA[#SPLIT] [PAIRS]

Each pair is aligned in one pass without adaptation and with it, and looked at with its true flow moved by more and
more; each reference also meets the source of the next pair, which is never right. An answer is right if its mean
end-point error over the visible pixels is below 1.2 % of the side: 3 px at 256.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize  # type: ignore[import-untyped]
from torch import Tensor

from raylign.methods import geometry, load
from raylign.methods.crossscale.confidence import LEAST_OVERLAP, agreement
from raylign.methods.crossscale.config import CrossScaleInference
from raylign.methods.crossscale.losses import mesh_positions
from raylign.methods.crossscale.network import CrossScale
from raylign.platform.data.samples import Samples, float_image

RIGHT = 0.012


def observations(model: CrossScale, url: str, split: str, count: int) -> list[tuple[float, float, bool]]:
    """Mean correlation, share of the frame, and whether the answer was right."""
    samples = Samples(url, split)
    pairs = []
    for index in range(min(count, len(samples))):
        frames, truth = samples[index].frames, samples.truth(index)
        assert truth.flow is not None
        assert truth.occlusion is not None
        reference, source = (resized(float_image(frame)[None], model.size) for frame in frames[:2])
        scale = model.size[0] / frames[0].shape[-1]
        flow = truth.flow.nan_to_num(1e9)
        visible = (truth.flow.isfinite().all(0) & ~truth.occlusion.bool())[None, None].float()
        pairs.append(
            (reference, source, F.interpolate(flow[None] * scale, model.size), F.interpolate(visible, model.size))
        )
    found = []
    for index, (reference, source, flow, visible) in enumerate(pairs):
        for adapt in (0, 80):
            model.inference = CrossScaleInference(start="network", adapt=adapt)
            found.append(answer(model, reference, source, flow, visible))
        other = pairs[(index + 1) % len(pairs)][1]
        found.append((*answer(model, reference, other, flow, visible)[:2], float("inf")))
        for pixels in (1, 2, 4, 8, 16):
            shifted = flow + pixels / 256 * model.size[0] * torch.tensor([0.6, 0.8])[:, None, None]
            positions = shifted.permute(0, 2, 3, 1) + geometry.pixel_grid(model.size)
            mean, share = agreement(reference, source, positions)
            found.append((float(mean), float(share), pixels / 256))
    return [(mean, share, far < RIGHT) for mean, share, far in found if share >= LEAST_OVERLAP]


def resized(picture: Tensor, size: geometry.Size) -> Tensor:
    """At the working size."""
    return F.interpolate(picture, size, mode="bilinear", align_corners=False, antialias=True)


def answer(
    model: CrossScale, reference: Tensor, source: Tensor, flow: Tensor, visible: Tensor
) -> tuple[float, float, float]:
    """What the confidence is made of, which is known before the adaptation, and the mean end-point error of the answer
    as a share of the side."""
    found = model.align(reference, source[:, None])
    assert found.flow is not None
    mean, share = agreement(reference, source, mesh_positions(found.extras["mesh"].double(), model.size))
    distance = (found.flow[:, 0] - flow).square().sum(1).sqrt()
    return float(mean), float(share), float((distance * visible[:, 0]).sum() / visible.sum()) / model.size[0]


def main() -> None:
    """Print the coefficients and what they are worth."""
    checkpoint, data, *rest = sys.argv[1:]
    url, _, split = data.partition("#")
    model = load(checkpoint)
    assert isinstance(model, CrossScale)
    rows = np.array(observations(model, url, split or "val", int(rest[0]) if rest else 60), dtype=np.float64)
    features = np.stack([np.ones(len(rows)), rows[:, 0], np.log(rows[:, 1])], axis=1)
    fit("INTERCEPT, SLOPE, OVERLAP_SLOPE", features, rows[:, 2])


def fit(names: str, features: np.ndarray, right: np.ndarray) -> None:
    """Fit a logistic regression, and print its weights and what they are worth.

    Args:
        names: of the weights.
        features: `(N, F)`, the first of them ones.
        right: `(N,)`, 1 where the answer was right, 0 elsewhere.
    """

    def loss(weights: np.ndarray) -> float:
        logits = features @ weights
        return float((np.logaddexp(0, logits) - right * logits).mean() + 1e-4 * (weights**2).sum())

    weights = minimize(loss, np.zeros(features.shape[1])).x
    probability = 1 / (1 + np.exp(-features @ weights))
    print(f"{len(right)} answers, {right.mean():.0%} right; {names} = {weights.round(2).tolist()}")
    for low in np.arange(0, 1, 0.1):
        held = (probability >= low) & (probability < low + 0.1)
        if held.any():
            print(f"  {low:.1f} to {low + 0.1:.1f}: {held.sum():4d} answers, {right[held].mean():.2f} right")


if __name__ == "__main__":
    main()
