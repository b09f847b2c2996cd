"""`CrossScale.align`: any size, one sampling, exact mapping from the working size to the pictures' own."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
import torch.nn.functional as F

from raylign.methods import Alignment, geometry
from raylign.methods.crossscale.confidence import agreement, likelihood
from raylign.methods.crossscale.config import CrossScaleInference
from raylign.methods.crossscale.network import CrossScale
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


def identity_positions(size: tuple[int, int]) -> torch.Tensor:
    return geometry.pixel_grid(size)[None]


def test_confidence_follows_the_likeness_of_the_pictures() -> None:
    size = (128, 128)
    image, there = picture(0, size), identity_positions(size)
    same = float(likelihood(image, image, there))
    assert same > 0.85
    # Gain and offset of exposure are no difference.
    assert float(likelihood(image, image * 0.5 + 0.2, there)) == pytest.approx(same, abs=1e-3)
    assert float(likelihood(image, picture(9, size), there)) < 0.2
    assert float(likelihood(image, 1 - image, there)) < 0.1
    assert float(likelihood(image, torch.full_like(image, 0.3), there)) == 0
    assert float(likelihood(image, image, there + 1000)) == 0


def test_confidence_looks_only_at_the_overlap() -> None:
    size = (256, 256)
    image, half = picture(0, size), identity_positions(size).clone()
    half[:, :, 128:] += 1000
    mean, share = agreement(image, image, half)
    assert float(mean) == pytest.approx(1, abs=1e-4)
    assert 0.2 < float(share) < 0.5


def test_resizing_is_by_areas() -> None:
    # The rule that maps the geometry must be the one that shrinks the pictures: a ramp shows which one that is.
    network = small_network()
    ramp = geometry.pixel_grid((384, 288)).permute(2, 0, 1)[None]
    small = network._to_working_size(F.pad(ramp, (0, 0, 0, 0, 0, 1)))
    back = torch.linalg.inv(geometry.resize_transform((384, 288), network.size, "area"))
    expected = geometry.transform_points(back[None], geometry.pixel_grid(network.size)[None].double())
    assert torch.allclose(small[0, 0, 10:-10, 10:-10].double(), expected[0, 10:-10, 10:-10, 0], atol=1e-2)


def turned(degrees: float) -> torch.Tensor:
    angle = math.radians(degrees)
    matrix = torch.tensor(
        [[math.cos(angle), -math.sin(angle), 9.0], [math.sin(angle), math.cos(angle), -4.0], [0, 0, 1]]
    )
    return matrix[None].double()


def scene(size: tuple[int, int]) -> torch.Tensor:
    """Smooth large and small structure, on which SIFT finds keypoints."""
    generator = torch.Generator().manual_seed(5)
    layers = [
        F.interpolate(torch.rand(1, 3, side, side, generator=generator), size, mode="bicubic") for side in (8, 20, 50)
    ]
    return torch.stack(layers).mean(0).clamp(0, 1)


def test_by_default_a_classical_start_and_the_adaptation_help_an_untrained_network() -> None:
    network = small_network(working_size=256)
    source, true = scene((256, 256)), turned(8)
    reference, covered = geometry.warp_by_homography(source, true, (256, 256))
    alone = network.align(reference, source[:, None])
    network.inference = CrossScaleInference(adapt=0)
    started = network.align(reference, source[:, None])
    network.inference = CrossScaleInference()
    adapted = network.align(reference, source[:, None])

    def error(found: Alignment) -> float:
        both = covered * found.mask
        return float(((found.image - reference).square() * both).sum() / both.sum())

    assert error(started) < 0.2 * error(alone)
    assert error(adapted) < 0.7 * error(started)
    assert alone.confidence is not None
    assert adapted.confidence is not None
    assert adapted.confidence > alone.confidence


def test_a_pair_in_a_batch_is_aligned_as_alone() -> None:
    network = small_network(working_size=256)
    network.inference = CrossScaleInference(adapt=8)
    source = scene((256, 256))
    references = torch.cat([geometry.warp_by_homography(source, turned(a), (256, 256))[0] for a in (0.0, 8.0)])
    sources = source.expand(2, -1, -1, -1)[:, None]
    together = network.align(references, sources)
    for number in (0, 1):
        single = network.align(references[number : number + 1], sources[number : number + 1])
        assert (together.image[number] - single.image[0]).abs().mean() < 2e-3


@pytest.mark.parametrize("start", ["auto", "classical"])
def test_where_nothing_is_found_confidence_is_low(start: Literal["auto", "classical"]) -> None:
    network = small_network(working_size=256)
    network.inference = CrossScaleInference(start=start)
    flat = torch.full((1, 3, 256, 256), 0.5)
    found = network.align(flat, scene((256, 256))[:, None])
    assert found.confidence is not None
    assert float(found.confidence) < CrossScale.min_confidence
    assert bool(found.image.isfinite().all())
