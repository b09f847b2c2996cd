"""LPIPS against the authors' package, with random weights of the backbone."""

from __future__ import annotations

from pathlib import Path

import lpips
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import alexnet

from raylign.methods.errors import InputError, MissingWeightsError
from raylign.platform.evaluation.lpips import LEAST_SIDE, Lpips


@pytest.fixture(scope="module")
def backbone() -> nn.Sequential:
    torch.manual_seed(0)
    features = alexnet().features
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return features


@pytest.fixture(scope="module")
def state(backbone: nn.Sequential) -> dict[str, Tensor]:
    return {f"features.{name}": tensor for name, tensor in backbone.state_dict().items()}


@pytest.fixture(scope="module")
def weights(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lpips") / "alexnet.safetensors"
    save_file(state, path)
    return path


@pytest.fixture(scope="module")
def ours(weights: Path) -> Lpips:
    return Lpips(weights)


def pictures(height: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(height)
    a = torch.rand(3, height, width, generator=generator)
    return a, (a + 0.3 * torch.randn(3, height, width, generator=generator)).clamp(0, 1)


def test_against_the_package_of_the_authors(ours: Lpips, backbone: nn.Sequential) -> None:
    theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    for part in (theirs.net.slice1, theirs.net.slice2, theirs.net.slice3, theirs.net.slice4, theirs.net.slice5):
        for number, layer in part.named_children():
            layer.load_state_dict(backbone[int(number)].state_dict())
    for size in ((64, 80), (LEAST_SIDE, 100)):
        a, b = pictures(*size)
        with torch.no_grad():
            expected = float(theirs(a[None], b[None], normalize=True))
        assert expected > 0.01
        assert ours(a, b) == pytest.approx(expected, abs=1e-5)
        assert ours(a, a) == 0


def test_weights_saved_by_torch_with_a_classifier(ours: Lpips, state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({**state, "classifier.6.bias": torch.zeros(1000)}, tmp_path / "alexnet.pth")
    a, b = pictures(40, 40)
    assert Lpips(tmp_path / "alexnet.pth")(a, b) == ours(a, b)
    # What is asked to be downloaded beside a file is not needed.
    assert Lpips(str(tmp_path / "alexnet.pth"), pretrained=True)(a, b) == ours(a, b)


def test_wrong_files_are_named(state: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError):
        Lpips()
    with pytest.raises(InputError, match=r"missing\.pth"):
        Lpips(tmp_path / "missing.pth")
    (tmp_path / "damaged.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(InputError, match=r"damaged\.safetensors"):
        Lpips(tmp_path / "damaged.safetensors")
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="AlexNet"):
        Lpips(tmp_path / "other.safetensors")
    save_file({**state, "features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "vgg.safetensors")
    with pytest.raises(InputError, match="AlexNet"):
        Lpips(tmp_path / "vgg.safetensors")


def test_a_download_that_fails_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(InputError, match="network is unreachable"):
        Lpips(pretrained=True)
