"""The upper bound of a latent method: what its autoencoder leaves of the true pictures.

    python -m tests.benchmarks.round_trip CHECKPOINT DATA[#SPLIT]

The true picture of each pair is encoded and decoded, with the random numbers left out, and measured as an evaluation
measures what a method has drawn.
"""

from __future__ import annotations

import sys
from collections import defaultdict

import torch

from raylign.methods import load
from raylign.methods.dmaligner import DmAligner
from raylign.platform.alignment import AlignedPicture
from raylign.platform.evaluation.datasets import EvaluationSet, choose_datasets
from raylign.platform.evaluation.measure import measure

METRICS = ("psnr", "ssim", "psnr_occluded", "psnr_dynamic")


@torch.no_grad()
def main() -> None:
    """Print the means by subset."""
    checkpoint, data = sys.argv[1:]
    model = load(checkpoint)
    assert isinstance(model, DmAligner)
    model.eval()
    cases = EvaluationSet(choose_datasets([data], "test", None)[0])
    found: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    for index in range(len(cases.entries["pair"])):
        case = cases.case("pair", index)
        if case.truth.picture is None:
            sys.exit(f"{data} has no true pictures")
        height, width = (side - side % model.autoencoder.stride for side in case.reference.shape[1:])
        image = case.truth.picture.clone()
        latents = model.autoencoder.encode(image[None, :, :height, :width])
        image[:, :height, :width] = model.autoencoder.decode(latents)[0].clamp(0, 1)
        whole = torch.ones(image.shape[1:], dtype=torch.bool)
        metrics = measure(case, AlignedPicture(image, whole, None, None, None, True, {}))
        for subset in ("all", case.subset):
            found[subset].append(metrics)
    print("| subset | pairs | " + " | ".join(METRICS) + " |\n|---|--:|" + "--:|" * len(METRICS))
    for subset, rows in sorted(found.items()):
        known = [[row[name] for row in rows if name in row] for name in METRICS]
        means = " | ".join(f"{sum(values) / len(values):.2f}" if values else "-" for values in known)
        print(f"| {subset} | {len(rows)} | {means} |")


if __name__ == "__main__":
    main()
