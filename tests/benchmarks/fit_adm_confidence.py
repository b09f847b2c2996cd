"""Fits the logistic regression of adm's confidence to pairs with control points.

    python -m tests.benchmarks.fit_adm_confidence CHECKPOINT DATA[#SPLIT] [PAIRS]

Each pair is aligned with the defaults and by four chains from noise; each reference also meets the source of another
pair, which is never right; and the vessel maps are looked at under the homography of the control points, moved by more
and more. An answer is right if its control points are off by less than 2 % of the side on average: 5 px at 256.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
import torch
from torch import Tensor

from raylign.methods import geometry, load
from raylign.methods.adm import Adm, AdmInference
from raylign.methods.adm.sampling import map_correlation
from raylign.methods.classical.flow_aligner import resized
from raylign.platform.evaluation.cases import Case
from raylign.platform.evaluation.datasets import EvaluationSet, choose_datasets
from tests.benchmarks.fit_confidence import fit

RIGHT = 0.02
APART = 7
"""Pairs between a reference and the source that it meets besides its own."""
Row = tuple[float, float, bool]
"""Correlation, agreement of the chains, whether the answer was right."""


def answers(model: Adm, cases: list[Case], inference: AdmInference) -> list[Row]:
    """Of each pair, and of each reference with another pair's source."""
    model.inference, rows = inference, []
    for number, case in enumerate(cases):
        other = cases[(number + APART) % len(cases)]
        for source, points in ((case.sources[0], case.truth.points), (other.sources[0], None)):
            found = model.align(case.reference[None], source[None, None])
            assert found.homography is not None
            right = points is not None and error(found.homography[0, 0], points) < RIGHT * case.reference.shape[-1]
            rows.append((found.extras["correlation"].item(), found.extras["agreement"].item(), right))
    return rows


def error(homography: Tensor, points: Tensor) -> float:
    """Mean distance in pixels of the reference of control points `(K, 4)` brought back from the source."""
    back = torch.linalg.inv(homography.double())[None]
    return (geometry.transform_points(back, points[None, :, 2:])[0] - points[:, :2]).norm(dim=1).mean().item()


def graded(model: Adm, case: Case) -> list[Row]:
    """Correlation under the homography of the control points, moved by 0 to 32 pixels of 256."""
    assert case.truth.points is not None
    side = model.config.working_size
    size: geometry.Size = (side, side)
    fixed, moving = (resized(picture[None], size).clamp(0, 1) for picture in (case.reference, case.sources[0]))
    frames = [(picture.shape[-2], picture.shape[-1]) for picture in (case.reference, case.sources[0])]
    points = case.truth.points.numpy()
    true = torch.from_numpy(cv2.findHomography(points[:, :2], points[:, 2:])[0])[None]
    rows = []
    for pixels in (0, 1, 2, 4, 8, 16, 32):
        moved = torch.eye(3, dtype=torch.float64)[None].clone()
        moved[:, :2, 2] = pixels / 256 * frames[0][1] * torch.tensor([0.6, 0.8], dtype=torch.float64)
        homography = geometry.rescale_homography(
            true @ moved, size_a=(frames[0], size), size_b=(frames[1], size), rule="area"
        )
        with torch.no_grad():
            found = map_correlation(model, moving, model.vessel_maps(fixed), homography, None)
        rows.append((found.item(), 0.0, pixels / 256 < RIGHT))
    return rows


def main() -> None:
    """Print the weights and what they are worth, with the chains' agreement and without."""
    checkpoint, data, *rest = sys.argv[1:]
    model = load(checkpoint).eval()
    assert isinstance(model, Adm)
    found = EvaluationSet(choose_datasets([data if "#" in data else f"{data}#val"], "val", None)[0])
    cases = [found.case("pair", number) for number in range(min(found.count("pair"), int(rest[0]) if rest else 60))]
    of_chains = answers(model, cases, AdmInference(start="noise", chains=4))
    rows = answers(model, cases, AdmInference()) + of_chains + [row for case in cases for row in graded(model, case)]
    for names, chosen in (("INTERCEPT, SLOPE", rows), ("INTERCEPT, SLOPE, AGREEMENT_SLOPE", of_chains)):
        values = np.array(chosen, dtype=np.float64)
        # In hundredths, so that the penalty on the weights does not decide the slope.
        columns = [np.ones(len(values)), 100 * values[:, 0], values[:, 1]]
        fit(f"{names} (correlation in hundredths)", np.stack(columns[: len(names.split(","))], 1), values[:, 2])


if __name__ == "__main__":
    main()
