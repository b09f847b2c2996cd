"""The baselines that merge several shots, from pictures that still have to be aligned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.io import write_png

from raylign.methods import Aligner, Alignment, geometry
from raylign.methods.classical.mean import Mean
from raylign.methods.classical.median import Median
from raylign.methods.classical.reconstruction import SetAligner
from raylign.methods.classical.rpca import Rpca
from raylign.methods.classical.weiss import Weiss
from raylign.methods.errors import InputError
from raylign.platform.alignment import ModelChoice, align_images
from raylign.platform.cli import main
from raylign.platform.transform_arrays import transform_arrays
from tests.methods.shots import METHODS, columns_apart, paint_discs, psnr, random_frames
from tests.methods.small import picture


def plane_shots(seed: int, count: int, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A textured plane seen `count` times: the clean first view `(3, H, W)`, all views `(T, 3, H, W)` with discs in
    front of the plane, and the homographies `(T, 3, 3)` of the first view to each."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    plane = picture(seed, (height + 120, width + 120))
    for _ in range(300):
        y, x, h, w = (torch.rand(4, generator=generator) * torch.tensor([height + 120, width + 120, 30, 30])).int()
        plane[0, :, y : y + h + 3, x : x + w + 3] = torch.rand(3, 1, 1, generator=generator)
    corners = geometry.image_corners(size)[None]
    to_plane = torch.cat(
        [
            geometry.homography_from_points(
                corners, corners + 60 + (torch.rand(1, 4, 2, generator=generator) - 0.5) * (0 if view == 0 else 40)
            )
            for view in range(count)
        ]
    )
    views, _ = geometry.warp_by_homography(plane.expand(count, -1, -1, -1), to_plane, size)
    hidden = torch.stack([paint_discs(view, seed + 10 + i, 4, 22) for i, view in enumerate(views)])
    return views[0], hidden, geometry.invert_homography(to_plane) @ to_plane[:1]


@pytest.mark.parametrize("seed", [0, 1])
def test_shots_of_a_plane_become_the_clean_picture(seed: int) -> None:
    size = (180, 240)
    truth, shots, homographies = plane_shots(seed, 5, size)
    found = Median("sift").align(shots[:1], shots[None, 1:])
    assert found.homography is not None
    corners = geometry.image_corners(size)[None].expand(4, -1, -1)
    told = geometry.transform_points(found.homography[0].double(), corners)
    assert (told - geometry.transform_points(homographies[1:], corners)).norm(dim=-1).mean() < 1
    assert found.extras["frames_used"].all()
    assert found.confidence is not None
    assert float(found.confidence) > 0.5
    assert (found.mask == 1).all()
    assert psnr(found.image[0], truth) > psnr(shots[0], truth) + 3
    for method in (Mean, Rpca, Weiss):
        assert psnr(method("sift").align(shots[:1], shots[None, 1:]).image[0], truth) > psnr(shots[0], truth)


def test_a_source_that_cannot_be_aligned_is_left_out() -> None:
    _, shots, _ = plane_shots(0, 3, (120, 160))
    blank = torch.full_like(shots[:1], 0.5)
    without = Mean("sift").align(shots[:1], shots[None, 1:])
    found = Mean("sift").align(shots[:1], torch.cat([shots[1:2], blank, shots[2:]])[None])
    assert torch.allclose(found.image, without.image, atol=1e-6)
    assert found.confidence is not None
    assert without.confidence is not None
    assert torch.allclose(found.confidence, without.confidence)
    assert found.extras["frames_used"].tolist() == [[True, True, False, True]]
    assert found.extras["source_confidence"].shape == (1, 3)
    assert found.homography is not None
    assert found.homography.shape == (1, 3, 3, 3)


@pytest.mark.parametrize("method", METHODS)
def test_without_any_aligned_source_the_reference_remains(method: type[SetAligner]) -> None:
    reference = picture(0, (50, 60), batch=2).clamp_min(0.01)
    found = method("sift").align(reference, torch.full((2, 2, 3, 40, 30), 0.5))
    assert found.confidence is not None
    assert found.confidence.tolist() == [0, 0]
    assert (found.image - reference).abs().max() < 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_aligned_shots_need_no_alignment(method: type[SetAligner]) -> None:
    image = picture(0, (40, 60), batch=2) * 0.7 + 0.1
    frames = torch.stack([columns_apart(each, 6) for each in image])
    found = method("identity").align(frames[:, 0], frames[:, 1:])
    expected = method("identity").reconstruct(frames, torch.ones(2, 6, 1, 40, 60))
    assert torch.allclose(found.image, expected, atol=1e-4)
    assert found.confidence is not None
    assert found.confidence.tolist() == [1, 1]


class Silent(Aligner):
    """A pair method that tells neither a homography nor a confidence."""

    name = "silent"

    def align(self, reference: torch.Tensor, sources: torch.Tensor) -> Alignment:
        return Alignment(sources[:, 0], torch.ones_like(reference[:, :1]))


def test_a_pair_method_without_confidence_is_taken_at_its_word() -> None:
    frames, _ = random_frames(0, 4)
    method = Mean("identity")
    method.aligner = Silent()
    found = method.align(frames[:, 0], frames[:, 1:])
    assert torch.allclose(found.image, frames.mean(dim=1), atol=1e-6)
    assert found.homography is None
    assert found.confidence is None
    assert set(found.extras) == {"frames_used"}


def test_picture_files_go_through() -> None:
    truth, shots, _ = plane_shots(0, 4, (120, 160))
    choice = ModelChoice("median", "median", "median")
    aligned = align_images(Median(), shots[0], list(shots[1:]), choice)
    assert aligned.reliable
    assert psnr(aligned.image, truth) > psnr(shots[0], truth)
    assert aligned.facts["overlap"] == 1
    assert np.asarray(aligned.facts["homography"]).shape == (3, 3, 3)
    assert transform_arrays(aligned)["flow"].shape == (3, 2, 120, 160)
    blank = align_images(Median(), shots[0], [torch.zeros(3, 90, 70)], choice)
    assert not blank.reliable
    with pytest.raises(InputError, match="several sources must have one size"):
        align_images(Median(), shots[0], [shots[1], shots[2][:, :100]], choice)


def test_what_is_told_of_a_source_that_was_left_out() -> None:
    _, shots, _ = plane_shots(0, 3, (120, 160))
    blank = torch.full_like(shots[0], 0.5)
    choice = ModelChoice("median", "median", "median")
    aligned = align_images(Median(), shots[0], [shots[1], blank, shots[2]], choice)
    assert aligned.facts["sources_used"] == [True, False, True]
    assert [each is None for each in aligned.facts["homography"]] == [False, True, False]
    arrays = transform_arrays(aligned)
    assert arrays["used"].tolist() == [True, False, True]
    assert [bool(np.isnan(each).all()) for each in arrays["homography"]] == [False, True, False]
    assert [bool(np.isnan(each).all()) for each in arrays["flow"]] == [False, True, False]
    for number in (0, 2):
        assert np.isfinite(arrays["flow"][number]).all()
        assert np.array_equal(arrays["homography"][number], np.array(aligned.facts["homography"][number]))
    alone = align_images(Median(), shots[0], [blank], choice)
    assert alone.facts["sources_used"] == [False]
    assert alone.facts["homography"] is None
    assert not transform_arrays(alone)["used"]


def test_the_command_names_the_sources_that_were_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, shots, _ = plane_shots(0, 3, (120, 160))
    monkeypatch.chdir(tmp_path)
    for name, shot in {"a": shots[0], "b": torch.full_like(shots[0], 0.5), "c": shots[1], "d": shots[2]}.items():
        write_png((shot * 255).round().to(torch.uint8), f"{name}.png")
    command = ["align", "a.png", "b.png", "c.png", "d.png", "-o", "out.png", "--method", "mean"]
    assert main([*command, "--report", "page.html"]) == 0
    assert "left out: SRC 1," in capsys.readouterr().out
    assert "<td>sources used</td><td>[False, True, True]</td>" in (tmp_path / "page.html").read_text()
    assert main([*command, "--json", "--save-transform", "t.npz"]) == 0
    assert json.loads(capsys.readouterr().out)["sources_used"] == [False, True, True]
    with np.load(tmp_path / "t.npz") as arrays:
        assert arrays["used"].tolist() == [False, True, True]
    assert main([*command[:2], *command[3:]]) == 0
    assert "left out" not in capsys.readouterr().out
