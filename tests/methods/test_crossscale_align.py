"""`CrossScale.align`: any size, one sampling, exact mapping from the working size to the pictures' own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from raylign.methods import Alignment, geometry
from raylign.methods.crossscale.confidence import overlap_correlation
from raylign.methods.errors import InputError
from tests.methods.small import picture, set_global_offsets, small_network


def test_fields_of_an_alignment() -> None:
    network = small_network()
    found = network.align(picture(0, (61, 83), 2), picture(1, (50, 47), 2)[:, None])
    assert isinstance(found, Alignment)
    assert found.image.shape == (2, 3, 61, 83)
    assert found.mask.shape == (2, 1, 61, 83)
    assert found.homography is not None
    assert found.homography.shape == (2, 1, 3, 3)
    assert (found.homography[..., 2, 2] == 1).all()
    assert found.flow is not None
    assert found.flow.shape == (2, 1, 2, 61, 83)
    assert found.flow.dtype == torch.float32
    assert found.confidence is not None
    assert found.confidence.shape == (2,)
    assert found.extras["mesh"].shape == (2, 5, 4, 2)
    assert set(found.mask.unique().tolist()) <= {0.0, 1.0}
    assert (found.image * (1 - found.mask) == 0).all()


def test_known_integer_translation_on_an_odd_size() -> None:
    # (dx, dy) pixels of the picture are (dx 96 / 471, dy 96 / 313) at the working size.
    height, width, dx, dy = 313, 471, 23, -11
    network = small_network()
    set_global_offsets(network, torch.tensor([[dx * 96 / width, dy * 96 / height]]).expand(4, 2))
    source = picture(1, (height, width))
    found = network.align(picture(0, (height, width)), source[:, None])
    assert found.homography is not None
    assert found.flow is not None
    expected = torch.tensor([[1.0, 0, dx], [0, 1, dy], [0, 0, 1]])
    assert torch.allclose(found.homography[0, 0], expected, atol=1e-3)
    assert (found.flow[0, 0, 0] - dx).abs().max() < 0.01
    assert (found.flow[0, 0, 1] - dy).abs().max() < 0.01
    inside = found.mask[0, 0] > 0
    assert inside[12:, : -dx - 1].all()
    assert not inside[:10].any()
    assert not inside[:, -dx + 1 :].any()
    # The flow is true to a hundredth of a pixel, so the picture is true to a hundredth of its steepest slope.
    shifted = source[..., 1 : height + dy, dx:-1]
    assert (found.image[..., 12:, : -dx - 1] - shifted).abs().max() < 5e-3


@pytest.mark.parametrize(
    ("size", "source_size"), [((313, 471), (200, 300)), ((200, 300), (313, 471)), ((97, 96), (96, 411))]
)
def test_pictures_of_different_sizes(size: tuple[int, int], source_size: tuple[int, int]) -> None:
    # Untrained: the whole frame lies on the whole frame, by areas.
    found = small_network().align(picture(0, size), picture(1, source_size)[:, None])
    expected = geometry.resize_transform(size, source_size, "area").float()
    assert found.homography is not None
    assert found.flow is not None
    assert torch.allclose(found.homography[0, 0], expected, atol=1e-4)
    positions = geometry.transform_points(expected[None], geometry.pixel_grid(size)[None])
    flow = (positions - geometry.pixel_grid(size))[0].permute(2, 0, 1)
    assert (found.flow[0, 0] - flow).abs().max() < 0.01


def test_homography_and_mesh_agree_with_the_flow() -> None:
    size, source_size = (150, 210), (180, 140)
    network = small_network()
    set_global_offsets(network, torch.tensor([[4.0, -2.0], [-3.0, 5.0], [1.0, 7.0], [-6.0, -4.0]]))
    found = network.align(picture(0, size), picture(1, source_size)[:, None])
    assert found.homography is not None
    assert found.flow is not None
    # The spline through vertices that lie on a homography is close to it between them.
    positions = found.flow[0, 0].permute(1, 2, 0) + geometry.pixel_grid(size)
    planar = geometry.homography_positions(found.homography[0], size)[0]
    assert (positions - planar)[10:-10, 10:-10].norm(dim=-1).max() < 1.0
    # At the vertices it is the spline itself: flow there leads to the regular mesh of the source.
    mesh = found.extras["mesh"][:, 1:-1, 1:-1]
    at_vertices = geometry.sample(found.flow[:, 0], mesh).permute(0, 2, 3, 1) + mesh
    regular = geometry.regular_mesh(5, 4, network.size)[None]
    in_source = geometry.transform_points(geometry.resize_transform(network.size, source_size, "area")[None], regular)
    assert (at_vertices - in_source[:, 1:-1, 1:-1]).abs().max() < 0.05


def test_homography_is_that_of_the_final_mesh() -> None:
    size = (96, 96)
    network = small_network()
    set_global_offsets(network, torch.tensor([[4.0, -2.0], [-3.0, 5.0], [1.0, 7.0], [-6.0, -4.0]]))
    found = network.align(picture(0, size), picture(1, size)[:, None])
    assert found.homography is not None
    # Without local offsets both stages say the same.
    assert torch.allclose(found.homography[:, 0], found.extras["global_homography"], atol=1e-4)
    with torch.no_grad():
        network.intra.offsets.bias.copy_(torch.tensor([3.0, -1.0]).repeat(20))
    moved = network.align(picture(0, size), picture(1, size)[:, None])
    assert moved.homography is not None
    assert torch.equal(moved.extras["global_homography"], found.extras["global_homography"])
    # All mesh vertices moved in the reference: H' = H T^-1.
    shift = torch.tensor([[1.0, 0, -3], [0, 1, 1], [0, 0, 1]])
    expected = found.homography[0, 0] @ shift
    assert torch.allclose(moved.homography[0, 0], expected / expected[2, 2], atol=1e-3)


def test_same_pictures_give_the_same_answer() -> None:
    network = small_network(seed=3)
    set_global_offsets(network, torch.rand(4, 2) * 5)
    reference, source = picture(0, (120, 90)), picture(1, (120, 90))[:, None]
    first, second = network.align(reference, source), network.align(reference, source)
    assert torch.equal(first.image, second.image)
    assert first.flow is not None
    assert second.flow is not None
    assert torch.equal(first.flow, second.flow)


def test_align_keeps_the_training_mode_and_needs_no_gradients() -> None:
    network = small_network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = network.align(picture(0, (96, 96)), picture(1, (96, 96))[:, None])
    assert network.training
    assert not found.image.requires_grad
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_align_inside_autocast_is_the_same() -> None:
    network = small_network()
    set_global_offsets(network, torch.rand(4, 2) * 5)
    reference, source = picture(0, (70, 90)), picture(1, (70, 90))[:, None]
    plain = network.align(reference, source)
    with torch.autocast("cpu", torch.bfloat16):
        inside = network.align(reference, source)
    assert inside.image.dtype == torch.float32
    assert torch.equal(plain.image, inside.image)


def test_wrong_shapes_are_refused() -> None:
    network = small_network()
    one = picture(0, (96, 96))
    with pytest.raises(InputError, match="must be"):
        network.align(one, one)
    with pytest.raises(InputError, match="one source"):
        network.align(one, torch.stack([one, one], dim=1))


def test_confidence_follows_the_likeness_of_the_pictures() -> None:
    image, everywhere = picture(0, (40, 40)), torch.ones(1, 1, 40, 40, dtype=torch.bool)
    assert float(overlap_correlation(image, image, everywhere)) == pytest.approx(1)
    assert float(overlap_correlation(image, image * 0.5 + 0.2, everywhere)) == pytest.approx(1, abs=1e-5)
    assert float(overlap_correlation(image, 1 - image, everywhere)) == 0
    assert float(overlap_correlation(image, picture(9, (40, 40)), everywhere)) < 0.4
    assert float(overlap_correlation(image, torch.full_like(image, 0.3), everywhere)) < 0.05
    little = torch.zeros_like(everywhere)
    little[..., :1] = True
    assert float(overlap_correlation(image, image, little)) == 0


def test_confidence_looks_only_at_the_overlap() -> None:
    image = picture(0, (40, 40))
    half = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    half[..., :20] = True
    spoiled = image.clone()
    spoiled[..., 20:] = 0
    assert float(overlap_correlation(image, spoiled, half)) == pytest.approx(1)


def test_resizing_is_by_areas() -> None:
    # The rule that maps the geometry must be the one that shrinks the pictures: a ramp shows which one that is.
    network = small_network()
    ramp = geometry.pixel_grid((384, 288)).permute(2, 0, 1)[None]
    small = network._to_working_size(F.pad(ramp, (0, 0, 0, 0, 0, 1)))
    back = torch.linalg.inv(geometry.resize_transform((384, 288), network.size, "area"))
    expected = geometry.transform_points(back[None], geometry.pixel_grid(network.size)[None].double())
    assert torch.allclose(small[0, 0, 10:-10, 10:-10].double(), expected[0, 10:-10, 10:-10, 0], atol=1e-2)
