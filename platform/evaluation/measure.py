"""All metrics of one case."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...methods.classical.identity import Identity
from ...methods.geometry import Size
from ..alignment import AlignedPicture
from .cases import Case
from .lpips import LEAST_SIDE
from .pictures import SSIM_WINDOW, frame_psnr, ghosting_score, picture_metrics, region_psnr
from .shots import SHOTS, shot_metrics
from .transforms import (
    end_point_error,
    homography_flow,
    homography_metrics,
    is_planar,
    point_errors,
    vector_lengths,
)

if TYPE_CHECKING:
    from .lpips import Lpips

PICTURES = ("psnr", "ssim", "psnr_overlap", "ssim_overlap", "overlap", "rmse", "lpips", "ghosting")
CORNERS = ("corner_error", "auc3", "auc5", "auc10", "e1", "e2")
POINTS = ("point_error", "mee", "mae", "success", "auc", "mauc")


def measure(case: Case, aligned: AlignedPicture | None, lpips: Lpips | None = None) -> dict[str, float]:
    """Every metric of a case that its truth and the method's answer allow, but not what the alignment cost.

    Pictures are compared with `Case.target`; a set without a true picture is measured by `shot_metrics` instead. Pairs
    are also measured by what the method tells of its transform:

    - corners: by its homography alone; what a flow does to the corners is not defined where they leave the source.
    - epe: by its flow, or the flow of its homography, against the true flow; where only a true homography is known,
      against its flow where that leads into the source. So planar methods and flows share one number.
    - control points: by its homography, unless its flow says more than that (`is_planar`); then by the flow, which is
      what moved the picture.

    Sets that are not aligned yet are measured by the corners of each source, as if it were a pair with the reference; a
    source that the method left out counts as one of which nothing was found.

    Args:
        case: with pictures on the CPU.
        aligned: what the method made of it; None where it failed. A failure is measured as no alignment: for a pair
            the source as it lies, with the identity as homography; for the other tasks the reference, and for each
            source of a set the identity.
        lpips: None leaves its column out.

    Returns:
        Value by name of `results.METRICS`; all are finite. The error of a control point is at most the reference's
        diagonal, which is what a point counts that a flow loses.
    """
    if aligned is None:
        aligned = _no_alignment(case)
    if case.task == "set" and case.truth.picture is None:
        return shot_metrics(case, aligned) | _corner_metrics(case, aligned)
    truth, image, mask = case.truth, aligned.image, aligned.mask
    metrics = picture_metrics(case.target, image, mask)
    metrics["ghosting"] = ghosting_score(case.target, image, mask)
    if lpips is not None and min(mask.shape) >= LEAST_SIDE:
        metrics["lpips"] = lpips(image * mask, case.target * mask)
    for name, region in (("psnr_occluded", truth.occlusion), ("psnr_dynamic", truth.dynamic)):
        if truth.picture is not None and region is not None:
            value = region_psnr(truth.picture, image, mask, region)
            if value is not None:
                metrics[name] = value
    if case.task == "pair":
        if truth.picture is not None:
            metrics["psnr_frame"] = frame_psnr(truth.picture, image, mask)
        metrics |= _transform_metrics(case, aligned)
    if case.task == "set":
        metrics |= _corner_metrics(case, aligned)
    return metrics


def frame_errors(case: Case, aligned: AlignedPicture | None) -> tuple[float, ...]:
    """Corner error of each source of a set, in pixels, see `CaseResult.frame_errors`; empty where none is known.

    Args:
        case: what was aligned.
        aligned: None where the method failed.
    """
    if case.task != "set" or case.truth.homography is None:
        return ()
    if aligned is None:
        return (math.inf,) * len(case.sources)
    if aligned.homography is None:
        return ()
    found = zip(
        _corners_of_sources(case.truth.homography, aligned.homography, _size(case.reference)),
        aligned.homography,
        strict=True,
    )
    return tuple(each["corner_error"] if bool(matrix.isfinite().all()) else math.inf for each, matrix in found)


def motion_percent(case: Case) -> float | None:
    """How far the content moves: mean length of the true flow in percent of the reference's diagonal.

    Over the pixels where the flow is known; of a true homography, where it leads into the source. None where neither
    is known.
    """
    flow = case.true_flow
    if flow is None:
        return None
    lengths = vector_lengths(flow.double())
    lengths = lengths[lengths.isfinite()]
    if len(lengths) == 0:
        return None
    return 100 * float(lengths.mean()) / math.hypot(*case.reference.shape[1:])


def why_missing(metric: str, known: Collection[str], told: Collection[str], lpips: bool, task: str = "pair") -> str:
    """Why no case of a method on a dataset has a value: one short sentence for the table.

    Args:
        metric: a name of `results.METRICS`.
        known: fields of `CaseTruth` that the cases have.
        told: what the method told: `homography`, `flow`, `confidence`.
        lpips: whether LPIPS had weights.
        task: of the cases.
    """
    if task == "set" and "picture" not in known and metric in (*PICTURES, "psnr_occluded", "psnr_dynamic"):
        return "the dataset has no true pictures"
    if metric in SHOTS:
        return _why_no_shots(metric, known, told, task)
    if task != "pair" and metric in (*POINTS, "epe", "psnr_frame"):
        return "it is measured on pairs only"
    if metric == "psnr_frame" and "picture" not in known:
        return "the dataset has no true pictures"
    if task == "aligned" and metric in (*CORNERS, "confidence_ece"):
        return "there is nothing to align"
    if metric == "lpips" and not lpips:
        return "no LPIPS weights; give --lpips-weights FILE"
    if metric == "lpips":
        return f"the pictures are smaller than the {LEAST_SIDE} px that LPIPS needs"
    if metric in ("ssim", "ssim_overlap"):
        return f"the pictures are smaller than the {SSIM_WINDOW} px window of SSIM"
    if metric in ("psnr_occluded", "psnr_dynamic"):
        return _why_no_region("occlusion" if metric == "psnr_occluded" else "dynamic", known)
    transforms = [name for name in ("homography", "flow") if name in told]
    if metric in CORNERS:
        if "homography" not in known:
            return "the dataset has no true homography"
        return "the method tells no homography" if "homography" not in told else "no case was measured"
    if metric in POINTS and "points" not in known:
        return "the dataset has no control points"
    if metric == "confidence_ece" and "confidence" not in told:
        return "the method tells no confidence"
    if metric in ("epe", "confidence_ece") and not {"homography", "flow"} & set(known):
        return "the dataset has neither a true flow nor a true homography"
    if metric in (*POINTS, "epe", "confidence_ece") and not transforms:
        return "the method tells neither a homography nor a flow"
    if metric in ("epe", "confidence_ece"):
        return "the true flow is known at no pixel"
    return "no case was measured"


def _why_no_shots(metric: str, known: Collection[str], told: Collection[str], task: str) -> str:
    if task != "set" or "picture" in known:
        return "it is for sets without a true picture"
    if "homography" not in told:
        return "the method tells no homography"
    return "there is a single shot, or the median is flat" if metric == "sharpness" else "there is a single shot"


def _why_no_region(region: str, known: Collection[str]) -> str:
    if region not in known:
        return (
            "the dataset has no masks of occlusion" if region == "occlusion" else "the dataset has no masks of motion"
        )
    if "picture" not in known:
        return "the dataset has no true pictures"
    return "no pixel is hidden in these cases" if region == "occlusion" else "nothing moves in these cases"


def _no_alignment(case: Case) -> AlignedPicture:
    """What a method that failed is measured as."""
    facts = {"method": "none"}
    still = torch.eye(3, dtype=torch.float64).repeat(len(case.sources), 1, 1)
    if case.task == "pair":
        same = Identity().align(case.reference[None], case.sources[0][None, None])
        return AlignedPicture(same.image[0], same.mask[0, 0] > 0.5, still, None, None, False, facts)
    mask = torch.ones(case.reference.shape[1:], dtype=torch.bool)
    if case.truth.masks is not None:
        mask = case.truth.masks[0]
    told = still if case.task == "set" else None
    return AlignedPicture(case.reference * mask, mask, told, None, None, False, facts)


def _corner_metrics(case: Case, aligned: AlignedPicture) -> dict[str, float]:
    """Means over the sources of a set."""
    if case.truth.homography is None or aligned.homography is None or not case.sources:
        return {}
    found = _corners_of_sources(case.truth.homography, aligned.homography, _size(case.reference))
    values = {name: [each[name] for each in found if name in each] for name in ("corner_error", "e2", "e1")}
    return {name: sum(each) / len(each) for name, each in values.items() if each}


def _corners_of_sources(true: Tensor, found: Tensor, size: Size) -> list[dict[str, float]]:
    """`homography_metrics` of each source of a set; the identity for one that was left out."""
    still = torch.eye(3, dtype=torch.float64)
    told = [each if bool(each.isfinite().all()) else still for each in found]
    return [homography_metrics(*each, size) for each in zip(told, true, strict=True)]


def _transform_metrics(case: Case, aligned: AlignedPicture) -> dict[str, float]:
    truth, size = case.truth, _size(case.reference)
    homography = None if aligned.homography is None else aligned.homography[0]
    flow = None if aligned.flow is None else aligned.flow[0]
    metrics: dict[str, float] = {}
    if truth.homography is not None and homography is not None:
        metrics |= homography_metrics(homography, truth.homography, size)
    if flow is None:
        if homography is None:
            return metrics
        flow = homography_flow(homography, size)
    if truth.points is not None:
        told = flow if homography is None or not is_planar(flow, homography) else homography
        # A point that the flow loses is as far away as a picture is wide: wrong, but not without measure.
        errors = point_errors(truth.points, told).clamp(max=math.hypot(*size)).numpy()
        metrics |= {"point_error": errors.mean(), "mee": np.median(errors), "mae": errors.max()}
    true_flow = case.true_flow
    if true_flow is not None:
        error = end_point_error(flow, true_flow)
        if error is not None:
            metrics["epe"] = error
    return {name: float(value) for name, value in metrics.items()}


def _size(picture: Tensor) -> Size:
    return picture.shape[1], picture.shape[2]
