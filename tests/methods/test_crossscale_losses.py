"""The losses: DCS acceptance fact 6, JND facts 4 and 5, and what an aligned pair must cost."""

from __future__ import annotations

import pytest
import torch

from raylign.methods import geometry
from raylign.methods.crossscale import losses
from raylign.methods.jnd import jnd_threshold
from tests.methods.small import picture

SIZE = (96, 96)


def regular(batch: int = 1) -> torch.Tensor:
    return geometry.regular_mesh(13, 13, SIZE).expand(batch, -1, -1, -1)


def ones() -> torch.Tensor:
    return torch.ones(1, 1, *SIZE)


def test_regular_mesh_has_no_shape_loss() -> None:
    assert float(losses.shape_loss(regular(), SIZE)) == pytest.approx(0, abs=1e-9)


def test_affine_mesh_has_no_shape_loss() -> None:
    matrix = torch.tensor([[1.7, 0.3], [-0.2, 1.6]], dtype=torch.float64)
    mesh = regular() @ matrix.T + torch.tensor([40.0, -25.0], dtype=torch.float64)
    assert losses.non_overlap_cells(mesh, SIZE).sum() > 0
    assert float(losses.shape_loss(mesh, SIZE)) == pytest.approx(0, abs=1e-6)


def test_cells_larger_than_twice_the_regular_cell_cost_their_excess() -> None:
    # Cells 3 x as wide: 24 - 2 * 96 / 12 pixels too much, 0.25 less because the regular mesh spans W - 1.
    mesh = regular() * torch.tensor([3.0, 1.0], dtype=torch.float64)
    assert float(losses.intra_cell_loss(mesh, SIZE)) == pytest.approx(3 * 95 / 12 - 2 * 96 / 12)


def test_moving_a_vertex_outside_of_the_overlap_costs() -> None:
    moved = regular() + torch.tensor([60.0, 0.0], dtype=torch.float64)
    assert float(losses.shape_loss(moved, SIZE)) == pytest.approx(0, abs=1e-6)
    moved = moved.clone()
    moved[0, 6, 10, 1] += 2
    assert float(losses.inter_cell_loss(moved, losses.non_overlap_cells(moved, SIZE))) > 1e-4


def test_moving_a_vertex_in_the_overlap_costs_nothing() -> None:
    mesh = regular().clone()
    mesh[0, 6, 6, 1] += 2
    cells = losses.non_overlap_cells(mesh, SIZE)
    assert cells.sum() == 0
    assert float(losses.inter_cell_loss(mesh, cells)) == 0


def test_bending_of_one_edge_by_hand() -> None:
    # Two by two cells; the top middle vertex is lifted: two equal top edges with an angle between them. The mean is
    # over the upper and the lower pair of neighbours.
    mesh = geometry.regular_mesh(3, 3, (21, 21))[None].clone()
    mesh[0, 0, 1, 1] = -5
    cosine = (100 - 25) / 125
    assert float(losses.inter_cell_loss(mesh, torch.ones(1, 2, 2))) == pytest.approx((1 - cosine) / 2)
    assert float(losses.inter_cell_loss(mesh, torch.tensor([[[1.0, 0.0], [1.0, 1.0]]]))) == pytest.approx(0)


def test_non_overlap_cells_of_a_translation() -> None:
    # The source's mesh lies 4 cells to the right: its last 4 columns of cells are outside of the reference.
    mesh = regular() + torch.tensor([4 * 95 / 12, 0.0], dtype=torch.float64)
    expected = torch.zeros(12, 12)
    expected[:, 8:] = 1
    assert torch.equal(losses.non_overlap_cells(mesh, SIZE)[0], expected)


def test_jnd_loss_and_its_gradient_are_zero_below_the_threshold() -> None:
    image = picture(0, SIZE) * 2 - 1
    threshold = jnd_threshold((image + 1) / 2)
    warped = (image + 0.9 * threshold / 127.5).requires_grad_()
    loss = losses.jnd_loss(image, warped, ones(), threshold)
    loss.backward()
    assert loss.item() == 0
    assert warped.grad is not None
    assert (warped.grad == 0).all()


def test_jnd_gradient_is_one_over_n_where_exceeded() -> None:
    image = torch.zeros(1, 3, *SIZE)
    warped = torch.zeros(1, 3, *SIZE)
    warped[0, 1, 10, 20], warped[0, 2, 30, 40], warped[0, 0, 5, 5] = 0.5, -0.5, 0.01
    warped.requires_grad_()
    losses.jnd_loss(image, warped, ones(), torch.full((1, 1, *SIZE), 10.0)).backward()
    assert warped.grad is not None
    expected = torch.zeros_like(warped)
    expected[0, 1, 10, 20], expected[0, 2, 30, 40] = 1 / warped.numel(), -1 / warped.numel()
    assert torch.allclose(warped.grad, expected)


def test_jnd_loss_is_zero_without_overlap() -> None:
    image = picture(0, SIZE) * 2 - 1
    almost = torch.full((1, 1, *SIZE), 0.99)
    for mask in (torch.zeros(1, 1, *SIZE), almost):
        assert float(losses.jnd_loss(image, -image, mask, torch.zeros(1, 1, *SIZE))) == 0


@pytest.mark.parametrize("seed", range(3))
def test_one_grey_level_is_invisible(seed: int) -> None:
    image = picture(seed, SIZE)
    threshold = jnd_threshold(image)
    signed = image * 2 - 1
    assert float(losses.jnd_loss(signed, signed + 1 / 127.5, ones(), threshold)) == 0


def test_thirty_grey_levels_are_visible_on_a_flat_picture() -> None:
    image = torch.full((1, 3, *SIZE), 0.4)
    signed = image * 2 - 1
    assert float(losses.jnd_loss(signed, signed + 30 / 127.5, ones(), jnd_threshold(image))) > 0.1


def test_content_loss_of_an_aligned_pair_is_zero_whatever_the_exposure() -> None:
    image = (picture(0, SIZE) * 2 - 1) * 0.5
    identity = torch.eye(3, dtype=torch.float64)[None]
    brighter = image + torch.tensor([0.1, -0.2, 0.3]).view(1, 3, 1, 1)
    loss = losses.content_loss(image, brighter, brighter, ones(), identity, 3.0)
    assert float(loss) == pytest.approx(0, abs=1e-5)


def test_content_loss_by_hand() -> None:
    # The identity homography: both warps of the homography terms are the pictures themselves.
    reference, source = picture(0, SIZE) * 2 - 1, picture(1, SIZE) * 2 - 1
    identity = torch.eye(3, dtype=torch.float64)[None]
    mean = source.mean((2, 3), keepdim=True) - reference.mean((2, 3), keepdim=True)
    term = (reference + mean - source).abs().mean()
    found = losses.content_loss(reference, source, source, ones(), identity, 3.0)
    assert float(found) == pytest.approx(7 * float(term), rel=1e-5)


def test_content_loss_prefers_the_true_homography() -> None:
    canvas = picture(2, (120, 120)) * 2 - 1
    reference, source = canvas[..., 10:106, 10:106], canvas[..., 6:102, 13:109]
    true = torch.eye(3, dtype=torch.float64)[None].clone()
    true[0, 0, 2], true[0, 1, 2] = -3, 4
    wrong = true.clone()
    wrong[0, 0, 2] += 1

    def loss(homography: torch.Tensor) -> float:
        warped, mask = geometry.warp_by_homography(source, homography, SIZE)
        return float(losses.content_loss(reference, source, warped, mask, homography, 3.0))

    assert loss(true) < 0.3 * loss(wrong)


def test_corner_distance_is_in_sixteenths_of_the_frame() -> None:
    there, here = torch.zeros(2, 4, 2), torch.full((2, 4, 2), 6.0)
    assert torch.allclose(losses.corner_distance(here, there, SIZE), torch.ones(2))
