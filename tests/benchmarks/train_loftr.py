"""Trains kornia's LoFTR on rendered pairs, for where its published weights are not at hand.

    python -m tests.benchmarks.train_loftr OUT.safetensors STEPS DATA [DATA ...]

One step after the other takes a batch of the next dataset, with the losses of Sun et al. (2021) and of their released
code: focal on the dual softmax at the true coarse matches, squared distance weighted by the spread of the heatmap at
the fine ones. What comes out is that architecture at a quarter to a half of its width after a short training, and is to
be named so: it is not the published LoFTR. At the end the validation pairs of each dataset are aligned with it.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from kornia.feature import LoFTR
from safetensors.torch import save_file
from torch import Tensor

from raylign.methods import geometry
from raylign.methods.classical.loftr import STRIDE, Loftr, grey_levels, loftr_network
from raylign.platform.data.augment import AugmentOptions
from raylign.platform.data.layouts.opening import load_info
from raylign.platform.data.pairs import TrainingPairs, validation_pairs
from raylign.platform.evaluation.aggregates import curve_area
from raylign.platform.evaluation.transforms import homography_metrics

WIDTHS, LAYERS = (32, 64, 128), 8
SIDE, BATCH = 192, 8
EARLY_SIDE, EARLY = 96, 0.75
"""Views are this small during this share of the steps: those are four times as fast."""
RATE, WARMUP = 1e-3, 100
ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss, as released."""
FINE = 512
"""Most matches of a batch that the fine stage learns from."""
OPTIONS = AugmentOptions(
    view_probability=1.0,
    shift=0.2,
    zoom=(0.5, 0.9),
    colour=0.2,
    contrast=0.3,
    gamma=0.3,
    blur=1.0,
    noise=0.03,
    jpeg=50.0,
    flip=0.5,
)
PLANAR = ("sidar", "fundus")
"""Generators whose frames a homography relates well enough; of others, pairs are two views of one frame."""


def batches(data: str, steps: int, seed: int) -> Iterator[dict[str, Tensor]]:
    """Training pairs of one dataset, small ones first."""
    share = 0.15 if load_info(data).generator in PLANAR else 1.0
    options = AugmentOptions(**{**vars(OPTIONS), "same_frame_probability": share})
    early = round(EARLY * steps)
    for epoch, (side, count) in enumerate(((EARLY_SIDE, early), (SIDE, steps - early))):
        pairs = TrainingPairs(data, side, BATCH, options, fields=("best_homography",), seed=seed, loaders=1)
        yield from pairs.epoch(epoch, count)


def true_matches(homography: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cells that see each other.

    Args:
        homography: `(B, 3, 3)` reference to source, pictures of `side` pixels.

    Returns:
        Numbers `(K,)` of the pair, of the reference's cell and of the source's, which are each other's nearest, and
        where the point of the former lies in the source, `(K, 2)` float32 in pixels from that of the latter.
    """
    cells = side // STRIDE
    # Cell (x, y) stands for the point (8x, 8y) of a picture whose first pixel has its centre at (0.5, 0.5).
    grid = torch.cartesian_prod(*[torch.arange(cells, dtype=torch.float64)] * 2).flip(-1) * STRIDE - 0.5
    grid = grid.expand(len(homography), -1, -1)
    there = geometry.transform_points(homography.double(), grid)
    back = geometry.transform_points(geometry.invert_homography(homography.double()), grid)

    def nearest(points: Tensor) -> tuple[Tensor, Tensor]:
        rounded = ((points + 0.5) / STRIDE).round()
        inside = ((rounded >= 0) & (rounded < cells)).all(-1)
        return torch.where(inside, rounded[..., 1] * cells + rounded[..., 0], 0).long(), inside

    (towards, seen), (home, seen_back) = nearest(there), nearest(back)
    mutual = home.gather(1, towards) == torch.arange(cells**2)
    pair, first = torch.where(mutual & seen & seen_back.gather(1, towards))
    second = towards[pair, first]
    return pair, first, second, (there[pair, first] - grid[pair, second]).float()


def losses(network: LoFTR, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Coarse and fine loss of a batch with at least one true match."""
    pictures = torch.cat([batch["reference_input"], batch["source_input"]])
    side = pictures.shape[-1]
    pair, first, second, offset = true_matches(batch["homography"], side)
    seen = network.extract_features(grey_levels(pictures, (side, side)))
    tokens = seen["coarse"].flatten(2).mT.contiguous()
    coarse = network.loftr_coarse(*tokens.chunk(2))
    scores = coarse[0] @ coarse[1].mT / (coarse[0].shape[-1] * network.coarse_matching.temperature)
    logs = (F.log_softmax(scores, 1) + F.log_softmax(scores, 2))[pair, first, second]
    coarse_loss = (-ALPHA * (1 - logs.exp()) ** GAMMA * logs).mean()
    some = torch.randperm(len(pair))[:FINE]
    stride_c, stride_f = network.config["resolution"]
    nothing = torch.zeros(len(some), 2)
    chosen = {"b_ids": pair[some], "i_ids": first[some], "j_ids": second[some]}
    data = {**chosen, "stride_c": stride_c, "stride_f": stride_f, "mkpts0_c": nothing, "mkpts1_c": nothing}
    data["mconf"] = nothing[:, 0]
    windows = network.fine_preprocess(*seen["fine"].chunk(2), *coarse, data)
    network.fine_matching(*network.loftr_fine(*windows), data)
    told, wanted = data["expec_f"], offset[some] / (stride_f * (network.config["fine_window_size"] // 2))
    weight = (1 / told[:, 2].clamp(min=1e-10)).detach()
    near = (wanted.abs().amax(1) < 1).float() * weight / weight.mean()
    return coarse_loss, (near * (told[:, :2] - wanted).square().sum(1)).mean()


def trained(steps: int, datasets: list[str]) -> LoFTR:
    """The network after so many steps, with a line for every hundred."""
    torch.manual_seed(0)
    network = loftr_network(WIDTHS, LAYERS).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARMUP, 0.5 + 0.5 * math.cos(math.pi * step / steps))
    )
    sources = [batches(data, -(-steps // len(datasets)), seed) for seed, data in enumerate(datasets)]
    sums, began = torch.zeros(len(datasets), 2), time.perf_counter()
    for step in range(steps):
        which = step % len(datasets)
        both = losses(network, next(sources[which]))
        optimizer.zero_grad()
        torch.stack(both).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        rates.step()
        sums[which] += torch.stack(both).detach()
        if (step + 1) % 100 == 0:
            means = ", ".join(f"{coarse:.3f} + {fine:.3f}" for coarse, fine in sums * len(datasets) / 100)
            print(f"step {step + 1} of {steps}, {time.perf_counter() - began:.0f} s: {means}", flush=True)
            sums.zero_()
    return network


def validated(weights: str, data: str, side: int, min_side: int) -> str:
    """Areas under the curve of the corner error of up to 60 validation pairs at a size."""
    aligner, found = Loftr(weights=weights, min_side=min_side), []
    held = validation_pairs(data, "val", side, 60, ("best_homography",))
    for reference, source, true in zip(held["reference"], held["source"], held["homography"], strict=True):
        homography, confidence = aligner.estimate(reference, source)
        error = homography_metrics(homography, true, (side, side))["corner_error"]
        found.append(error if confidence > 0 else math.inf)
    areas = " ".join(f"AUC@{limit} {curve_area(found, limit):.3f}" for limit in (3, 5, 10))
    lost = sum(map(math.isinf, found))
    return f"{data} at {side} px, min_side {min_side}: {len(found)} pairs, {lost} without an answer, {areas}"


def main() -> None:
    """Train, save, and say what it is worth on validation pairs."""
    out, steps, *datasets = sys.argv[1:]
    save_file({name: value.contiguous() for name, value in trained(int(steps), datasets).state_dict().items()}, out)
    for data in datasets:
        for side in (EARLY_SIDE, SIDE):
            for enlarged in (0, SIDE, 2 * SIDE):
                print(validated(out, data, side, enlarged), flush=True)


if __name__ == "__main__":
    main()
