"""Fits the logistic regression of adm's confidence to pairs with control points.

    python -m tests.benchmarks.fit_adm_confidence CHECKPOINT DATA[#SPLIT] [PAIRS]

Each pair is aligned with the defaults, and each reference also meets the source of another pair, which is never right.
An answer is right if its control points are off by less than 2 % of the side on average: 5 px at 256.
"""

from __future__ import annotations

import sys

import numpy as np

from raylign.methods import load
from raylign.methods.adm import Adm
from raylign.platform.evaluation.cases import Case
from raylign.platform.evaluation.datasets import EvaluationSet, choose_datasets
from raylign.platform.evaluation.transforms import point_errors
from tests.benchmarks.fit_confidence import fit

RIGHT = 0.02
APART = 7
"""Pairs between a reference and the source that it meets besides its own."""
Row = tuple[float, float, bool]
"""Correlation, agreement of the chains, whether the answer was right."""


def answers(model: Adm, cases: list[Case]) -> list[Row]:
    """Of each pair, and of each reference with another pair's source."""
    rows = []
    for number, case in enumerate(cases):
        other, reach = cases[(number + APART) % len(cases)], RIGHT * case.reference.shape[-1]
        for source, points in ((case.sources[0], case.truth.points), (other.sources[0], None)):
            found = model.align(case.reference[None], source[None, None])
            assert found.homography is not None
            right = points is not None and point_errors(points, found.homography[0, 0].double()).mean().item() < reach
            rows.append((found.extras["correlation"].item(), found.extras["agreement"].item(), right))
    return rows


def main() -> None:
    """Print the weights and what they are worth, without the chains' agreement and with it."""
    checkpoint, data, *rest = sys.argv[1:]
    model = load(checkpoint).eval()
    assert isinstance(model, Adm)
    dataset = EvaluationSet(choose_datasets([data if "#" in data else f"{data}#val"], "val", None)[0])
    count = min(dataset.count("pair"), int(rest[0]) if rest else 60)
    cases = [dataset.case("pair", number) for number in range(count)]
    found = np.array(answers(model, cases), dtype=np.float64)
    # In hundredths, so that the penalty on the weights does not decide the slope.
    columns = [np.ones(len(found)), 100 * found[:, 0], found[:, 1]]
    for names in ("INTERCEPT, SLOPE / 100", "INTERCEPT, SLOPE / 100, AGREEMENT_SLOPE"):
        fit(names, np.stack(columns[: len(names.split(","))], 1), found[:, 2])


if __name__ == "__main__":
    main()
