"""All metrics of one case: which there are, against what they are measured, and why others are missing."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from raylign.methods import load
from raylign.methods.geometry import homography_positions, pixel_grid, warp_by_homography
from raylign.platform.alignment import AlignedPicture, ModelChoice, align_images
from raylign.platform.evaluation.aggregates import AGGREGATES
from raylign.platform.evaluation.cases import Case, CaseTruth
from raylign.platform.evaluation.measure import measure, motion_percent, why_missing
from raylign.platform.evaluation.pictures import PSNR_CAP, picture_metrics
from raylign.platform.evaluation.results import BY_NAME, METRICS, Task
from raylign.platform.evaluation.shots import SHOTS

SIZE = (48, 64)
SOURCE_SIZE = (56, 60)
TRUE = torch.tensor([[1.02, 0.03, 3.0], [-0.02, 0.98, 5.0], [1e-4, -5e-5, 1.0]], dtype=torch.float64)
TRANSFORM = {"corner_error", "e1", "e2", "epe", "point_error", "mee", "mae"}
PICTURE = {"psnr", "ssim", "psnr_overlap", "ssim_overlap", "rmse", "overlap", "ghosting"}


def smooth(size: tuple[int, int], seed: int) -> Tensor:
    noise = np.random.default_rng(seed).random((*size, 3)).astype(np.float32)
    return torch.from_numpy(cv2.GaussianBlur(noise, (0, 0), 2)).permute(2, 0, 1).sub(0.3).mul(2).clamp(0, 1)


def true_flow(homography: Tensor = TRUE) -> Tensor:
    return (homography_positions(homography[None], SIZE)[0] - pixel_grid(SIZE)).permute(2, 0, 1)


def control_points() -> Tensor:
    points = np.random.default_rng(0).uniform([5, 5], [50, 40], (10, 2))
    return torch.from_numpy(np.concatenate([points, cv2.perspectiveTransform(points[None], TRUE.numpy())[0]], axis=1))


def region(rows: slice) -> Tensor:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[rows] = True
    return mask


def make_case(task: Task = "pair", **truth: Tensor) -> Case:
    source = smooth(SOURCE_SIZE, 1)
    return Case("0:1", "0:1", "0", "", task, smooth(SIZE, 0), [source], CaseTruth(**truth))


def aligned_by(homography: Tensor, source: Tensor, *, told: tuple[str, ...] = ("homography",)) -> AlignedPicture:
    image, soft = warp_by_homography(source[None], homography[None], SIZE)
    mask = soft[0, 0] >= 0.999
    return AlignedPicture(
        image[0] * mask,
        mask,
        homography[None] if "homography" in told else None,
        true_flow(homography)[None] if "flow" in told else None,
        None,
        True,
        {},
    )


def full_truth() -> dict[str, Tensor]:
    picture, _ = warp_by_homography(smooth(SOURCE_SIZE, 1)[None], TRUE[None], SIZE)
    return {
        "picture": picture[0],
        "homography": TRUE,
        "flow": true_flow(),
        "occlusion": region(slice(10, 20)),
        "dynamic": region(slice(20, 22)),
        "points": control_points(),
    }


def test_a_perfect_answer_has_every_metric_at_its_best() -> None:
    case = make_case(**full_truth())
    found = measure(case, aligned_by(TRUE, case.sources[0]), lambda a, b: float((a - b).abs().sum()))  # type: ignore[arg-type]
    costs = {"seconds", "gflop", "memory_mb"}
    assert set(found) == {metric.name for metric in METRICS if metric.per_case} - costs - set(SHOTS)
    assert all(isinstance(value, float) for value in found.values())
    assert [found[name] for name in ("psnr", "psnr_overlap")] == [PSNR_CAP, PSNR_CAP]
    assert [found[name] for name in ("ssim", "ssim_overlap")] == pytest.approx([1, 1])
    for name in ("rmse", "ghosting", "lpips", *TRANSFORM):
        assert found[name] == pytest.approx(0, abs=1e-4), name
    assert 0.5 < found["overlap"] < 1


def test_values_against_the_truth() -> None:
    case = make_case(**full_truth())
    wrong = TRUE.clone()
    wrong[0, 2] += 3
    wrong[1, 2] += 4
    answer = aligned_by(wrong, case.sources[0])
    found = measure(case, answer)
    assert found.items() >= picture_metrics(case.target, answer.image, answer.mask).items()
    difference = (full_truth()["picture"] - answer.image)[:, 20:22].double()
    assert found["psnr_dynamic"] == pytest.approx(-10 * math.log10(float(difference.square().mean())), abs=1e-5)
    difference = (full_truth()["picture"] - answer.image * answer.mask).double()
    assert found["psnr_frame"] == pytest.approx(-10 * math.log10(float(difference.square().mean())), abs=1e-5)
    assert found["psnr_frame"] < found["psnr"]
    points = control_points().numpy()
    back = cv2.perspectiveTransform(points[None, :, 2:], np.linalg.inv(wrong.numpy()))[0]
    errors = np.linalg.norm(back - points[:, :2], axis=1)
    assert found["point_error"] == pytest.approx(errors.mean(), abs=1e-6)
    assert found["mee"] == pytest.approx(np.median(errors), abs=1e-6)
    assert found["mae"] == pytest.approx(errors.max(), abs=1e-6)
    vectors = (true_flow(wrong) - true_flow()).double().norm(dim=0)
    assert found["epe"] == pytest.approx(float(vectors.mean()), abs=1e-5)


def test_without_a_true_picture_the_reference_is_the_target() -> None:
    case = make_case(occlusion=region(slice(10, 20)))
    answer = aligned_by(TRUE, case.sources[0])
    found = measure(case, answer)
    assert set(found) == PICTURE
    assert found.items() >= picture_metrics(case.reference, answer.image, answer.mask).items()


def test_a_true_homography_measures_flows_where_it_leads_into_the_source() -> None:
    case = make_case(homography=TRUE)
    flow = true_flow()
    x, y = flow + pixel_grid(SIZE).permute(2, 0, 1)
    inside = (x >= 0) & (x <= SOURCE_SIZE[1] - 1) & (y >= 0) & (y <= SOURCE_SIZE[0] - 1)
    assert not bool(inside.all())
    wrong = flow.clone()
    wrong[0, inside] += 2
    wrong[:, ~inside] = 1e5
    answer = aligned_by(TRUE, case.sources[0], told=())
    told = AlignedPicture(answer.image, answer.mask, None, wrong[None], None, True, {})
    found = measure(case, told)
    assert found["epe"] == pytest.approx(2, abs=1e-5)
    assert not {"corner_error", "e1", "e2"} & set(found)
    # A homography has the same number as its flow.
    other = TRUE + 0.01
    planar = measure(case, aligned_by(other, case.sources[0], told=("homography",)))["epe"]
    dense = measure(case, aligned_by(other, case.sources[0], told=("flow",)))["epe"]
    assert planar == pytest.approx(dense, abs=1e-5)


def test_unknown_flow_vectors_do_not_count() -> None:
    flow = true_flow()
    flow[:, :, :30] = torch.nan
    case = make_case(flow=flow)
    answer = aligned_by(TRUE, case.sources[0], told=("flow",))
    assert measure(case, answer)["epe"] == pytest.approx(0, abs=1e-5)
    unknown = make_case(flow=torch.full_like(flow, torch.nan))
    assert "epe" not in measure(unknown, answer)
    assert motion_percent(unknown) is None


def test_control_points_go_by_what_moved_the_picture() -> None:
    case = make_case(points=control_points())
    exact = aligned_by(TRUE, case.sources[0], told=("homography", "flow"))
    assert measure(case, exact)["mae"] < 1e-6
    # A flow that says more than the homography is the answer: here it is right and the homography is not.
    assert exact.flow is not None
    coarse = AlignedPicture(exact.image, exact.mask, torch.eye(3).double()[None], exact.flow, None, True, {})
    assert measure(case, coarse)["mae"] < 0.05
    # Nothing lands near the points: they are lost, and count as far as a picture is wide.
    lost = AlignedPicture(exact.image, exact.mask, None, torch.full_like(exact.flow, 1e4), None, True, {})
    diagonal = math.hypot(*case.reference.shape[1:])
    assert measure(case, lost)["mae"] == pytest.approx(diagonal)
    assert measure(case, lost)["mee"] == pytest.approx(diagonal)


@pytest.mark.parametrize("task", ["set", "aligned"])
def test_sets_are_measured_by_their_picture_alone(task: Task) -> None:
    truth = full_truth()
    case = make_case(task, picture=truth["picture"], flow=truth["flow"], points=truth["points"])
    answer = aligned_by(TRUE, case.sources[0])
    found = measure(case, answer)
    assert set(found) == PICTURE
    assert found["psnr"] == PSNR_CAP
    # No alignment is the reference, where it is known.
    lost = measure(case, None)
    assert lost.items() >= picture_metrics(truth["picture"], case.reference, torch.ones(SIZE).bool()).items()
    masks = torch.stack([region(slice(0, 40)), region(slice(0, 48))])
    masked = make_case(task, picture=truth["picture"], masks=masks)
    assert measure(masked, None).items() >= picture_metrics(truth["picture"], case.reference, masks[0]).items()


def test_a_failure_is_measured_as_the_identity() -> None:
    case = make_case(**full_truth())
    choice = ModelChoice("identity", "identity", "identity")
    theirs = measure(case, align_images(load("identity"), case.reference, case.sources, choice))
    lost = measure(case, None)
    assert lost == pytest.approx(theirs, abs=1e-6)
    corners = np.array([[[0, 0], [63, 0], [0, 47], [63, 47]]], dtype=np.float64)
    moved = np.linalg.norm(cv2.perspectiveTransform(corners, TRUE.numpy()) - corners, axis=-1)
    assert lost["corner_error"] == pytest.approx(moved.mean(), abs=1e-6)
    points = control_points().numpy()
    assert lost["mae"] == pytest.approx(np.linalg.norm(points[:, :2] - points[:, 2:], axis=1).max(), abs=1e-6)
    # The source covers the frame up to its own width.
    assert lost["overlap"] == pytest.approx(60 / 64)


def test_small_pictures_leave_out_what_needs_large_ones() -> None:
    small = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    case = Case("0", "0", "0", "", "pair", small, [small])
    found = measure(case, None, lambda a, b: 0.0)  # type: ignore[arg-type]
    assert set(found) == PICTURE - {"ssim", "ssim_overlap"}
    assert found["psnr"] == PSNR_CAP


def test_motion_in_percent_of_the_diagonal() -> None:
    reference = torch.zeros(3, 30, 40)
    move = torch.eye(3, dtype=torch.float64)
    move[0, 2], move[1, 2] = 3, 4
    flow = torch.full((2, 30, 40), torch.nan)
    flow[:, 3, 4] = torch.tensor([6.0, 8.0])

    def motion(task: Task = "pair", **truth: Tensor) -> float | None:
        return motion_percent(Case("0", "0", "0", "", task, reference, [reference], CaseTruth(**truth)))

    assert motion(homography=move) == pytest.approx(10)
    assert motion(flow=flow) == pytest.approx(20)
    assert motion(flow=flow, homography=move) == pytest.approx(20)
    assert motion() is None
    away = move.clone()
    away[0, 2] = 100
    assert motion(homography=away) is None  # nothing of it can be seen


@pytest.mark.parametrize("metric", [metric.name for metric in METRICS])
@pytest.mark.parametrize("known", [(), ("homography", "flow", "picture", "occlusion", "dynamic", "points")])
@pytest.mark.parametrize("told", [(), ("homography", "flow", "confidence")])
def test_every_empty_column_has_a_short_reason(metric: str, known: tuple[str, ...], told: tuple[str, ...]) -> None:
    for lpips in (False, True):
        reason = why_missing(metric, known, told, lpips)
        assert 10 < len(reason) < 80
        assert "\n" not in reason


def test_reasons() -> None:
    everything = ("homography", "flow", "picture", "occlusion", "dynamic", "points")

    def why(metric: str, known: tuple[str, ...] = everything, told: tuple[str, ...] = ("flow",)) -> str:
        return why_missing(metric, known, told, lpips=False)

    assert why("lpips") == "no LPIPS weights; give --lpips-weights FILE"
    assert "smaller" in why_missing("lpips", (), (), lpips=True)
    assert why("auc5", ("flow",)) == "the dataset has no true homography"
    assert why("corner_error") == "the method tells no homography"
    assert why("epe", ("points",)) == "the dataset has neither a true flow nor a true homography"
    assert why("epe", told=()) == "the method tells neither a homography nor a flow"
    assert why("mauc", ("homography",)) == "the dataset has no control points"
    assert why("success", told=("confidence",)) == "the method tells neither a homography nor a flow"
    assert why("psnr_occluded", ("picture",)) == "the dataset has no masks of occlusion"
    assert why("psnr_occluded", ("occlusion",)) == "the dataset has no true pictures"
    assert why("psnr_dynamic", ()) == "the dataset has no masks of motion"
    assert why("psnr_frame", ()) == "the dataset has no true pictures"
    assert why("confidence_ece") == "the method tells no confidence"
    assert why("confidence_ece", ("points",), ("confidence",)) == why("epe", ("points",))


def test_every_name_is_a_column() -> None:
    case = make_case(**full_truth())
    assert set(measure(case, None)) | set(AGGREGATES) <= set(BY_NAME)
