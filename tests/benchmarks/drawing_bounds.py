"""What stands beside the numbers of a method that draws: answers that draw nothing.

    python -m tests.benchmarks.drawing_bounds CHECKPOINT DATA[#SPLIT]

Measured as an evaluation measures what a method has drawn, for each pair:

- round trip: the true picture, encoded and decoded; the upper bound of what comes out of the autoencoder alone.
- reference: the reference as it is, which is right but for the light and for what moves.
- lit: the reference in the source's light, as the network is shown it (with `copies`).
"""

from __future__ import annotations

import sys
from collections import defaultdict

import torch
from torch import Tensor

from raylign.methods import load
from raylign.methods.dmaligner import DmAligner
from raylign.platform.alignment import AlignedPicture
from raylign.platform.evaluation.cases import Case
from raylign.platform.evaluation.datasets import EvaluationSet, choose_datasets
from raylign.platform.evaluation.measure import measure

METRICS = ("psnr", "ssim", "psnr_occluded", "psnr_dynamic")


@torch.no_grad()
def main() -> None:
    """Print the means by answer and subset."""
    checkpoint, data = sys.argv[1:]
    model = load(checkpoint)
    assert isinstance(model, DmAligner)
    model.eval()
    cases = EvaluationSet(choose_datasets([data], "test", None)[0])
    found: defaultdict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for index in range(len(cases.entries["pair"])):
        case = cases.case("pair", index)
        if case.truth.picture is None:
            sys.exit(f"{data} has no true pictures")
        for name, image in answers(model, case, case.truth.picture):
            whole = torch.ones(image.shape[1:], dtype=torch.bool)
            metrics = measure(case, AlignedPicture(image, whole, None, None, None, True, {}))
            for subset in ("all", case.subset):
                found[name, subset].append(metrics)
    print("| answer | subset | pairs | " + " | ".join(METRICS) + " |\n|---|---|--:|" + "--:|" * len(METRICS))
    for (name, subset), rows in sorted(found.items()):
        known = [[row[metric] for row in rows if metric in row] for metric in METRICS]
        means = " | ".join(f"{sum(values) / len(values):.2f}" if values else "-" for values in known)
        print(f"| {name} | {subset} | {len(rows)} | {means} |")


def answers(model: DmAligner, case: Case, truth: Tensor) -> list[tuple[str, Tensor]]:
    """By name the pictures `(3, H, W)` in [0, 1]."""
    height, width = (side - side % model.autoencoder.stride for side in case.reference.shape[1:])
    reference, source, wanted = (each[None, :, :height, :width] for each in (case.reference, case.sources[0], truth))
    inner = {"round trip": model.autoencoder.decode(model.autoencoder.encode(wanted)).clamp(0, 1)}
    brought = model.brought_over(reference, source) if model.config.copies else None
    if brought is not None:
        inner["lit"] = brought.pictures[-1]
    found = [("reference", case.reference)]
    for name, picture in inner.items():
        image = truth.clone()
        image[:, :height, :width] = picture[0]
        found.append((name, image))
    return found


if __name__ == "__main__":
    main()
