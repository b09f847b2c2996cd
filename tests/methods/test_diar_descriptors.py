"""Descriptors of DIAR: where they lie, what they are blind to, and the loss that trains them."""

from __future__ import annotations

import pytest
import torch
import torchvision

from raylign.methods import geometry
from raylign.methods.diar.config import DiarConfig
from raylign.methods.diar.descriptors import Descriptors, descriptor_loss, random_homographies
from raylign.methods.draws import Draws
from tests.methods.small import picture


def untrained(**changes: object) -> Descriptors:
    torch.manual_seed(0)
    return Descriptors(DiarConfig(**changes)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_without_convolutions_they_are_the_unit_features_of_torchvisions_resnet(layers: int) -> None:
    descriptors = untrained(backbone_layers=layers, descriptor=0)
    resnet = torchvision.models.resnet18(weights=None).eval()
    names = {f"stem.{place}": name for place, name in enumerate(("conv1", "bn1"))}
    state = descriptors.backbone.state_dict()
    renamed = {next((names[a] + key[len(a) :] for a in names if key.startswith(a)), key): state[key] for key in state}
    resnet.load_state_dict({key: value for key, value in renamed.items() if key not in ("mean", "std")}, strict=False)
    image = picture(1, (64, 96))
    centred = (image - image.mean((2, 3), keepdim=True)) / image.std((2, 3), keepdim=True)
    expected = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(centred))))
    for layer in range(1, layers + 1):
        expected = getattr(resnet, f"layer{layer}")(expected)
    expected = expected / expected.norm(dim=1, keepdim=True)
    assert torch.allclose(descriptors(image), expected, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_shift_by_one_stride_shifts_them_by_one_place(layers: int) -> None:
    descriptors = untrained(backbone_layers=layers)
    stride = descriptors.stride
    # A frame of grey around it: both pictures have the same mean, and no border sees anything.
    image = torch.full((1, 3, 192, 192), 0.5)
    image[..., 64:112, 64:112] = picture(2, (48, 48))
    shifted = image.roll((stride, 2 * stride), (2, 3))
    a, b = descriptors(image), descriptors(shifted)
    assert torch.allclose(
        a[..., 5:-5, 5:-5].roll((1, 2), (2, 3))[..., 3:-3, 3:-3], b[..., 5:-5, 5:-5][..., 3:-3, 3:-3], atol=1e-3
    )


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_feature_at_i_is_centred_on_pixel_stride_times_i(layers: int) -> None:
    """With weights that are symmetric, a picture mirrored about such a pixel has a mirrored map."""
    descriptors = untrained(backbone_layers=layers)
    for module in descriptors.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = (module.weight + module.weight.flip(3)) / 2
    image = picture(3, (65, 16 * 8 + 1))
    assert torch.allclose(descriptors(image.flip(3)), descriptors(image).flip(3), atol=1e-5)


def test_they_are_unit_vectors_blind_to_gain_and_bias_of_each_channel() -> None:
    descriptors = untrained()
    image = picture(4, (64, 64))
    found = descriptors(image)
    gain, bias = torch.tensor([0.5, 0.7, 0.6])[:, None, None], torch.tensor([0.2, 0.1, 0.3])[:, None, None]
    assert found.shape == (1, 128, 8, 8)
    assert torch.allclose(found.norm(dim=1), torch.ones(1, 8, 8), atol=1e-5)
    assert torch.allclose(found, descriptors(gain * image + bias), atol=1e-4)


def test_random_homographies_stay_convex_and_in_range() -> None:
    draws, size = Draws({"seed": torch.arange(200), "frames": torch.zeros(200)}), (60, 80)
    corners = geometry.image_corners(size)
    moved = geometry.transform_points(random_homographies(draws, size), corners.expand(200, -1, -1))
    a, b, c, d = moved.unbind(1)
    area = ((d - a)[:, 0] * (c - b)[:, 1] - (d - a)[:, 1] * (c - b)[:, 0]).abs() / 2
    assert (area > 0.1 * 60 * 80).all()
    assert (area < 5 * 60 * 80).all()
    assert (torch.linalg.det(random_homographies(draws, size)) > 0).all()


def test_the_loss_falls_in_a_few_steps_and_not_where_everything_is_hidden() -> None:
    torch.manual_seed(0)
    descriptors = Descriptors(DiarConfig(descriptor=32))
    frames = picture(5, (64, 64), batch=4)[:, None] * torch.tensor([1.0, 0.6, 0.8])[:, None, None, None]
    eye = torch.eye(3).expand(4, 3, 3, 3)
    optimizer = torch.optim.Adam(descriptors.parameters(), 1e-3)
    losses = []
    for _ in range(12):
        loss = descriptor_loss(descriptors, frames, eye, None, Draws({"frames": frames}))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    hidden = torch.ones(4, 3, 1, 64, 64)
    assert descriptor_loss(descriptors, frames, eye, hidden, Draws({"frames": frames})) == 0


def test_the_loss_is_nothing_only_for_descriptors_that_know_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """One-hot descriptors of true places: the loss knows the composed homographies the right way round."""
    module = "raylign.methods.diar.descriptors.random_homographies"
    shift = torch.eye(3).double().repeat(2, 1, 1)
    shift[:, 0, 2] = 16.0
    calls = iter([torch.eye(3).double().repeat(2, 1, 1), shift])
    monkeypatch.setattr(module, lambda draws, size: next(calls))

    class Columns(Descriptors):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            # The level of red says which place of frame 0 a pixel shows.
            level = (pictures[:, 0, :: self.stride, :: self.stride] * 100).round().long().clamp(0, 99)
            return torch.nn.functional.one_hot(level, 100).permute(0, 3, 1, 2).float()

    descriptors = Columns(DiarConfig(descriptor_temperature=0.01))
    places = torch.arange(64.0).view(8, 8).repeat_interleave(8, 0).repeat_interleave(8, 1) / 100 + 0.01
    frames = places.expand(2, 2, 3, 64, 64)
    eye = torch.eye(3).expand(2, 2, 3, 3)
    loss = descriptor_loss(descriptors, frames, eye, None, Draws({"frames": frames}))
    assert loss < 1e-3
