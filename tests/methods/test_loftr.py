"""LoFTR as a baseline, with random weights: loading, what goes into the network, and what is made of its matches."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from kornia.feature import LoFTR
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from raylign import methods
from raylign.methods.classical.loftr import URL, Loftr, loftr_network, working_size
from raylign.methods.errors import InputError
from raylign.platform.cli import main
from tests.benchmarks.train_loftr import losses, true_matches
from tests.methods.published import loftr_weights, no_network
from tests.methods.test_classical import sharp_picture


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loftr") / "random.safetensors"
    save_file(loftr_weights(), path)
    return path


@pytest.fixture(scope="module")
def eager(weights: Path) -> Loftr:
    """Takes the matches of a random network, which have tiny scores."""
    return Loftr(weights=weights, least_score=0.0, min_side=0)


def picture(seed: int, size: tuple[int, int]) -> Tensor:
    return sharp_picture(seed, size)[0]


def test_every_way_to_the_weights_leads_to_the_same_network(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = loftr_weights()
    # The published file has these prefixes under this key.
    named = {"state_dict": {f"matcher.{name}": tensor for name, tensor in content.items()}}
    torch.save(content, tmp_path / "random.pth")
    torch.save(named, no_network(monkeypatch, tmp_path) / "loftr_outdoor.ckpt")
    assert URL.endswith("/loftr_outdoor.ckpt")
    ways = (
        methods.load("loftr", weights=weights),
        methods.load("loftr", weights=str(tmp_path / "random.pth")),
        methods.load("loftr", pretrained=True),
    )
    for aligner in ways:
        assert isinstance(aligner, Loftr)
        assert not aligner.network.training
        found = aligner.network.state_dict()
        assert found.keys() == content.keys()
        assert all(torch.equal(found[name], content[name]) for name in content)


def test_weights_of_another_network(tmp_path: Path) -> None:
    save_file(nn.Linear(2, 2).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"no weights of 'loftr'.* missing .* unknown"):
        Loftr(weights=tmp_path / "w.safetensors")


def test_a_network_of_other_widths_is_told_by_its_tensors(tmp_path: Path) -> None:
    torch.manual_seed(1)
    content = loftr_network((16, 24, 32), 4).state_dict()
    save_file(content, tmp_path / "narrow.safetensors")
    aligner = Loftr(weights=tmp_path / "narrow.safetensors", least_score=0.0, min_side=0)
    found = aligner.network.state_dict()
    assert found.keys() == content.keys()
    assert all(torch.equal(found[name], content[name]) for name in content)
    whole = picture(0, (96, 128))
    assert len(aligner.matches(whole[:, :, :120], whole[:, 8:, 16:]).reference) > 0


def test_true_matches_of_a_training() -> None:
    """Cells meet where the homography leads, and the rest of the way is told."""
    homography = torch.tensor([[[1.0, 0, 9], [0, 1, -16], [0, 0, 1]]], dtype=torch.float64)
    pair, first, second, offset = true_matches(homography.expand(2, 3, 3), 64)
    # One cell to the right and a pixel, two up: 7 columns and 6 rows of 8 are left.
    assert torch.bincount(pair).tolist() == [42, 42]
    assert torch.equal(first % 8 + 1, second % 8)
    assert torch.equal(first // 8 - 2, second // 8)
    assert torch.equal(offset, torch.tensor([1.0, 0.0]).expand(84, 2))
    turned = torch.tensor([[[-1.0, 0, 56], [0, -1, 56], [0, 0, 1]]], dtype=torch.float64)
    pair, first, second, offset = true_matches(turned, 64)
    # Points 8x - 0.5 are turned about the middle of the picture, (28, 28).
    assert torch.equal(second, 63 - first)
    assert torch.equal(offset, torch.tensor([1.0, 1.0]).expand(64, 2))


def test_the_losses_fall_to_what_the_true_matches_ask() -> None:
    """A few steps on one pair, whose matches are known, bring both losses down."""
    torch.manual_seed(0)
    network = loftr_network((16, 16, 32), 2)
    view = torch.rand(1, 3, 24, 24).repeat_interleave(8, 2).repeat_interleave(8, 3)
    batch = {"reference_input": view, "source_input": view.roll(8, -1)}
    batch["homography"] = torch.tensor([[[1.0, 0, 8], [0, 1, 0], [0, 0, 1]]], dtype=torch.float64)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    told = []
    for _ in range(30):
        both = torch.stack(losses(network, batch))
        optimizer.zero_grad()
        both.sum().backward()
        optimizer.step()
        told.append(both.detach())
    assert (torch.stack(told[-3:]).mean(0) < 0.7 * told[0]).all(), told[::5]


def test_matches_are_those_of_kornia(eager: Loftr) -> None:
    """At sizes that need no resize; grey levels by OpenCV."""
    whole = picture(0, (96, 128))
    pictures = whole[:, :, :120], whole[:, 8:, 16:]
    network = LoFTR(pretrained=None)
    network.load_state_dict(loftr_weights())
    network.coarse_matching.thr = 0.0
    grey = [cv2.cvtColor(each.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY) for each in pictures]
    with torch.inference_mode():
        expected = network.eval()({f"image{k}": torch.from_numpy(each)[None, None] for k, each in enumerate(grey)})
    found = eager.matches(*pictures)
    assert len(found.reference) == len(expected["keypoints0"]) > 0
    assert np.abs(found.reference + 0.5 - expected["keypoints0"].numpy()).max() < 1e-3
    assert np.abs(found.source + 0.5 - expected["keypoints1"].numpy()).max() < 1e-3


def test_the_same_answer_each_time(eager: Loftr) -> None:
    reference, source = picture(0, (94, 130)), picture(0, (94, 130))[:, 5:, 7:]
    first = eager.matches(reference, source)
    torch.manual_seed(5)
    cv2.setRNGSeed(5)
    again = eager.matches(reference, source)
    assert len(first.reference) > 0
    assert np.array_equal(first.reference, again.reference)
    assert np.array_equal(first.source, again.source)


TRUE = np.array([[1.3, 0.08, 12.0], [-0.06, 1.2, 7.0], [1e-4, -5e-5, 1.0]])
"""Reference pixels to source pixels, of the full pictures."""


class Perfect(nn.Module):
    """In place of the network: matches under `TRUE` between pictures reduced by OpenCV's rule, in its convention."""

    def __init__(self, size: tuple[int, int], source_size: tuple[int, int]) -> None:
        super().__init__()
        self.sizes = size, source_size
        self.seen: list[tuple[int, int]] = []
        self.anything = nn.Parameter(torch.zeros(1))

    def forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        self.seen = [(data[key].shape[-2], data[key].shape[-1]) for key in ("image0", "image1")]
        rng = np.random.default_rng(0)
        full = rng.uniform(0, 1, (60, 2)) * (np.array(self.sizes[0][::-1]) - 1)
        moved = cv2.perspectiveTransform(full[:, None], TRUE)[:, 0]
        keys = {}
        for key, points, before, after in zip("01", (full, moved), self.sizes, self.seen, strict=True):
            # A pixel covers an area from (0, 0) on: its centre is at halves, and areas scale.
            scale = np.array(after[::-1]) / np.array(before[::-1])
            keys[f"keypoints{key}"] = torch.from_numpy((points + 0.5) * scale).float()
        return keys


@pytest.fixture
def perfect(weights: Path) -> Loftr:
    aligner = Loftr(weights=weights, max_side=96)
    aligner.network = Perfect((150, 210), (190, 270))
    return aligner


def test_the_homography_is_that_of_the_full_pictures(perfect: Loftr) -> None:
    found = perfect.matches(torch.rand(3, 150, 210), torch.rand(3, 190, 270))
    assert perfect.network.seen == [(72, 96), (64, 96)]
    assert found.homography is not None
    assert np.abs(found.homography.numpy() - TRUE).max() < 1e-2
    assert found.inliers.all()
    assert found.confidence > 0.75
    moved = cv2.perspectiveTransform(found.reference[:, None], TRUE)[:, 0]
    assert np.abs(moved - found.source).max() < 1e-3


def test_align_keeps_the_contract(perfect: Loftr) -> None:
    source = picture(3, (190, 270))
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(source.permute(1, 2, 0).numpy(), TRUE, (210, 150), flags=flags)
    reference = torch.from_numpy(warped).permute(2, 0, 1).clamp(0, 1)
    found = perfect.align(reference[None], source[None, None])
    assert found.homography is not None
    assert found.homography.shape == (1, 1, 3, 3)
    inside = found.mask.bool().expand_as(found.image)
    assert inside.float().mean() > 0.5
    assert (found.image - reference).abs()[inside].mean() < 0.03


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (480, 640)),
        ((100, 60), (96, 64)),
        ((3000, 4000), (480, 640)),
        ((1, 9), (8, 8)),
        ((4000, 3), (640, 8)),
    ],
)
def test_working_sizes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert working_size(size, 640) == expected


def test_small_pictures_are_enlarged() -> None:
    assert working_size((96, 72), 640, 384) == (384, 288)
    assert working_size((400, 300), 640, 384) == (400, 304)
    assert working_size((3000, 4000), 640, 384) == (480, 640)
    assert working_size((96, 96), 200, 384) == (200, 200)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (1, 60), (40, 40)])
def test_pictures_without_matches_have_no_answer(eager: Loftr, size: tuple[int, int]) -> None:
    for each in (torch.full((1, 3, *size), 0.5), torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))):
        found = eager.align(each, picture(0, (48, 56))[None, None])
        assert found.homography is not None
        assert torch.equal(found.homography[0, 0], torch.eye(3))
        assert found.confidence is not None
        assert found.confidence.tolist() == [0.0]


def test_the_command_takes_the_file(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A random network finds nothing; with --force that is written."""
    monkeypatch.chdir(tmp_path)
    levels = (picture(0, (64, 64)).permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    Image.fromarray(levels).save("a.png")
    command = ["align", "a.png", "a.png", "-o", "out.png", "--method", "loftr", "--weights", str(weights), "--json"]
    assert main(command) == 3
    assert not Path("out.png").exists()
    assert main([*command, "--force"]) == 0
    assert Path("out.png").exists()
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (facts["method"], facts["confidence"]) == ("loftr", 0.0)
