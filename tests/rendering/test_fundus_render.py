"""Rendered fundus scenes: geometry of the pictures, truth against the pictures, repeatable bytes, sound datasets."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("bpy", reason="Blender is the extra raylign[render]")

from raylign.methods.errors import InputError
from raylign.platform.data.check_eye import eye_findings
from raylign.platform.data.flows import landing
from raylign.platform.data.preview import contact_sheet
from raylign.platform.data.truth import decode_mask
from raylign.platform.data.verify import verify
from raylign.rendering.fundus.command import plan, read_options
from raylign.rendering.fundus.config import KINDS, FundusConfig, PairKind
from raylign.rendering.fundus.optics import from_map, in_field, project
from raylign.rendering.fundus.retina.painting import RetinaMaps
from raylign.rendering.fundus.sampling import sample_fundus
from raylign.rendering.fundus.scenes import FundusSpec

from ..datasets import write_samples
from .conftest import Picture

SIZE = 96
Rendered = dict[PairKind, tuple[FundusSpec, dict[str, bytes]]]
CLEAN = {
    "blur": (0.3, 0.3), "wide_blur": (0.3, 0.3), "noise": (0.0, 0.0), "wide_noise": (0.0, 0.0), "haze": (0.0, 0.0),
    "reflexes": (0, 0), "lids": 0.0, "vignette": (0.0, 0.0),
}  # fmt: skip


def render(spec: FundusSpec, threads: int = 1) -> dict[str, bytes]:
    from raylign.rendering.blender.fundus import render_fundus

    return render_fundus(spec, None, threads)


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    found: Rendered = {}
    for number, kind in enumerate(KINDS):
        spec = sample_fundus(FundusConfig(), 6, number, SIZE, kind)
        found[kind] = spec, render(spec)
    return found


def flow_of(fields: dict[str, bytes]) -> np.ndarray:
    return np.load(io.BytesIO(fields["flow.npz"]))["flow"]


def dotted(spacing: float, sigma: float, density: float) -> RetinaMaps:
    """A dark map with bright round spots at the multiples of a number of degrees."""
    half = round(106 * density)
    steps = (np.arange(2 * half + 1) - half) / density
    near = np.abs((steps + spacing / 2) % spacing - spacing / 2)
    bump = np.exp(-0.5 * (near / sigma) ** 2)
    level = (40 + 200 * bump[:, None] * bump).astype(np.uint8)
    flat = np.zeros_like(level)
    return RetinaMaps(np.stack([level] * 3, axis=2), flat, density, -half, -half)


@pytest.mark.parametrize(("kind", "which"), [("S", 1), ("sfi-uwfi", 0)])
def test_blender_sees_what_the_cameras_say(
    kind: PairKind, which: int, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import raylign.rendering.blender.fundus as stage

    size, spacing, sigma = (128, 6.0, 0.6) if kind == "S" else (192, 15.0, 1.7)
    monkeypatch.setattr(stage, "paint_retina", lambda spec, density, part: dotted(spacing, sigma, density))
    monkeypatch.setattr(stage, "SHEEN", 0.0)
    config = FundusConfig(**CLEAN, wide_crop=(0.8, 1.0), distortion=(0.08, 0.1))  # type: ignore[arg-type]
    spec = sample_fundus(config, 8, 0, size, kind)
    shot = spec.shots[which]
    fields = render(spec)
    shown = picture(fields, ("ref.png", "src.png")[which])[..., 1] / 255
    light = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    found = []
    for place in [(x * spacing, y * spacing) for x in range(-7, 8) for y in range(-7, 8)]:
        if np.hypot(*place) > 85:
            continue
        centre = project(shot, np.array(from_map(spec.eye, place)))
        # Three deviations of the spot, and a rim; as large as it is in the picture.
        beside = project(shot, np.array(from_map(spec.eye, (place[0] + 3 * sigma, place[1]))))
        reach = max(3, round(float(np.hypot(*(beside - centre)))))
        column, row = np.rint(centre).astype(int)
        corners = np.array([[column - reach, row - reach], [column + reach, row + reach]])
        if corners.min() < 1 or corners.max() > size - 2 or not in_field(shot, corners * 1.0).all():
            continue
        part = light[row - reach : row + reach + 1, column - reach : column + reach + 1]
        weight = np.clip(part - np.quantile(part, 0.3) * 1.2, 0, None)
        rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        own = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
        found.append(own + np.array([column, row]) - centre)
    assert len(found) >= 20
    # The spots' own shapes in the picture bias single ones; a wrong camera moves all of them.
    assert np.hypot(*np.mean(found, axis=0)) < 0.05
    assert np.median(np.hypot(*np.transpose(found))) < 0.1


def test_a_pair_has_its_fields(rendered: Rendered) -> None:
    for kind in KINDS:
        spec, fields = rendered[kind]
        names = [
            "flow.npz",
            "gt.png",
            "meta.json",
            "occlusion.png",
            "ref.png",
            "src.png",
            "vessels-src.png",
            "vessels.png",
        ]
        assert sorted(fields) == names
        meta = json.loads(fields["meta.json"])
        assert (meta["subset"], meta["size"], meta["seed"]) == (kind, [SIZE, SIZE], 6)
        assert "homography" not in meta
        assert len(meta["points"]) >= 10
        assert meta["points"] == [list(row) for row in spec.points]
        assert flow_of(fields).shape == (2, SIZE, SIZE)
        assert np.isfinite(flow_of(fields)).all()


def test_the_warped_source_is_the_ground_truth(rendered: Rendered, picture: Picture) -> None:
    for kind in KINDS:
        _, fields = rendered[kind]
        flow = flow_of(fields)
        ys, xs = np.indices((SIZE, SIZE), dtype=np.float32)
        target = np.stack([xs + flow[0], ys + flow[1]], axis=2)
        source, truth = picture(fields, "src.png"), picture(fields, "gt.png")
        seen = truth.max(axis=2) > 20
        seen = cv2.erode(seen.astype(np.uint8), np.ones((5, 5))).astype(bool)
        assert seen.sum() > 200
        # The scales may differ: what lies under a pixel of the reference is averaged.
        smooth = cv2.GaussianBlur(
            source, (0, 0), max(1.0, 0.4 * float(np.abs(np.diff(target[..., 0]))[seen[:, 1:]].mean()))
        )
        warped = cv2.remap(smooth, target[..., 0], target[..., 1], cv2.INTER_LINEAR)
        shifted = np.roll(warped, 4, axis=1)
        blurred = cv2.GaussianBlur(truth, (0, 0), 1.0)

        def likeness(other: np.ndarray, blurred: np.ndarray = blurred, seen: np.ndarray = seen) -> float:
            high = [each - cv2.GaussianBlur(each, (0, 0), 5.0) for each in (other, blurred)]
            return float(np.corrcoef(high[0][seen][:, 1], high[1][seen][:, 1])[0, 1])

        assert likeness(warped) > 0.6
        assert likeness(warped) > likeness(shifted) + 0.1


def test_vessels_are_darker_than_what_is_beside_them(rendered: Rendered, picture: Picture) -> None:
    for kind in KINDS:
        spec, fields = rendered[kind]
        for number, (name, mask) in enumerate((("ref.png", "vessels.png"), ("src.png", "vessels-src.png"))):
            green, vessels = picture(fields, name)[..., 1], picture(fields, mask)
            ys, xs = np.indices((SIZE, SIZE), dtype=np.float64)
            field = in_field(spec.shots[number], np.stack([xs, ys], axis=2))
            assert 0.02 < (vessels[field] > 127).mean() < 0.3 or spec.shots[number].camera == "wide"
            assert not vessels[~field].any()
            level = green - cv2.GaussianBlur(green, (0, 0), 6.0)
            inner = cv2.erode(field.astype(np.uint8), np.ones((15, 15))).astype(bool)
            if spec.shots[number].camera == "wide":
                continue
            assert level[inner & (vessels > 170)].mean() < level[inner & (vessels < 30)].mean() - 2


def test_control_points_lie_on_vessels_in_both_pictures(rendered: Rendered, picture: Picture) -> None:
    for kind in KINDS:
        _, fields = rendered[kind]
        points = np.rint(json.loads(fields["meta.json"])["points"]).astype(int)
        for name, columns, rows in (("vessels", *points.T[:2]), ("vessels-src", *points.T[2:])):
            mask = cv2.dilate(picture(fields, f"{name}.png"), np.ones((3, 3)))
            # At this size most vessels cover a part of a pixel only.
            assert (mask[rows, columns] > 25).mean() > 0.9
            assert mask[rows, columns].mean() > 2 * mask.mean()


def test_pictures_look_like_their_cameras(rendered: Rendered, picture: Picture) -> None:
    _, fields = rendered["sfi-uwfi"]
    wide, standard = picture(fields, "ref.png"), picture(fields, "src.png")
    assert wide[..., 2].max() == 0
    red, green, blue = standard.reshape(-1, 3)[standard.sum(axis=2).ravel() > 60].mean(axis=0)
    assert red > green > blue > 5
    assert 60 < standard.mean(axis=2)[SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4].mean() < 200
    assert standard[0, 0].max() == 0


def test_the_bytes_are_the_same_in_any_process_and_with_any_threads(rendered: Rendered) -> None:
    spec, fields = rendered["S"]
    assert render(spec, threads=2) == fields
    program = (
        "import sys, hashlib; from raylign.rendering.fundus.config import FundusConfig as C;"
        "from raylign.rendering.fundus.sampling import sample_fundus as s;"
        "from raylign.rendering.blender.fundus import render_fundus as r;"
        f"f = r(s(C(), 6, 1, {SIZE}, 'S'), None, 1);"
        "sys.stderr.write(' '.join(k + hashlib.sha256(f[k]).hexdigest() for k in sorted(f)))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert said.stderr.strip().endswith(" ".join(k + hashlib.sha256(fields[k]).hexdigest() for k in sorted(fields)))


def test_a_dataset_is_verified_and_previewed(rendered: Rendered, tmp_path: Path) -> None:
    samples = [rendered[kind][1] for kind in KINDS]
    options = read_options(["--scenes", "4", "--out", "nowhere", "--size", str(SIZE), "--seed", "6"])
    info = dataclasses.asdict(plan(options).info)
    info |= {"splits": {"train": [0, 4]}, "shard_size": 4, "complete": True}
    url = write_samples(tmp_path / "data", samples, info)
    assert verify(url) == []
    assert contact_sheet(url, None, 4).startswith(b"\x89PNG")


def test_damaged_truth_is_found(rendered: Rendered) -> None:
    """`data verify` derives flow, fields and control points again from the eye and the cameras in `meta.json`."""
    for kind in KINDS:
        _, fields = rendered[kind]
        meta, positions = json.loads(fields["meta.json"]), landing(flow_of(fields))
        hidden = decode_mask(fields["occlusion.png"], "occlusion") > 127

        def checks(positions: np.ndarray, hidden: np.ndarray, meta: dict) -> list[str]:
            return [check for check, _ in eye_findings(positions, hidden, meta)]

        assert checks(positions, hidden, meta) == []
        assert checks(positions + 0.1, hidden, meta) == ["flow"]
        assert checks(positions, np.zeros_like(hidden), meta) == ["occlusion"]
        moved = [[x, y, u + 0.05, v] for x, y, u, v in meta["points"]]
        assert checks(positions, hidden, meta | {"points": moved}) == ["points"]
        other = copy.deepcopy(meta)
        other["cameras"][1]["distortion"] += 0.2
        assert "flow" in checks(positions, hidden, other)
        assert checks(positions, hidden, meta | {"eye": {"radius": 11.0}}) == ["cameras"]


def test_pictures_are_refused() -> None:
    from raylign.rendering.blender.fundus import render_fundus

    with pytest.raises(InputError, match="--textures"):
        render_fundus(sample_fundus(FundusConfig(), 6, 0, SIZE, "S"), "/tmp", 1)
