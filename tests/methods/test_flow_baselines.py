"""The baselines that estimate a dense flow: DIS and RAFT."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models.optical_flow import raft_large, raft_small

from raylign.methods import geometry
from raylign.methods.classical.dis_flow import DisFlow
from raylign.methods.classical.flow_aligner import consistency, full_size_positions
from raylign.methods.classical.raft import Raft
from raylign.methods.errors import InputError, MissingWeightsError


def texture(seed: int, size: tuple[int, int], blur: float = 2.0) -> Tensor:
    """Smooth coloured noise `(1, 3, H, W)` in [0, 1] with contrast everywhere."""
    noise = np.random.default_rng(seed).standard_normal((*size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur)
    levels = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return torch.from_numpy(levels).permute(2, 0, 1)[None]


def waves(size: tuple[int, int], amplitude: float) -> Tensor:
    """A smooth flow `(1, 2, H, W)` in pixels."""
    height, width = size
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    return amplitude * torch.stack([torch.sin(6 * y + 2 * x), torch.cos(5 * x - y)])[None]


def seen_through(source: Tensor, flow: Tensor) -> Tensor:
    """The reference of which `flow` leads into `source`, by SciPy-like cubic sampling in OpenCV."""
    positions = (geometry.pixel_grid((flow.shape[2], flow.shape[3])) + flow[0].permute(1, 2, 0)).numpy()
    picture = source[0].permute(1, 2, 0).numpy()
    seen = cv2.remap(picture, positions[..., 0], positions[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return torch.from_numpy(seen).permute(2, 0, 1)[None].clamp(0, 1)


def grey(picture: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    levels = (picture[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)


def test_dis_is_that_of_opencv() -> None:
    source = texture(0, (120, 160))
    reference = seen_through(source, waves((120, 160), 3))
    found = DisFlow().align(reference, source[:, None])
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    expected = search.calc(grey(reference), grey(source), None)
    assert found.flow is not None
    assert np.abs(found.flow[0, 0].permute(1, 2, 0).numpy() - expected).max() < 1e-4
    other = DisFlow(preset="ultrafast").align(reference, source[:, None])
    assert other.flow is not None
    assert not torch.equal(other.flow, found.flow)


def test_dis_recovers_a_smooth_displacement() -> None:
    source = texture(1, (160, 200))
    true = waves((160, 200), 4)
    reference = seen_through(source, true)
    found = DisFlow().align(reference, source[:, None])
    assert found.flow is not None
    inner = (found.flow[:, 0] - true).norm(dim=1)[:, 8:-8, 8:-8]
    assert inner.mean() < 0.3
    assert found.confidence is not None
    assert found.confidence[0] > 0.9
    # The warp brings the source onto the reference, not the reference onto the source.
    inside = found.mask.bool().expand_as(reference)
    assert (found.image - reference).abs()[inside].mean() < 0.2 * (source - reference).abs()[inside].mean()


def test_dis_flow_leads_from_the_reference_into_the_source() -> None:
    # The source shows at (x + 5, y - 3) what the reference shows at (x, y).
    large = texture(2, (160, 180))
    reference, source = large[..., 10:130, 10:150], large[..., 13:133, 5:145]
    found = DisFlow().align(reference, source[:, None])
    assert found.flow is not None
    middle = found.flow[0, 0, :, 20:-20, 20:-20].flatten(1).median(dim=1).values
    assert middle.tolist() == pytest.approx([5.0, -3.0], abs=0.1)
    # Five columns at the right and three rows at the top have left the source, but for the flow's error at the border.
    assert abs(float(found.mask.mean()) - (135 / 140) * (117 / 120)) < 0.02


def test_a_source_of_another_size_keeps_its_own_pixels() -> None:
    reference = texture(3, (100, 140), blur=3)
    source = torch.nn.functional.interpolate(reference, (150, 280), mode="bicubic", align_corners=False).clamp(0, 1)
    found = DisFlow().align(reference, source[:, None])
    assert found.flow is not None
    # Area rule: x' = 2 x + 0.5, y' = 1.5 y + 0.25.
    grid = geometry.pixel_grid((100, 140))
    expected = torch.stack([grid[..., 0] + 0.5, 0.5 * grid[..., 1] + 0.25])
    assert (found.flow[0, 0] - expected).norm(dim=0).mean() < 0.1
    assert (found.image - reference)[..., 2:-2, 2:-2].abs().mean() < 0.01


def test_flow_of_reduced_pictures_is_in_full_pixels() -> None:
    source = texture(4, (240, 320), blur=6)
    true = waves((240, 320), 6)
    found = DisFlow(max_side=160).align(seen_through(source, true), source[:, None])
    assert found.flow is not None
    assert found.flow.shape == (1, 1, 2, 240, 320)
    assert (found.flow[:, 0] - true).norm(dim=1)[:, 16:-16, 16:-16].mean() < 0.6


def test_full_size_positions_of_no_flow_are_the_area_rule() -> None:
    positions = full_size_positions(torch.zeros(1, 2, 10, 20), (40, 60), (30, 90))
    assert positions[0, 7, 11].tolist() == pytest.approx([(11 + 0.5) * 1.5 - 0.5, (7 + 0.5) * 0.75 - 0.5])
    one = torch.ones(1, 2, 10, 20)
    assert (full_size_positions(one, (40, 60), (30, 90)) - positions)[0, 7, 11].tolist() == pytest.approx([4.5, 3.0])


def test_consistency_finds_what_is_hidden() -> None:
    there = torch.zeros(1, 2, 20, 30)
    there[:, 0] = 3.0
    back = -there
    back[..., 10:15, 10:20] = 2.0
    agrees = consistency(there, back)[0]
    # What lands in the disturbed block (3 px to the right) disagrees; what leaves the picture has no way back.
    expected = torch.ones(20, 30, dtype=torch.bool)
    expected[10:15, 7:17] = False
    expected[:, 27:] = False
    assert torch.equal(agrees, expected)


def test_unrelated_pictures_have_little_confidence() -> None:
    found = DisFlow().align(texture(5, (120, 160)), texture(6, (120, 160))[:, None])
    assert found.confidence is not None
    assert found.confidence[0] < 0.5


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (12, 200), (33, 17)])
@pytest.mark.parametrize("source_size", [(16, 16), (40, 9)])
def test_dis_bears_tiny_and_flat_pictures(size: tuple[int, int], source_size: tuple[int, int]) -> None:
    reference, source = texture(7, size, 1) if size != (1, 1) else torch.zeros(1, 3, 1, 1), texture(8, source_size, 1)
    found = DisFlow().align(reference, source[:, None])
    assert found.flow is not None
    assert found.flow.isfinite().all()
    assert found.image.shape == reference.shape
    flat = DisFlow().align(torch.full_like(reference, 0.5), torch.full((1, 1, 3, *size), 0.5))
    assert flat.flow is not None
    assert (flat.flow == 0).all()
    assert flat.confidence is not None
    assert flat.confidence.tolist() == [0.0]


@pytest.fixture(scope="module")
def raft_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / "small.pth"
    torch.save(raft_small().state_dict(), path)
    return path


def test_raft_is_that_of_torchvision(raft_weights: Path) -> None:
    reference, source = texture(9, (128, 136)), texture(10, (128, 136))
    found = Raft(raft_weights, small=True, updates=2).align(reference, source[:, None])
    torch.manual_seed(0)
    network = raft_small().eval()
    with torch.inference_mode():
        expected = network(reference * 2 - 1, source * 2 - 1, num_flow_updates=2)[-1]
    assert found.flow is not None
    assert expected.abs().mean() > 0.01
    assert torch.allclose(found.flow[:, 0], expected, atol=1e-4)


def test_raft_pads_at_the_right_and_below(raft_weights: Path) -> None:
    reference, source = texture(11, (125, 132)), texture(12, (125, 132))
    found = Raft(raft_weights, small=True, updates=2).align(reference, source[:, None])
    torch.manual_seed(0)
    network = raft_small().eval()
    padded = [torch.nn.functional.pad(p * 2 - 1, (0, 4, 0, 3), mode="replicate") for p in (reference, source)]
    with torch.inference_mode():
        expected = network(*padded, num_flow_updates=2)[-1][..., :125, :132]
    assert found.flow is not None
    assert torch.allclose(found.flow[:, 0], expected, atol=1e-4)


def test_raft_bears_tiny_pictures_and_moves_with_its_weights(raft_weights: Path) -> None:
    raft = Raft(raft_weights, small=True, updates=1)
    found = raft.align(texture(13, (16, 16)), texture(14, (20, 30))[:, None])
    assert found.image.shape == (1, 3, 16, 16)
    assert found.flow is not None
    assert found.flow.isfinite().all()
    assert not raft.network.training
    assert {parameter.device.type for parameter in raft.to("meta").parameters()} == {"meta"}


def test_raft_large_takes_its_own_weights_only(raft_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    from safetensors.torch import save_file

    state = raft_large().state_dict()
    save_file(state, path)
    loaded = Raft(path).network.state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    with pytest.raises(InputError, match="raft"):
        Raft(raft_weights)


def test_raft_without_weights_says_how_to_get_them() -> None:
    with pytest.raises(MissingWeightsError, match=r"raft_large_C_T_SKHT_V2"):
        Raft()
    with pytest.raises(MissingWeightsError, match=r"raft_small_C_T_V2"):
        Raft(small=True)
