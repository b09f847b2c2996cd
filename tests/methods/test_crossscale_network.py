"""The network: its modules, its geometry from known offsets, its options. See also `test_crossscale_comparison.py`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch
import torchvision
import tyro

from raylign.methods import geometry
from raylign.methods.crossscale import CrossScaleConfig, losses
from raylign.methods.crossscale.fsc import Regression, correlation, matches, on_grid, transposed, unit_vectors
from raylign.methods.errors import InputError
from tests.methods.small import picture, set_global_offsets, small_network


@pytest.mark.parametrize(("levels", "modules"), [(0, 0), (1, 2), (2, 6)])
def test_number_of_cross_scale_modules(levels: int, modules: int) -> None:
    network = small_network(levels=levels, mesh=(13, 13))
    assert len(network.cross) == modules
    global_offsets, local_offsets = network(picture(0, (96, 96), 2), picture(1, (96, 96), 2))
    assert global_offsets.shape == (2, 4, 2)
    assert local_offsets.shape == (2, 13, 13, 2)


def test_each_cross_scale_module_returns_all_vertices() -> None:
    config = CrossScaleConfig(backbone="resnet18", mesh=(13, 13), branch=(8, 8, 8, 8), trunk=8, linear=(8, 8))
    for reference_side, target_side in ((16, 8), (8, 16), (16, 4), (4, 8)):
        module = Regression(config, reference_side, target_side, points=169)
        out = module(torch.rand(1, 4, reference_side, reference_side), torch.rand(1, 4, target_side, target_side))
        assert out.shape == (1, 169, 2)


def test_correlation_seen_from_both_grids_is_one_tensor() -> None:
    reference, target = torch.randn(2, 16, 6, 5), torch.randn(2, 16, 3, 4)
    pairs = correlation(unit_vectors(reference), unit_vectors(target))
    from_reference, from_target = on_grid(pairs, (6, 5)), on_grid(transposed(pairs), (3, 4))
    assert from_reference.shape == (2, 12, 6, 5)
    assert from_target.shape == (2, 30, 3, 4)
    assert torch.equal(from_reference.flatten(2), from_target.flatten(2).transpose(1, 2))
    # Position by position, from the definition.
    a, b = reference[1, :, 4, 2], target[1, :, 1, 3]
    cosine = torch.dot(a, b) / (a.norm() * b.norm())
    assert from_reference[1, 1 * 4 + 3, 4, 2] == pytest.approx(float(cosine), abs=1e-5)


def test_correlation_is_a_cosine() -> None:
    features = torch.randn(2, 32, 6, 6) * 50
    pairs = correlation(unit_vectors(features), unit_vectors(features))
    assert pairs.abs().max() <= 1 + 1e-5
    assert torch.allclose(pairs.diagonal(dim1=1, dim2=2), torch.ones(2, 36), atol=1e-5)


def test_centred_correlation_does_not_see_a_common_offset() -> None:
    reference, target = torch.randn(1, 16, 4, 4), torch.randn(1, 16, 4, 4)
    other = unit_vectors(target, centred=True)
    plain = correlation(unit_vectors(reference, centred=True), other)
    shifted = correlation(unit_vectors(reference + 100, centred=True), other)
    assert torch.allclose(plain, shifted, atol=1e-4)


def test_matches_are_shares_of_the_other_picture() -> None:
    features = torch.randn(1, 64, 5, 5)
    vectors = unit_vectors(features)
    shares = matches(correlation(vectors, vectors), 0.05) / 5
    assert torch.allclose(shares.sum(-1), torch.ones(1, 25))
    assert torch.equal(shares[0].argmax(-1), torch.arange(25))
    assert shares[0].diagonal().min() > 0.99


def test_untrained_network_is_the_identity() -> None:
    network = small_network().eval()
    reference, source = picture(0, (96, 96)), picture(1, (96, 96))
    with torch.no_grad():
        prediction = network.predict(reference, source)
        positions = losses.mesh_positions(prediction.mesh, network.size)
    assert (prediction.global_offsets == 0).all()
    assert (prediction.local_offsets == 0).all()
    assert (prediction.homography - torch.eye(3)).abs().max() < 1e-6
    assert (geometry.sample(source, positions) - source).abs().max() < 1e-4
    assert (geometry.coverage(positions, network.size) > losses.OVERLAP).all()


def test_equal_corner_offsets_are_a_translation() -> None:
    network = small_network()
    set_global_offsets(network, torch.tensor([[5.0, -3.0]]).expand(4, 2))
    source = picture(1, (96, 96))
    with torch.no_grad():
        prediction = network.eval().predict(picture(0, (96, 96)), source)
        positions = losses.mesh_positions(prediction.mesh, network.size)
    expected = torch.tensor([[1.0, 0, 5], [0, 1, -3], [0, 0, 1]], dtype=torch.float64)
    assert (prediction.homography[0] - expected).abs().max() < 1e-5
    regular = geometry.regular_mesh(5, 4, network.size)
    assert torch.allclose(prediction.mesh[0], regular - torch.tensor([5.0, -3.0]), atol=1e-4)
    warped = geometry.sample(source, positions)
    # Bringing the source into the reference frame samples it 5 to the right and 3 up.
    assert (warped[..., 3:, :-5] - source[..., :-3, 5:]).abs().max() < 5e-3
    mask = geometry.coverage(positions, network.size) >= losses.OVERLAP
    assert mask[0, 4:, :-6].all()
    assert not mask[0, :2].any()


def test_homography_takes_corners_to_their_offset_places() -> None:
    network = small_network()
    offsets = torch.tensor([[4.0, -2.0], [-3.0, 5.0], [1.0, 7.0], [-6.0, -4.0]])
    set_global_offsets(network, offsets)
    with torch.no_grad():
        prediction = network.eval().predict(picture(0, (96, 96)), picture(1, (96, 96)))
    corners = geometry.image_corners(network.size)[None]
    found = geometry.transform_points(prediction.homography, corners) - corners
    assert torch.allclose(found[0], offsets.double(), atol=1e-5)
    # The mesh vertices are source points: H takes their places in the reference back to the regular mesh.
    back = geometry.transform_points(prediction.homography, prediction.mesh)
    assert torch.allclose(back[0], geometry.regular_mesh(5, 4, network.size), atol=1e-4)


def test_features_are_warped_in_step_with_pictures() -> None:
    # A feature map that holds its own image coordinates must show H's, whatever the stride.
    network = small_network()
    features = 8 * geometry.pixel_grid((12, 12)).permute(2, 0, 1)[None]
    corners = geometry.image_corners(network.size)[None]
    homography = geometry.homography_from_points(
        corners, corners + torch.tensor([[[3.0, 2.0], [-3.0, 1.0], [2.0, -4.0], [-1.0, -3.0]]])
    )
    warped = network._warp_features(features, homography)
    places = geometry.transform_points(homography, features.permute(0, 2, 3, 1))
    assert torch.allclose(warped.permute(0, 2, 3, 1)[0, 2:-2, 2:-2], places[0, 2:-2, 2:-2].float(), atol=1e-3)


@pytest.mark.parametrize("size", [96, 112, 128, 160])
@pytest.mark.parametrize("smallest_map", [1, 4])
def test_any_working_size(size: int, smallest_map: int) -> None:
    network = small_network(working_size=size, levels=2, smallest_map=smallest_map)
    global_offsets, local_offsets = network(picture(0, (size, size)), picture(1, (size, size)))
    assert global_offsets.shape == (1, 4, 2)
    assert local_offsets.shape == (1, 5, 4, 2)


def test_the_deepest_level_at_the_smallest_size() -> None:
    network = small_network(levels=3).eval()
    assert network(picture(0, (96, 96)), picture(1, (96, 96)))[1].shape == (1, 5, 4, 2)


def test_frozen_normalisation_stays_as_it_is() -> None:
    network = small_network(norm="frozen").train()
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    network.backbone(picture(0, (96, 96), 2))
    after = network.backbone.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module.training for module in network.backbone.modules() if isinstance(module, torch.nn.BatchNorm2d))
    trained = small_network(norm="batch").train()
    trained.backbone(picture(0, (96, 96), 2))
    assert not torch.equal(before["stem.1.running_mean"], trained.backbone.state_dict()["stem.1.running_mean"])


def test_normalisation_follows_the_weights() -> None:
    assert not CrossScaleConfig().frozen_norm
    assert CrossScaleConfig(backbone_weights="imagenet").frozen_norm
    assert not CrossScaleConfig(backbone_weights="imagenet", norm="batch").frozen_norm
    # Also where the weights come from a checkpoint that the training starts from.
    assert CrossScaleConfig(freeze_backbone=True).frozen_norm
    with pytest.raises(InputError, match="leave norm at auto"):
        CrossScaleConfig(freeze_backbone=True, norm="batch")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_backbone_weights_from_a_file(tmp_path: Path, suffix: str) -> None:
    from safetensors.torch import save_file

    resnet = torchvision.models.resnet18(weights=None)
    path = tmp_path / f"resnet{suffix}"
    if suffix == ".pth":
        torch.save(resnet.state_dict(), path)
    else:
        save_file(resnet.state_dict(), path)
    network = small_network(backbone_weights=str(path))
    assert torch.equal(network.backbone.stem[0].weight, resnet.conv1.weight)
    assert torch.equal(network.backbone.layer3[1].bn2.weight, resnet.layer3[1].bn2.weight)
    with pytest.raises(InputError, match="holds no resnet50"):
        small_network(backbone="resnet50", backbone_weights=str(path))


def test_a_frozen_backbone_leaves_the_heads_to_be_trained(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    network = small_network(backbone_weights=str(path), freeze_backbone=True)
    network.training_step({name: picture(seed, (96, 96), 2) for seed, name in enumerate(("reference", "source"))})[
        "loss"
    ].backward()
    assert all(weight.grad is None for weight in network.backbone.parameters())
    assert all(weight.grad is not None for weight in network.coarse.parameters())
    with pytest.raises(InputError, match="freeze_backbone needs a trained backbone"):
        small_network(freeze_backbone=True)
    with pytest.raises(InputError, match="'matching'"):
        small_network(backbone_weights=str(path), freeze_backbone=True, head="matching", working_size=128)


def test_bad_backbone_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file"):
        small_network(backbone_weights=str(tmp_path / "nothing.pth"))
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"no weights")
    with pytest.raises(InputError, match="cannot be read"):
        small_network(backbone_weights=str(bad))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("working_size", 100),
        ("working_size", 80),
        ("levels", 4),
        ("mesh", (2, 13)),
        ("smallest_map", 0),
        ("correlation_temperature", -1.0),
    ],
)
def test_impossible_configurations(field: str, value: object) -> None:
    with pytest.raises(InputError, match=field):
        CrossScaleConfig(**{field: value})  # type: ignore[arg-type]


def test_normalisation_by_picture_does_not_see_exposure() -> None:
    image = picture(0, (96, 96), 2) * 0.5 + 0.2
    gain, offset = torch.tensor([0.7, 1.2, 1.0]).view(1, 3, 1, 1), torch.tensor([0.1, -0.2, 0.05]).view(1, 3, 1, 1)
    plain, exposed = (small_network(input_norm="picture").eval().backbone(x)[0] for x in (image, image * gain + offset))
    assert torch.allclose(plain, exposed, atol=1e-4)
    plain, exposed = (small_network().eval().backbone(x)[0] for x in (image, image * gain + offset))
    assert not torch.allclose(plain, exposed, atol=1e-2)


def test_every_field_is_a_documented_option(capsys: pytest.CaptureFixture[str]) -> None:
    changed = tyro.cli(
        CrossScaleConfig, args=["--mesh", "5", "7", "--backbone", "resnet18", "--branch", "8", "8", "8", "8"]
    )
    assert changed.mesh == (5, 7)
    assert changed.backbone_weights is None
    with pytest.raises(SystemExit):
        tyro.cli(CrossScaleConfig, args=["--help"])
    text = capsys.readouterr().out
    assert all(f"--{field.name.replace('_', '-')}" in text for field in fields(CrossScaleConfig))
