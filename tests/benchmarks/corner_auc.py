"""Areas under the curve of the corner error with every picture counted as so many pixels wide, by method.

    python -m tests.benchmarks.corner_auc RESULTS.parquet DATA[#SPLIT] WIDTH

The table of `raylign evaluate` counts pixels as they are; photographs of different cameras are compared fairly only at
one width.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from raylign.platform.evaluation.aggregates import AGGREGATES
from raylign.platform.evaluation.datasets import EvaluationSet, choose_datasets
from raylign.platform.evaluation.results import CaseResult
from raylign.platform.evaluation.store import decode


def main() -> None:
    """Print a line for each method: cases with a known homography, and the areas up to 3, 5 and 10 px."""
    table, data, width = sys.argv[1:]
    cases = EvaluationSet(choose_datasets([data], "test", None)[0])
    numbered = (cases.case("pair", number) for number in range(cases.count("pair")))
    widths = {case.key: case.reference.shape[-1] for case in numbered}
    found: dict[str, list[CaseResult]] = {}
    for result in decode(Path(table).read_bytes()):
        if "corner_error" in result.metrics:
            scaled = result.metrics["corner_error"] * int(width) / widths[result.key]
            result = replace(result, metrics={**result.metrics, "corner_error": scaled})
            found.setdefault(result.method, []).append(result)
    for method, results in found.items():
        areas = " ".join(f"{name} {AGGREGATES[name](results) or 0:.3f}" for name in ("auc3", "auc5", "auc10"))
        print(f"{method:30} {len(results)} cases: {areas}")


if __name__ == "__main__":
    main()
