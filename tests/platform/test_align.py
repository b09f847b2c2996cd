"""`raylign align` as a user runs it: results, transforms, every wrong input, and the exit status."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import map_coordinates

from raylign.methods.aligner import Aligner, Alignment
from raylign.methods.classical.identity import Identity
from raylign.methods.errors import InputError
from raylign.methods.registry import load
from raylign.platform import alignment, models
from raylign.platform.alignment import ModelChoice, align_images, choose_model
from raylign.platform.cli import main
from raylign.platform.models import ModelVersion
from raylign.platform.transform_arrays import transform_arrays
from tests.datasets import texture

HOMOGRAPHY = np.array([[1.02, 0.03, -6.0], [-0.02, 0.98, 5.0], [2e-5, -3e-5, 1.0]])
"""Reference pixels to source pixels."""


@pytest.fixture
def pair(workdir: Path) -> Path:
    """`ref.png` (200 x 160) and `src.png` (220 x 180) under `HOMOGRAPHY`."""
    reference = texture(np.random.default_rng(1), 200)[:160]
    Image.fromarray(reference).save("ref.png")
    source = cv2.warpPerspective(
        reference, HOMOGRAPHY, (220, 180), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    Image.fromarray(source).save("src.png")
    return workdir


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(np.float64)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_sift_brings_the_source_into_the_frame(pair: Path) -> None:
    assert main(["align", "ref.png", "src.png", "-o", "out.png", "--save-transform", "t.npz"]) == 0
    transform = np.load("t.npz")
    assert set(transform.files) == {"flow", "mask", "confidence", "homography", "source_size"}
    flow, mask = transform["flow"], transform["mask"]
    assert (flow.shape, flow.dtype) == ((2, 160, 200), np.float32)
    assert (mask.shape, mask.dtype) == ((160, 200), np.bool_)
    assert transform["homography"].shape == (3, 3)
    assert 0 < float(transform["confidence"]) <= 1
    corners = np.array([[0, 0, 1], [199, 0, 1], [0, 159, 1], [199, 159, 1]]).T
    expected, found = HOMOGRAPHY @ corners, transform["homography"] @ corners
    assert np.abs(expected[:2] / expected[2] - found[:2] / found[2]).max() < 0.5
    # The flow and the homography tell the same, and sampling the source along the flow gives OUT.
    assert np.abs(found[:2] / found[2] - corners[:2] - flow[:, corners[1], corners[0]]).max() < 1e-3
    rows, columns = np.mgrid[:160, :200]
    source = pixels("src.png")
    sampled = np.stack(
        [map_coordinates(source[..., c], [rows + flow[1], columns + flow[0]], order=1) for c in range(3)], axis=-1
    )
    out = pixels("out.png")
    assert mask.mean() > 0.9
    assert np.abs(out - sampled)[mask].max() <= 1
    assert out[~mask].max(initial=0) == 0
    assert np.abs(out - pixels("ref.png"))[mask].mean() < 2


def test_facts_on_one_line(pair: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["align", "src.png", "ref.png", "--out", "out.webp", "--method", "identity", "--json"]) == 0
    output, errors = capfd.readouterr()
    assert errors == ""
    facts = json.loads(output)
    assert output.count("\n") == 1
    assert facts["method"] == facts["model"] == "identity"
    assert (facts["reference"], facts["sources"]) == ([220, 180], [[200, 160]])
    assert facts["homography"] == np.eye(3).tolist()
    assert facts["overlap"] == pytest.approx(200 * 160 / (220 * 180), abs=0.02)
    assert facts["reliable"] is True
    assert facts["out"] == "out.webp"
    assert names(pair) == {"ref.png", "src.png", "out.webp"}


def test_alpha_and_report(pair: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["align", "--alpha", "-o", "out.png", "--report", "r.html", "ref.png", "src.png"]) == 0
    assert main(["align", "ref.png", "src.png", "-o", "plain.png", "--save-transform", "t.npz"]) == 0
    with_alpha = np.asarray(Image.open("out.png"))
    assert np.array_equal(with_alpha[..., 3] == 255, np.load("t.npz")["mask"])
    assert np.array_equal(with_alpha[..., :3], np.asarray(Image.open("plain.png")))
    page = Path("r.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page
    assert "out.png: 200 x 160, sift, confidence" in capfd.readouterr().out


def test_the_same_bytes_again_whatever_the_caller_did(pair: Path) -> None:
    main(["align", "ref.png", "src.png", "-o", "one.png"])
    torch.manual_seed(5)
    cv2.setRNGSeed(7)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        main(["align", "ref.png", "src.png", "-o", "two.png"])
    finally:
        torch.set_num_threads(before)
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()


WRONG = {
    "no arguments": ([], "missing REF"),
    "no source": (["ref.png", "-o", "o.png"], "missing SRC"),
    "no output": (["ref.png", "src.png"], "missing --out"),
    "unknown option": (["ref.png", "src.png", "-o", "o.png", "--fast"], "unknown option --fast"),
    "reference missing": (["no.png", "src.png", "-o", "o.png"], "REF no.png: no such file"),
    "source missing": (["ref.png", "no.png", "-o", "o.png"], "SRC no.png: no such file"),
    "source a folder": (["ref.png", "folder", "-o", "o.png"], "SRC folder: this is a folder"),
    "source empty": (["ref.png", "empty.png", "-o", "o.png"], "SRC empty.png: empty"),
    "source a text": (["ref.png", "text.png", "-o", "o.png"], "SRC text.png: not a PNG"),
    "source truncated": (["ref.png", "cut.png", "-o", "o.png"], "SRC cut.png: truncated"),
    "source truncated jpeg": (["ref.png", "cut.jpg", "-o", "o.png"], "SRC cut.jpg: truncated"),
    "source tiny": (["ref.png", "tiny.png", "-o", "o.png"], "at least 32"),
    "source huge": (["ref.png", "huge.png", "-o", "o.png"], "more than 100 megapixels"),
    "unknown method": (
        ["ref.png", "src.png", "-o", "o.png", "--method", "shift"],
        "'shift' is not one of auto",
    ),
    "untrained method": (["ref.png", "src.png", "-o", "o.png", "--method", "crossscale"], "nothing is trained yet"),
    "unknown model": (["ref.png", "src.png", "-o", "o.png", "--checkpoint", "best"], "no model 'best'"),
    "no such checkpoint": (["ref.png", "src.png", "-o", "o.png", "--checkpoint", "runs/no"], "no checkpoint folder"),
    "no checkpoint inside": (["ref.png", "src.png", "-o", "o.png", "--checkpoint", "folder"], "config.json is missing"),
    "no suffix": (["ref.png", "src.png", "-o", "o"], "--out o: the name must end in"),
    "unknown suffix": (["ref.png", "src.png", "-o", "o.bmp"], "--out o.bmp: the name must end in"),
    "alpha in jpeg": (["ref.png", "src.png", "-o", "o.jpg", "--alpha"], "JPEG has no alpha"),
    "no folder": (["ref.png", "src.png", "-o", "no/o.png"], "--out no/o.png: there is no folder"),
    "output a folder": (["ref.png", "src.png", "-o", "folder.png"], "not a regular file"),
    "output an input": (["ref.png", "src.png", "-o", "./ref.png"], "would overwrite REF"),
    "device": (["ref.png", "src.png", "-o", "/proc/o.png"], "/proc"),
    "transform suffix": (["ref.png", "src.png", "-o", "o.png", "--save-transform", "t.npy"], "must end in .npz"),
    "report suffix": (["ref.png", "src.png", "-o", "o.png", "--report", "r.png"], "must end in .html"),
    "report folder": (["ref.png", "src.png", "-o", "o.png", "--report", "no/r.html"], "there is no folder"),
    "two sources": (["ref.png", "src.png", "src.png", "-o", "o.png"], "'sift' takes at most 1"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_input(arguments: list[str], message: str, pair: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (pair / "folder").mkdir()
    (pair / "folder.png").mkdir()
    (pair / "empty.png").touch()
    (pair / "text.png").write_text("no picture")
    (pair / "cut.png").write_bytes((pair / "src.png").read_bytes()[:5000])
    Image.open("src.png").save("whole.jpg")
    (pair / "cut.jpg").write_bytes((pair / "whole.jpg").read_bytes()[:2000])
    Image.new("RGB", (200, 31)).save("tiny.png")
    Image.new("1", (10_001, 10_001)).save("huge.png")
    before = names(pair)
    assert main(["align", *arguments]) == 2
    output, errors = capfd.readouterr()
    assert output == ""
    assert errors.count("\n") == 1
    assert errors.startswith("raylign align: error: ")
    assert message in errors
    assert names(pair) == before


def test_no_reliable_alignment(pair: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (100, 100), (90, 90, 90)).save("flat.png")
    before = names(pair)
    arguments = ["align", "ref.png", "flat.png", "-o", "o.png", "--save-transform", "t.npz", "--json"]
    assert main(arguments) == 3
    output, errors = capfd.readouterr()
    assert errors.count("\n") == 1
    assert "no reliable alignment found: confidence 0.000 is not above the threshold 0.000 of 'sift'" in errors
    facts = json.loads(output)
    assert (facts["reliable"], facts["out"]) == (False, None)
    assert names(pair) == before
    assert main([*arguments, "--force"]) == 0
    assert names(pair) == before | {"o.png", "t.npz"}


def test_a_method_names_its_own_threshold(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Identity, "min_confidence", 2.0, raising=False)
    assert main(["align", "ref.png", "src.png", "-o", "o.png", "--method", "identity"]) == 3
    assert not Path("o.png").exists()


def test_numbers_that_are_not_finite(
    pair: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = Identity.align

    def broken(self: Identity, reference: torch.Tensor, sources: torch.Tensor) -> Alignment:
        found = whole(self, reference, sources)
        found.image[0, 0, 0, 0] = torch.nan
        return found

    monkeypatch.setattr(Identity, "align", broken)
    before = names(pair)
    assert main(["align", "ref.png", "src.png", "-o", "o.png", "--method", "identity", "--force"]) == 1
    assert "numbers that are not finite" in capfd.readouterr().err
    assert names(pair) == before


class Mean(Aligner):
    """A method of several sources with a confidence and no transform, as others may write it."""

    name = "mean"
    max_sources = None

    def align(self, reference: torch.Tensor, sources: torch.Tensor) -> Alignment:
        return Alignment(sources.mean(1), torch.ones_like(reference[:, :1]))


def test_several_sources() -> None:
    reference = torch.rand(3, 40, 50)
    sources = [torch.rand(3, 40, 50) for _ in range(3)]
    choice = ModelChoice("mean", "mean", "mean")
    aligned = align_images(Mean(), reference, sources, choice)
    assert torch.allclose(aligned.image, torch.stack(sources).mean(0))
    assert aligned.reliable
    assert aligned.facts["sources"] == [[50, 40]] * 3
    with pytest.raises(InputError, match="'mean' tells no transform"):
        transform_arrays(aligned)
    with pytest.raises(InputError, match="several sources must have one size"):
        align_images(Mean(), reference, [*sources, torch.rand(3, 41, 50)], choice)


def test_a_homography_without_flow_becomes_a_flow() -> None:
    reference = torch.rand(3, 40, 50)
    aligned = align_images(load("identity"), reference, [reference], ModelChoice("identity", "identity", "identity"))
    shifted = alignment.AlignedPicture(
        image=aligned.image,
        mask=aligned.mask,
        homography=torch.tensor([[[1.0, 0, 3], [0, 1, -2], [0, 0, 1]]], dtype=torch.float64).repeat(2, 1, 1),
        flow=None,
        confidence=None,
        reliable=True,
        facts=aligned.facts,
    )
    arrays = transform_arrays(shifted)
    assert arrays["flow"].shape == (2, 2, 40, 50)
    assert arrays["homography"].shape == (2, 3, 3)
    assert np.allclose(arrays["flow"][1], np.array([3, -2])[:, None, None])
    assert np.isnan(arrays["confidence"])


def test_the_callers_random_state_stays() -> None:
    picture = torch.rand(3, 40, 50)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    align_images(load("identity"), picture, [picture], ModelChoice("identity", "identity", "identity"))
    assert torch.equal(torch.rand(4), expected)


def test_auto_takes_the_champion_if_there_is_one(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(*aliases: str) -> ModelVersion:
        folder = workdir / "ck"
        return ModelVersion(4, "crossscale", "night", folder, {"val_psnr": 30.0}, aliases, datetime.now(UTC))

    def there(*aliases: str) -> None:
        monkeypatch.setattr(models, "list_models", lambda _: [version(*aliases)])
        monkeypatch.setattr(models, "resolve_model", lambda _text, _uri: version(*aliases))

    there("champion")
    sift = ModelChoice("sift", "sift", "sift")
    night = ModelChoice("crossscale", "night", str(workdir / "ck"), 4, (("val_psnr", 30.0),))
    assert choose_model() == sift  # no database is there yet, and none is made
    assert list(workdir.iterdir()) == []
    (workdir / "runs").mkdir()
    (workdir / "runs" / "mlflow.db").touch()
    assert choose_model() == night
    assert choose_model("crossscale") == choose_model("crossscale", "night") == night
    with pytest.raises(InputError, match="belongs to 'crossscale'; leave out --method sift"):
        choose_model("sift", "night")
    there()
    assert choose_model() == sift


def test_a_checkpoint_folder_names_its_method_and_run(workdir: Path) -> None:
    folder = workdir / "runs" / "train" / "mine" / "checkpoint"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"method": "crossscale"}')
    choice = choose_model(checkpoint="runs/train/mine/checkpoint")
    assert (choice.method, choice.name, choice.target) == ("crossscale", "mine", str(folder))
    (folder / "config.json").write_text('{"method": "other"}')
    with pytest.raises(InputError, match="belongs to 'other', which is not one of"):
        choose_model(checkpoint="runs/train/mine/checkpoint")


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", 8), ("200000 100000", 2), ("20000 100000", 1), ("nonsense", 8)]
)
def test_cpus_within_the_containers_quota(quota: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(Path, "read_text", lambda _path: quota)
    assert alignment.usable_cpus() == expected
