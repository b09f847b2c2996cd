"""How far the vessel maps of two retinas correlate before an alignment and after it, by method.

    python -m tests.benchmarks.vessel_ncc CHECKPOINT DATA[#SPLIT] [METHOD ...]

For pairs of which nobody knows the true alignment. The maps come from the fixed filter, which no method was trained
on, at 512 px; windows of 9 px, where both pictures are seen.
"""

from __future__ import annotations

import sys

import torch

from raylign.methods import load
from raylign.methods.adm import Adm
from raylign.methods.adm.losses import windowed_ncc
from raylign.methods.adm.vessel_filter import vessel_map
from raylign.methods.classical.flow_aligner import resized
from raylign.platform.evaluation.datasets import EvaluationSet, choose_datasets

SIZE = (512, 512)


def main() -> None:
    """Print a line for each pair: before, then after each method, with its confidence."""
    checkpoint, data, *names = sys.argv[1:]
    adm = load(checkpoint).eval()
    assert isinstance(adm, Adm)
    methods = {"adm": adm, **{name: load(name) for name in names}}
    cases = EvaluationSet(choose_datasets([data], "test", None)[0])
    for number in range(cases.count("pair")):
        case = cases.case("pair", number)
        reference, source = case.reference[None], case.sources[0][None]
        fixed = vessel_map(resized(reference, SIZE).clamp(0, 1))
        seen = torch.ones(1, 1, *SIZE)
        before = windowed_ncc(vessel_map(resized(source, SIZE).clamp(0, 1)), fixed, seen).item()
        told = [f"before {before:.3f}"]
        for name, method in methods.items():
            found = method.align(reference, source[:, None])
            mask = (resized(found.mask.float(), SIZE) > 0.999).float()
            after = windowed_ncc(vessel_map(resized(found.image, SIZE).clamp(0, 1)), fixed, mask).item()
            confidence = 1.0 if found.confidence is None else found.confidence.item()
            told.append(f"{name} {after:.3f} (confidence {confidence:.2f}, overlap {mask.mean().item():.2f})")
        print(f"{case.name}: " + ", ".join(told))


if __name__ == "__main__":
    main()
