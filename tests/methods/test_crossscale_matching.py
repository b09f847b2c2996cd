"""The head 'matching': its parts against brute force, and the whole on pairs whose homography is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from raylign.methods import geometry
from raylign.methods.aligner import has_fast_bfloat16
from raylign.methods.crossscale import matching
from raylign.methods.crossscale.config import CrossScaleConfig, CrossScaleInference
from raylign.methods.crossscale.matching import Correspondences
from raylign.methods.crossscale.mesh_fit import fit_mesh, robust_homography
from raylign.methods.crossscale.network import CrossScale
from raylign.methods.errors import InputError

SIZE = (128, 128)


def unit(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator), dim=1)


def test_doubling_keeps_features_over_their_pixels() -> None:
    """A feature at i lies over pixel 16 i; among twice as many it is number 2 i."""
    ramp = torch.arange(5.0)[None, None, :, None] * 10 + torch.arange(4.0)
    doubled = matching._doubled(ramp)
    assert doubled.shape == (1, 1, 10, 8)
    assert torch.equal(doubled[..., ::2, ::2], ramp)
    assert doubled[0, 0, 3, 5] == 0.25 * (ramp[0, 0, 1:3, 2:4]).sum()


def test_global_matches_find_a_shift_and_leave_out_what_is_not_mutual() -> None:
    source = unit(2, 32, 16, 16)
    # Reference cell (r, c) shows source cell (r + 2, c + 3); other cells show nothing that the source has.
    reference = unit(2, 32, 16, 16, seed=1)
    reference[:, :, :14, :13] = source[:, :, 2:, 3:]
    found = matching.global_matches(reference, source, 0.02)
    moved = (found.source - found.reference).unflatten(1, (16, 16))[:, :13, :12]
    assert moved.allclose(torch.tensor([24.0, 16.0]).expand_as(moved), atol=0.2)
    weight = found.weight.unflatten(1, (16, 16))
    assert weight[:, :14, :13].min() > 0.9
    assert weight[:, 14:].mean() < 0.3


def test_window_scores_are_the_cosines_of_each_own_window() -> None:
    reference, source = unit(2, 8, 16, 24), unit(2, 8, 16, 24, seed=1)
    scores = matching.window_scores(reference, source)
    order = matching.in_tiles(torch.arange(16 * 24.0).reshape(1, 1, 16, 24))[0, :, 0].long()
    radius, tile, region = matching.RADIUS, matching.TILE, matching.REGION
    for place in (0, 77, 150, 383):
        row, column = divmod(int(order[place]), 24)
        window = scores[1, place].view(region, region)
        for y in range(region):
            for x in range(region):
                r, c = row // tile * tile + y - radius, column // tile * tile + x - radius
                near = abs(r - row) <= radius and abs(c - column) <= radius and 0 <= r < 16 and 0 <= c < 24
                if near:
                    assert window[y, x] == pytest.approx(
                        float(reference[1, :, r, c] @ source[1, :, row, column]), abs=1e-6
                    )
                else:
                    assert window[y, x] == -torch.inf


def test_cross_entropy_shares_the_truth_among_four_cells() -> None:
    scores = torch.randn(1, 3, 20, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[[1.25, 2.5], [4.0, 3.0], [4.5, 0.0]]])  # the last lies beyond a map of 5 x 4 cells
    logs = scores.log_softmax(2)[0].view(3, 4, 5)
    first = -(0.375 * logs[0, 2, 1] + 0.125 * logs[0, 2, 2] + 0.375 * logs[0, 3, 1] + 0.125 * logs[0, 3, 2])
    expected = (first - logs[1, 3, 4]) / 2
    assert matching._shared_cross_entropy(scores, target, (4, 5)).allclose(expected)


def test_losses_are_lowest_where_features_lie_under_the_true_homography() -> None:
    """Features that encode where their pixel lies in the source: only the true homography explains them."""
    homography = torch.tensor([[[1.05, 0.04, 6.0], [-0.03, 0.97, 4.0], [1e-4, 0.0, 1.0]]], dtype=torch.float64)
    frequencies = torch.randn(2, 48, generator=torch.Generator().manual_seed(0)) * 0.08

    def features(positions: Tensor) -> Tensor:
        phases = positions.float() @ frequencies
        return F.normalize(torch.cat([phases.sin(), phases.cos()], dim=-1).permute(2, 0, 1), dim=0)[None]

    def at(stride: int, matrix: Tensor | None) -> Tensor:
        places = matching.feature_positions((SIZE[0] // stride,) * 2, stride, torch.device("cpu")).double()
        return features(places if matrix is None else geometry.transform_points(matrix, places[None])[0])

    reference, source = (at(4, homography), at(8, homography)), (at(4, None), at(8, None))

    def losses(matrix: Tensor) -> dict[str, float]:
        torch.manual_seed(0)
        return {k: float(v) for k, v in matching.matching_losses(reference, source, matrix, SIZE, 0.05).items()}

    true = losses(homography)
    shifted = homography.clone()
    shifted[:, :2, 2] += 6
    for name, value in losses(shifted).items():
        assert value > true[name] + 0.3, name


def test_window_matches_correct_a_wrong_start() -> None:
    reference = F.interpolate(unit(1, 64, 20, 20), (32, 32), mode="bicubic")
    reference = F.normalize(reference, dim=1)
    places = matching.feature_positions((32, 32), 4, torch.device("cpu"))
    # The source is the reference itself, and the start is off by (8, -4) pixels.
    start = (places + torch.tensor([8.0, -4.0]))[None]
    found = matching.window_matches(reference, reference, start, 4, SIZE, 0.01)
    sure = found.weight > 0.5
    assert sure.float().mean() > 0.6
    assert (found.reference - found.source)[sure].abs().max() < 1.0


def test_mesh_fit_recovers_a_bent_mesh_among_wrong_matches() -> None:
    generator = torch.Generator().manual_seed(0)
    regular = geometry.regular_mesh(7, 7, SIZE)[None]
    x, y = regular.unbind(-1)
    truth = regular + torch.stack([4 * torch.sin(y / 40), 3 * torch.cos(x / 50)], dim=-1)
    source = torch.rand(1, 900, 2, generator=generator) * 127
    # The mesh as a picture of 7 x 7 pixels, sampled bilinearly: an implementation of its own.
    places = geometry.denormalise_points(geometry.normalise_points(source, SIZE), (7, 7))
    reference = geometry.sample(truth.permute(0, 3, 1, 2).float(), places[:, None])[:, :, 0].mT
    reference[:, :180] += 30 * torch.randn(1, 180, 2, generator=generator)
    matches = Correspondences(reference, source, torch.ones(1, 900))
    fitted = fit_mesh(matches, regular, SIZE, (7, 7), 1.0)
    error = (fitted - truth).norm(dim=-1)
    assert error[:, 1:-1, 1:-1].max() < 0.6
    # Along the border bending costs more than the few matches there are worth.
    assert error.max() < 1.5
    # What nothing is known about follows its neighbours smoothly.
    half = Correspondences(reference[:, source[0, :, 0] < 64], source[:, source[0, :, 0] < 64], torch.ones(1, 900))
    half = replace(half, weight=half.weight[:, : half.source.shape[1]])
    known = fit_mesh(half, regular, SIZE, (7, 7), 1.0) - regular
    assert known.isfinite().all()
    assert known.abs().max() < 20


def test_no_agreement_is_the_identity() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(60, 2, generator=generator) * 127
    pair = torch.stack([points, points])
    matches = Correspondences(pair, pair + 9, torch.tensor([[1.0] * 60, [0.0] * 60]))
    found = robust_homography(matches, SIZE)
    assert found[0].allclose(torch.tensor([[1.0, 0, 9], [0, 1, 9], [0, 0, 1]], dtype=torch.float64), atol=1e-3)
    assert torch.equal(found[1], torch.eye(3, dtype=torch.float64))


def texture(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    octaves = (
        F.interpolate(torch.rand(count, 3, side, side, generator=generator), (192, 192), mode="bicubic") / side**0.3
        for side in (6, 12, 24, 48)
    )
    total = torch.stack(list(octaves)).sum(0)
    low, high = total.amin((1, 2, 3), keepdim=True), total.amax((1, 2, 3), keepdim=True)
    return (total - low) / (high - low)


def pairs(count: int, seed: int) -> dict[str, Tensor]:
    """Two views each of random textures, with random corners."""
    generator = torch.Generator().manual_seed(seed)
    pictures, corners = texture(count, seed), geometry.image_corners(SIZE).expand(count, -1, -1)
    views = [corners + 32 + (torch.rand(count, 4, 2, generator=generator) - 0.5) * 32 for _ in range(2)]
    to_picture = [geometry.homography_from_points(corners, view) for view in views]
    reference, source = (geometry.warp_by_homography(pictures, matrix, SIZE)[0] for matrix in to_picture)
    homography = geometry.invert_homography(to_picture[1]) @ to_picture[0]
    return {"reference": reference, "source": source, "homography": homography / homography[:, 2:, 2:]}


def test_thirty_steps_of_training_find_homographies() -> None:
    torch.manual_seed(0)
    model = CrossScale(
        CrossScaleConfig(backbone="resnet18", head="matching", working_size=SIZE[0], mesh=(5, 5), input_norm="picture")
    )
    model.inference = model.validation_inference()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    test = pairs(8, 999)

    def corner_error() -> Tensor:
        corners = geometry.image_corners(SIZE)
        found = model.align(test["reference"], test["source"][:, None]).homography
        assert found is not None
        truth = geometry.transform_points(test["homography"], corners[None])
        return (geometry.transform_points(found[:, 0].double(), corners[None]) - truth).norm(dim=-1).mean(1)

    model.train()
    for step in range(30):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16(torch.device("cpu"))):
            loss = model.training_step(pairs(4, step))["loss"]
        loss.backward()
        optimizer.step()
    corners = geometry.image_corners(SIZE)
    motion = (geometry.transform_points(test["homography"], corners[None]) - corners).norm(dim=-1).mean(1)
    assert motion.median() > 10
    assert corner_error().median() < 4


def test_unknown_homographies_are_refused_or_left_out() -> None:
    model = CrossScale(CrossScaleConfig(backbone="resnet18", head="matching", working_size=128, mesh=(5, 5)))
    batch = pairs(2, 0)
    whole = model.training_step(batch)
    batch["homography"][1] = torch.nan
    assert model.training_step(batch)["loss"].isfinite()
    assert whole["loss"].isfinite()
    batch["homography"][0] = torch.nan
    with pytest.raises(InputError, match="same-frame-probability"):
        model.training_step(batch)


def test_a_given_start_is_gone_on_from() -> None:
    model = CrossScale(CrossScaleConfig(backbone="resnet18", head="matching", working_size=128, mesh=(5, 5))).eval()
    batch = pairs(1, 3)
    with torch.inference_mode():
        found = model.predict(batch["reference"], batch["source"], batch["homography"])
    assert found.homography.allclose(batch["homography"])


def test_the_head_needs_whole_tiles() -> None:
    with pytest.raises(InputError, match="multiple of 64"):
        CrossScaleConfig(head="matching", working_size=144)


@pytest.mark.parametrize("options", [{"adapt": -1}, {"adapt": 1001}, {"start": "guess"}])
def test_wrong_inference_options(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        CrossScaleInference(**options)  # type: ignore[arg-type]
