"""What methods make of photographs in which things move, where somebody measured the flow.

    python -m tests.benchmarks.real_flow DATA[#SPLIT] METHOD_OR_CHECKPOINT[...]

For pairs with a true flow and no true picture. PSNR of the aligned picture in two regions of the reference:

- still: against the source brought over by the true flow, which is the truth there;
- moving: against what the source shows of the moving things, brought over by the homography that what stands still
  follows, where that shows them. Only where the truth is dense: it needs all of what moves, and a nearly flat rest.
- left: where the reference shows what moves, against the source brought over by the true flow. It is high where a
  method puts things back to where they were, which is not asked for here.

In a dense truth that moves by itself which is off the homography by more than `OFF` pixels; in a sparse one, as that of
KITTI, what is dense there: cars, whose flow comes from models of them.
"""

from __future__ import annotations

import math
import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from raylign.methods import geometry
from raylign.methods.classical.keypoints import agree
from raylign.platform.alignment import load_model
from raylign.platform.data.samples import Samples, float_image
from raylign.platform.evaluation.models import choose_models

OFF = 1.5
DENSE = 0.5
"""Share of known pixels from which a truth is dense."""
WINDOW, FILLED = 9, 0.75
"""Side of the windows in which a sparse truth is called dense, and from which share of known pixels on."""
STRIDE = 4
THRESHOLD = 1.0
"""Pixels up to which a flow vector follows the homography."""


def main() -> None:
    """Print a table of each pair."""
    data, *names = sys.argv[1:]
    url, _, split = data.partition("#")
    samples = Samples(url, split or None)
    choices, _ = choose_models(names, weights=(), pretrained=False, tracking_uri=None)
    methods = {choice.name: load_model(choice) for choice in choices}
    for position in range(len(samples)):
        flow = samples.truth(position, ("flow",)).flow
        if flow is None:
            continue
        sample = samples[position]
        reference, source = (float_image(frame)[None] for frame in sample.frames)
        regions = regions_of(source, flow)
        print(f"\n{sample.name}: " + ", ".join(f"{name} {mask.mean():.3f}" for name, (_, mask) in regions.items()))
        print("\n| method | " + " | ".join(regions) + " |\n|---|" + "--:|" * len(regions))
        for name, method in methods.items():
            image = method.align(reference, source[:, None]).image
            told = " | ".join(f"{psnr(image, truth, mask):.2f}" for truth, mask in regions.values())
            print(f"| `{name}` | {told} |", flush=True)


def regions_of(source: Tensor, flow: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """By name the truth `(1, 3, H, W)` and where it holds, `(1, 1, H, W)` in {0, 1}.

    Args:
        source: `(1, 3, H, W)`.
        flow: `(2, H, W)` in pixels from the reference into the source, NaN where unknown.
    """
    size: geometry.Size = (flow.shape[-2], flow.shape[-1])
    known = flow.isfinite().all(dim=0)
    positions = geometry.pixel_grid(size) + flow.permute(1, 2, 0).nan_to_num()
    brought = geometry.sample(source, positions[None])
    inside = geometry.coverage(positions[None], size) > 0
    known = known[None, None] & inside.reshape(1, 1, *size)
    if known.float().mean() < DENSE:
        moving = known & (F.avg_pool2d(known.float(), WINDOW, stride=1, padding=WINDOW // 2) > FILLED)
        return {"still": (brought, (known & ~moving).float()), "left": (brought, moving.float())}
    sparse = (slice(None, None, STRIDE),) * 2
    some = known[0, 0][sparse]
    ends = (geometry.pixel_grid(size)[sparse][some].numpy(), positions[sparse][some].numpy())
    homography = agree(*ends, (size, size), (size, size), THRESHOLD).homography
    assert homography is not None, "what stands still follows no homography"
    plane = geometry.homography_positions(homography[None], size)
    moving = known & ((plane - positions).norm(dim=-1) > OFF).reshape(1, 1, *size)
    # Splatted to the nearest pixel, then closed: flow that spreads leaves gaps.
    shown = torch.zeros(1, 1, *size)
    there = positions[moving[0, 0]].round().long()
    shown[0, 0, there[:, 1].clamp(0, size[0] - 1), there[:, 0].clamp(0, size[1] - 1)] = 1
    shown = -F.max_pool2d(-F.max_pool2d(shown, 3, 1, 1), 3, 1, 1)
    kept = geometry.warp_by_homography(torch.cat([source, shown], dim=1), homography[None], size)[0]
    return {
        "still": (brought, (known & ~moving).float()),
        "left": (brought, moving.float()),
        "moving": (kept[:, :3], (kept[:, 3:] > 0.5).float()),
    }


def psnr(image: Tensor, truth: Tensor, mask: Tensor) -> float:
    """In dB of [0, 1], over the pixels of the mask; NaN where it is empty."""
    error = ((image - truth).square().mean(dim=1, keepdim=True) * mask).sum() / mask.sum()
    return 10 * math.log10(1 / float(error)) if mask.any() else math.nan


if __name__ == "__main__":
    with torch.no_grad():
        main()
