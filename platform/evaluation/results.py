"""What was measured: the metrics by name, and the result of one method on one case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Task = Literal["pair", "set", "aligned"]
"""`pair`: one source brought onto the reference. `set`: all sources of a sequence, aligned and merged to one picture.
`aligned`: the same from frames that the true homographies brought onto the reference, so that merging alone counts."""


@dataclass(frozen=True)
class Metric:
    """One column of the table."""

    name: str
    unit: str
    """`dB`, `px`, `s`, `%`; empty for a number without unit."""
    better: Literal["higher", "lower"]
    digits: int
    """After the point, in tables."""
    per_case: bool
    """Whether each case has a value; else it is made from the values of all cases (an area under a curve, a rate)."""
    definition: str
    """In one sentence, for the legend of the report."""
    source: str
    """Paper or code that defines it."""


METRICS: tuple[Metric, ...] = (
    Metric("psnr_overlap", "dB", "higher", 2, True, "PSNR inside the overlap", "inside-only variant of UDIS"),
    Metric("ssim_overlap", "", "higher", 3, True, "SSIM inside the overlap", "Wang et al. 2004, inside the overlap"),
    Metric("overlap", "", "higher", 3, True, "share of the reference frame that the source covers", "-"),
    Metric("psnr", "dB", "higher", 2, True, "PSNR over the full frame, zero outside the overlap", "UDIS protocol"),
    Metric("ssim", "", "higher", 3, True, "SSIM over the full frame, zero outside the overlap", "UDIS protocol"),
    Metric("rmse", "", "lower", 4, True, "root mean square error inside the overlap, pictures in [0, 1]", "DIAR"),
    Metric("lpips", "", "lower", 3, True, "LPIPS over the full frame, zero outside", "Zhang et al. 2018"),
    Metric(
        "psnr_frame", "dB", "higher", 2, True, "PSNR over the full frame, black where nothing was found", "DMAligner"
    ),
    Metric("psnr_occluded", "dB", "higher", 2, True, "PSNR where the reference's point is hidden", "DMAligner"),
    Metric("psnr_dynamic", "dB", "higher", 2, True, "PSNR where something moves by itself", "DMAligner"),
    Metric("ghosting", "", "lower", 3, True, "share of edges that the target does not have", "see ghosting_score"),
    Metric("ncc_before", "", "higher", 3, True, "correlation of the shots with the reference as they came", "-"),
    Metric("ncc", "", "higher", 3, True, "the same after alignment", "-"),
    Metric("sharpness", "", "higher", 3, True, "mean gradient, in that of the median of the aligned shots", "-"),
    Metric("glare_before", "", "lower", 4, True, "share of glare in the aligned shots, their mean", "see glare_share"),
    Metric("glare_reference", "", "lower", 4, True, "share of glare in the reference", "see glare_share"),
    Metric("glare", "", "lower", 4, True, "share of glare in the merged picture", "see glare_share"),
    Metric("corner_error", "px", "lower", 2, True, "mean distance of the four mapped corners", "HomographyNet"),
    Metric("auc3", "", "higher", 3, False, "area under the curve of the corner error up to 3 px", "SuperGlue"),
    Metric("auc5", "", "higher", 3, False, "the same up to 5 px", "SuperGlue"),
    Metric("auc10", "", "higher", 3, False, "the same up to 10 px", "SuperGlue"),
    Metric("e1", "", "lower", 4, True, "distance of the matrices at determinant 1 (Frobenius)", "DIAR E1"),
    Metric("e2", "px", "lower", 2, True, "mean distance of the four mapped corners", "DIAR Eq. 18"),
    Metric("epe", "px", "lower", 2, True, "mean distance of the flow vectors where known", "Baker et al. 2011"),
    Metric("point_error", "px", "lower", 2, True, "mean error of the control points", "FIRE protocol"),
    Metric("mee", "px", "lower", 2, True, "median error of the control points", "FIRE protocol"),
    Metric("mae", "px", "lower", 2, True, "largest error of the control points", "FIRE protocol"),
    Metric("success", "", "higher", 3, False, "share of pairs with mae <= 50 px and mee <= 20 px", "FIRE protocol"),
    Metric("auc", "", "higher", 3, False, "mean share of pairs with mean error below 1 ... 25 px", "FIRE protocol"),
    Metric("mauc", "", "higher", 3, False, "mean of auc over the groups S, P and A", "FIRE protocol"),
    Metric("confidence_ece", "", "lower", 3, False, "expected calibration error of the confidence", "Guo et al. 2017"),
    Metric("seconds", "s", "lower", 3, True, "time of one alignment, pictures in memory", "-"),
    Metric("gflop", "", "lower", 1, True, "floating-point operations of one alignment, 1e9", "torch's counter"),
    Metric("memory_mb", "MB", "lower", 0, True, "peak memory of one alignment above what was in use before", "-"),
)
"""Columns of the table, in order."""

BY_NAME = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True)
class CaseResult:
    """One method on one case: a row of `results.parquet`.

    Attributes:
        method: what the user sees: the method's name or the model's.
        dataset: label of the dataset.
        task: see `Task`.
        key: of the case.
        name: of the case.
        scene: of the case.
        subset: of the case.
        failed: the method raised an error or said that it found nothing. Its pictures are then those of no alignment;
            no error of points or corners counts as below any threshold.
        error: why it failed, in one line; empty otherwise.
        motion: mean length of the true flow in percent of the reference's diagonal, where known.
        confidence: what the method said, where it says so.
        known: names of the fields of `CaseTruth` that the case has.
        told: what the method told beside the picture: `homography`, `flow`, `confidence`.
        metrics: value by name, of the metrics with `per_case`; a name is missing where the metric has no value.
        length: shots of a set, the reference counted, where sets were measured by their length.
        frame_errors: corner error of each source of a set, pixels; infinite for one that the method left out.
    """

    method: str
    dataset: str
    task: str
    key: str
    name: str
    scene: str
    subset: str
    failed: bool = False
    error: str = ""
    motion: float | None = None
    confidence: float | None = None
    known: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    length: int | None = None
    frame_errors: tuple[float, ...] = ()
