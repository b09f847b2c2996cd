"""Real sets of shots: the layout of folders of shots, and what is measured without a true picture."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from raylign.methods.errors import DatasetError
from raylign.platform.alignment import AlignedPicture
from raylign.platform.cli import main
from raylign.platform.data.samples import Samples
from raylign.platform.evaluation.cases import Case
from raylign.platform.evaluation.datasets import EvaluationSet, choose_datasets
from raylign.platform.evaluation.measure import measure
from raylign.platform.evaluation.shots import SHOTS, correlation, glare_share, mean_gradient
from raylign.platform.frames import bring
from tests.layouts import picture, save, shifted

SHIFT = np.array([[1, 0, 4.0], [0, 1, -3.0], [0, 0, 1]])


def smooth(seed: int, height: int = 60, width: int = 80) -> Tensor:
    return torch.from_numpy(picture(seed, height, width).copy()).permute(2, 0, 1).float() / 255


def write_folders(root: Path) -> Path:
    first = picture(1, 60, 80)
    for name, pixels in (("shot10", shifted(first)), ("shot9", first), ("shot11", picture(2, 60, 80))):
        save(root / "poster" / f"{name}.png", pixels)
    for number in (1, 2):
        save(root / "page" / f"{number}.jpg", picture(number), quality=95)
    save(root / "single/one.png", first)
    (root / "empty").mkdir()
    return root


def test_a_folder_of_folders_of_shots(tmp_path: Path) -> None:
    samples = Samples(f"shots:{write_folders(tmp_path)}", "test")
    assert [samples[k].name for k in range(len(samples))] == ["page", "poster"]
    poster = samples[1]
    assert [
        frame.permute(1, 2, 0).numpy().tolist() == pixels.tolist()
        for frame, pixels in zip(
            poster.frames, (picture(1, 60, 80), shifted(picture(1, 60, 80)), picture(2, 60, 80)), strict=True
        )
    ] == [True, True, True]
    assert (poster.homographies, poster.gt) == (None, None)
    dataset = EvaluationSet(choose_datasets([f"shots:{tmp_path}"], "test", None)[0])
    assert [dataset.count(task) for task in ("pair", "set", "aligned")] == [3, 2, 0]
    with pytest.raises(DatasetError, match="two or more pictures"):
        Samples(f"shots:{tmp_path / 'poster'}")


def test_a_table_says_which_shot_is_the_reference(tmp_path: Path) -> None:
    for number in range(1, 5):
        save(tmp_path / f"E/news/{number}.png", picture(number))
    save(tmp_path / "A/one/a.png", picture(8))
    save(tmp_path / "A/one/b.png", picture(9))
    rows = ["set,pair id,file1,file2,gt file", "A,one,A/one/a.png,A/one/b.png,", "F,x,F/none.png,,"]
    rows += [f"E,{a}_{b},E/news/{a}.png,E/news/{b}.png," for a, b in ((2, 1), (2, 3), (3, 4))]
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    samples = Samples(f"shots:{tmp_path}", "E")
    assert (len(samples), samples[0].name, samples[0].subset) == (1, "news", "E")
    for frame, number in zip(samples[0].frames, (2, 1, 3, 4), strict=True):
        assert np.array_equal(frame.permute(1, 2, 0).numpy(), picture(number))
    assert [samples.reader.info.splits[name] for name in ("test", "A", "E")] == [[0, 2], [0, 1], [1, 2]]
    (tmp_path / "E/news/3.png").unlink()
    with pytest.raises(DatasetError, match=r"E/news/3\.png"):
        Samples(f"shots:{tmp_path}")


def test_sources_are_brought_as_opencv_does() -> None:
    source = smooth(3)
    frames, masks = bring([source, source], torch.tensor(np.stack([SHIFT, np.full((3, 3), np.nan)])), (50, 70))
    expected = cv2.warpPerspective(
        source.permute(1, 2, 0).numpy(), SHIFT, (70, 50), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    inside = cv2.warpPerspective(np.ones((60, 80)), SHIFT, (70, 50), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP) > 0
    assert np.array_equal(masks[0].numpy(), inside)
    np.testing.assert_allclose((frames[0] * masks[0]).permute(1, 2, 0).numpy(), expected, atol=1e-5)
    assert not masks[1].any()
    assert not frames[1].any()


def test_numbers_of_single_pictures_against_numpy() -> None:
    a, b = smooth(1), 0.3 + 0.5 * smooth(2)
    mask = torch.zeros(60, 80, dtype=torch.bool)
    mask[10:50, 5:60] = True
    grey = [each.mean(0)[mask].double().numpy() for each in (a, b)]
    assert correlation(a, b, mask) == pytest.approx(np.corrcoef(*grey)[0, 1], abs=1e-6)
    assert correlation(a, 0.1 + 0.4 * a, mask) == pytest.approx(1)
    assert correlation(a, torch.full_like(a, 0.5), mask) == correlation(a, b, mask & False) == 0
    ramp = torch.linspace(0, 1, 11).expand(3, 5, 11)
    assert mean_gradient(ramp) == pytest.approx(0.1)
    assert mean_gradient(ramp.transpose(1, 2)) == pytest.approx(0.1)
    assert mean_gradient(torch.rand(3, 1, 1)) == 0
    shown = torch.full((3, 10, 10), 0.5)
    shown[:, :2] = 0.97  # 20 of 100 pixels
    shown[:, 2] = torch.tensor([1.0, 0.9, 0.3])[:, None]  # as bright, but yellow
    assert glare_share(shown, torch.ones(10, 10, dtype=torch.bool)) == pytest.approx(0.2)
    half = torch.zeros(10, 10, dtype=torch.bool)
    half[1:5] = True
    assert glare_share(shown, half) == pytest.approx(0.25)
    assert glare_share(shown, half & False) == 0


def whole_plane() -> Tensor:
    """Full of detail, and nowhere bright."""
    noise = np.random.default_rng(5).random((200, 240, 3)).astype(np.float32)
    return torch.from_numpy(cv2.GaussianBlur(noise, (0, 0), 2)).permute(2, 0, 1).sub(0.3).mul(1.6).clamp(0, 0.8)


def glare_case() -> tuple[Case, Tensor]:
    """Four shots of one plane, shifted, each with a lamp's reflection elsewhere; and their homographies."""
    plane = whole_plane()
    shots, homographies = [], []
    for k, (x, y) in enumerate(((20, 20), (24, 17), (15, 22), (20, 26))):
        shot = plane[:, y : y + 120, x : x + 160].clone()
        shot[:, 20 + 10 * k : 40 + 10 * k, 20 + 30 * k : 40 + 30 * k] = 1
        shots.append(shot)
        homographies.append(torch.tensor([[1, 0, 20.0 - x], [0, 1, 20.0 - y], [0, 0, 1]], dtype=torch.float64))
    return Case("0", "0", "0", "", "set", shots[0], shots[1:]), torch.stack(homographies[1:])


def answer(image: Tensor, homography: Tensor | None) -> AlignedPicture:
    return AlignedPicture(image, torch.ones(image.shape[1:], dtype=torch.bool), homography, None, None, True, {})


def test_a_set_without_a_true_picture() -> None:
    case, homographies = glare_case()
    clean = whole_plane()[:, 20:140, 20:180]
    found = measure(case, answer(clean, homographies))
    assert set(found) == set(SHOTS)
    share = 20 * 20 / (120 * 160)
    assert found["glare_reference"] == pytest.approx(share)
    assert found["glare"] == 0
    assert share <= found["glare_before"] < 1.2 * share
    # Where the content is the same only the reflections differ.
    assert found["ncc"] > found["ncc_before"] + 0.05
    still = torch.eye(3, dtype=torch.float64).repeat(3, 1, 1)
    unmoved = measure(case, answer(clean, still))
    assert unmoved["ncc"] == unmoved["ncc_before"] == found["ncc_before"]
    # The median of the aligned shots is the plane.
    assert found["sharpness"] == pytest.approx(1, abs=1e-4)
    blurred = torch.nn.functional.avg_pool2d(clean[None], 15, 1, 7, count_include_pad=False)[0]
    assert measure(case, answer(blurred, homographies))["sharpness"] < 0.9 * found["sharpness"]
    # One that was left out counts as it lies, and hides nothing of the median.
    without = homographies.clone()
    without[1] = torch.nan
    kept = measure(case, answer(clean, without))["ncc"]
    assert found["ncc_before"] < kept < found["ncc"]
    # Nothing is known of shots without homographies, and a failure is no alignment.
    assert set(measure(case, answer(clean, None))) == {"glare", "glare_reference"}
    lost = measure(case, None)
    assert lost["ncc"] == lost["ncc_before"]
    assert lost["glare"] == pytest.approx(share)


def test_the_command_on_a_folder_of_shots(workdir: Path) -> None:
    case, _ = glare_case()
    for k, shot in enumerate((case.reference, *case.sources)):
        save(workdir / f"sets/plane/{k}.png", (shot * 255).round().byte().permute(1, 2, 0).numpy())
    arguments = ["--data", f"shots:{workdir / 'sets'}", "--methods", "median", "--workers", "1", "--gallery", "0"]
    arguments += ["--tracking-uri", f"sqlite:///{workdir / 'mlflow.db'}", "--json", "t.json", "--markdown", "t.md"]
    assert main(["evaluate", *arguments, "--tasks", "set"]) == 0
    (row,) = json.loads(Path("t.json").read_text())["rows"]
    assert row["failed"] == 0
    assert row["metrics"]["sharpness"]["mean"] == pytest.approx(1, abs=0.02)
    assert row["metrics"]["ncc"]["mean"] > row["metrics"]["ncc_before"]["mean"]
    assert row["missing"]["psnr"] == "the dataset has no true pictures"
    assert row["missing"]["corner_error"] == "the dataset has no true homography"
    assert Path("t.md").read_text().lstrip().startswith("**sets, sets**")
