"""`raylign data verify`: sound datasets pass, and each check finds the damage that it is for."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raylign.methods.errors import DatasetError
from raylign.platform import cli
from raylign.platform.data.shards import DatasetInfo, ShardReader
from raylign.platform.data.verify import verify
from tests.datasets import arrays, png, read_samples, write_pairs, write_planar, write_samples, write_sequences

Fields = dict[str, bytes]
VICTIM = 2


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("sound")
    return {
        "ambient": write_planar(root / "ambient"),
        "random": write_planar(root / "random", lighting="random"),
        "pairs": write_pairs(root / "pairs", scenes=6, size=96),
        "plain": write_sequences(root / "plain"),
    }


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def load(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return dict(file)


def edit_meta(fields: Fields, change: Callable[[dict], object]) -> None:
    meta = json.loads(fields["meta.json"])
    change(meta)
    fields["meta.json"] = json.dumps(meta).encode()


def edit_array(fields: Fields, suffix: str, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    held = load(fields[suffix])
    fields[suffix] = arrays(**held | {name: change(held[name].copy())})


def edit_picture(fields: Fields, suffix: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    fields[suffix] = png(change(picture(fields[suffix]).copy()))


def assign(array: np.ndarray, where: object, value: float) -> np.ndarray:
    array[where] = value
    return array


@pytest.mark.parametrize("name", ["ambient", "random", "pairs", "plain"])
def test_sound_datasets_pass(sound: dict[str, str], name: str) -> None:
    counted: list[int] = []
    assert verify(sound[name], advance=counted.append) == []
    assert sum(counted) == len(ShardReader(sound[name]))


# What is done to one sample, the dataset that it belongs to, and the check that must find it, and no other.
DAMAGES: dict[str, tuple[str, str, Callable[[Fields, list[Fields]], object]]] = {
    "homography moved by 0.05 px": (
        "random",
        "homography",
        lambda f, _: edit_meta(f, lambda m: m["homographies"].__setitem__(1, shifted(m["homographies"][1], 0.05))),
    ),
    "homography scaled": (
        "random",
        "determinant",
        lambda f, _: edit_meta(
            f, lambda m: m["homographies"].__setitem__(2, (2 * np.array(m["homographies"][2])).tolist())
        ),
    ),
    "frame 0 is not the reference": (
        "plain",
        "homography",
        lambda f, _: edit_meta(f, lambda m: m["homographies"].__setitem__(0, shifted(np.eye(3), 0.05))),
    ),
    "homography with NaN": (
        "random",
        "homography",
        lambda f, _: edit_meta(f, lambda m: m["homographies"][1][0].__setitem__(0, float("nan"))),
    ),
    "too few homographies": (
        "random",
        "homography",
        lambda f, _: edit_meta(f, lambda m: m.update(homographies=m["homographies"][:1])),
    ),
    "a camera is missing": ("random", "cameras", lambda f, _: edit_meta(f, lambda m: m["cameras"].pop())),
    "gt of another sample": ("ambient", "picture", lambda f, all_: f.__setitem__("gt.png", all_[0]["gt.png"])),
    "frame moved by 2 px": ("ambient", "picture", lambda f, _: edit_picture(f, "001.png", lambda p: np.roll(p, 2, 1))),
    "mask with grey values": (
        "random",
        "mask",
        lambda f, _: edit_picture(f, "001.mask.png", lambda p: assign(p, (0, slice(3)), 128)),
    ),
    "mask on a frame without occluder": (
        "random",
        "mask",
        lambda f, _: edit_picture(f, "000.mask.png", lambda p: assign(p, (slice(9), slice(9)), 255)),
    ),
    "depth 1 % too far": (
        "random",
        "depth",
        lambda f, _: edit_array(f, "002.depth.npz", "depth", lambda d: d * np.float32(1.01)),
    ),
    "depth of zero": ("random", "depth", lambda f, _: edit_array(f, "000.depth.npz", "depth", lambda d: d * 0)),
    "depth that ends at the wrong place": (
        "random",
        "depth",
        lambda f, _: edit_array(f, "001.depth.npz", "depth", lambda d: np.where(np.isfinite(d), d, np.float32(10))),
    ),
    "frame of one colour": ("random", "picture", lambda f, _: edit_picture(f, "002.png", lambda p: p * 0 + 7)),
    "frame of another size": ("random", "size", lambda f, _: edit_picture(f, "002.png", lambda p: p[:-1])),
    "field missing": ("random", "field", lambda f, _: f.pop("001.mask.png")),
    "frame in the middle missing": ("random", "field", lambda f, _: f.pop("001.png")),
    "picture cut short": ("random", "field", lambda f, _: f.__setitem__("gt.png", f["gt.png"][:-60])),
    "meta is no JSON": ("random", "field", lambda f, _: f.__setitem__("meta.json", b"{")),
    "flow shifted by 0.1 px": (
        "pairs",
        "flow",
        lambda f, _: edit_array(f, "flow.npz", "flow", lambda a: a + np.float32(0.1)),
    ),
    "flow with NaN": (
        "pairs",
        "flow",
        lambda f, _: edit_array(f, "flow.npz", "flow", lambda a: assign(a, (0, slice(60, 70)), np.nan)),
    ),
    "flow in double precision": (
        "pairs",
        "field",
        lambda f, _: edit_array(f, "flow.npz", "flow", lambda a: a.astype(np.float64)),
    ),
    "flow of another size": ("pairs", "field", lambda f, _: edit_array(f, "flow.npz", "flow", lambda a: a[:, 1:])),
    "flow pickled": (
        "pairs",
        "field",
        lambda f, _: f.__setitem__("flow.npz", arrays(flow=np.array([{"a": 1}], dtype=object))),
    ),
    "flow cut short": ("pairs", "field", lambda f, _: f.__setitem__("flow.npz", f["flow.npz"][:-30])),
    "flow with flipped bytes": ("pairs", "field", lambda f, _: f.__setitem__("flow.npz", flipped(f["flow.npz"]))),
    "occlusion inverted": ("pairs", "occlusion", lambda f, _: edit_picture(f, "occlusion.png", lambda p: 255 - p)),
    "occlusion empty": ("pairs", "visibility", lambda f, _: edit_picture(f, "occlusion.png", lambda p: p * 0)),
    "occlusion moved": (
        "pairs",
        "visibility",
        lambda f, _: edit_picture(f, "occlusion.png", lambda p: np.roll(p, 8, 0)),
    ),
    "occlusion grey": (
        "pairs",
        "occlusion",
        lambda f, _: edit_picture(f, "occlusion.png", lambda p: assign(p, (50, slice(3)), 90)),
    ),
    "reference depth 1 % too far": (
        "pairs",
        "flow",
        lambda f, _: edit_array(f, "depth.npz", "ref", lambda d: d * np.float32(1.01)),
    ),
    "source depth 10 % too near": (
        "pairs",
        "visibility",
        lambda f, _: edit_array(f, "depth.npz", "src", lambda d: d * np.float32(0.9)),
    ),
    "depth with NaN": (
        "pairs",
        "depth",
        lambda f, _: edit_array(f, "depth.npz", "src", lambda d: assign(d, 9, np.nan)),
    ),
    "gt of another pair": ("pairs", "picture", lambda f, all_: f.__setitem__("gt.png", all_[0]["gt.png"])),
    "gt is the source": ("pairs", "picture", lambda f, _: f.__setitem__("gt.png", f["src.png"])),
    "overlap wrong": ("pairs", "overlap", lambda f, _: edit_meta(f, lambda m: m.update(overlap=m["overlap"] - 0.1))),
    "parallax wrong": (
        "pairs",
        "parallax",
        lambda f, _: edit_meta(f, lambda m: m["parallax"].update(p90_px=1.3 * m["parallax"]["p90_px"])),
    ),
    "parallax incomplete": ("pairs", "parallax", lambda f, _: edit_meta(f, lambda m: m["parallax"].pop("rms_px"))),
    "source missing": ("pairs", "field", lambda f, _: f.pop("src.png")),
}


def shifted(homography: object, pixels: float) -> list:
    move = np.array([[1, 0, pixels], [0, 1, 0], [0, 0, 1.0]])
    return (move @ np.array(homography)).tolist()


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(255 - byte for byte in content[middle : middle + 8]) + content[middle + 8 :]


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_found_and_named(sound: dict[str, str], tmp_path: Path, damage: str) -> None:
    name, check, change = DAMAGES[damage]
    samples, info = read_samples(sound[name])
    change(samples[VICTIM], samples)
    problems = verify(write_samples(tmp_path / "d", samples, info))
    print(*problems, sep="\n")
    assert {problem.place for problem in problems} == {f"sample {VICTIM:06d}"}
    assert check in {problem.check for problem in problems}
    assert all("\n" not in str(problem) for problem in problems)


def test_noise_and_exposure_are_no_damage(tmp_path: Path) -> None:
    samples, info = read_samples(write_pairs(tmp_path / "clean", scenes=4, size=160))
    rng = np.random.default_rng(0)
    for fields in samples:
        for suffix, exposure in (("src.png", 1.0), ("gt.png", 0.8)):
            noise = rng.normal(0, 10, (160, 160, 3))
            edit_picture(fields, suffix, lambda p, e=exposure, n=noise: (p * e + n).clip(0, 255).astype(np.uint8))
    assert verify(write_samples(tmp_path / "noisy", samples, info)) == []


def test_damaged_shards(sound: dict[str, str], tmp_path: Path) -> None:
    url = str(shutil.copytree(sound["plain"], tmp_path / "d"))
    tar = Path(url, "shards/000001.tar")
    whole = tar.read_bytes()
    offset = ShardReader(url)._entries[5][2]["000.png"][0]
    tar.write_bytes(whole[: offset + 100] + b"\xff" * 200 + whole[offset + 300 :])
    assert {problem.place for problem in verify(url)} == {"sample 000005"}
    tar.write_bytes(whole[: len(whole) // 2])
    problems = verify(url)
    assert problems[0].place == "shard 000001"
    assert any("truncated" in str(problem) for problem in problems)
    tar.unlink()
    assert [str(problem) for problem in verify(url)] == [f"sample {k:06d}: is missing" for k in range(4, 8)]


def test_foreign_and_repeated_shards(sound: dict[str, str], tmp_path: Path) -> None:
    url = str(shutil.copytree(sound["plain"], tmp_path / "d"))
    shards = Path(url, "shards")
    (shards / "notes.tar").write_bytes(b"not a shard, not ours")
    shutil.copy(shards / "000000.tar", shards / "000007.tar")
    assert [str(problem) for problem in verify(url)] == ["shard 000007: does not belong to this dataset"]
    (shards / "000007.tar").unlink()
    shutil.copy(shards / "000000.tar", shards / "000001.tar")
    found = {str(problem) for problem in verify(url)}
    assert any(line.startswith("shard 000001: its index is that of another file") for line in found)
    (shards / "000001.index.json").unlink()
    found = {str(problem) for problem in verify(url)}
    assert "sample 000000: is there 2 times" in found
    assert "sample 000005: is missing" in found
    assert "sample 000000: lies in shard 000001, where it does not belong" in found


def test_hidden_occluders_leave_no_mask(sound: dict[str, str], tmp_path: Path) -> None:
    samples, info = read_samples(sound["random"])
    info["settings"] = {"scene": {"occluders_hidden": True}}
    problems = verify(write_samples(tmp_path / "d", samples, info))
    assert {problem.check for problem in problems} == {"mask"}
    assert len(problems) == 12


def test_samples_that_failed_are_not_missing(sound: dict[str, str], tmp_path: Path) -> None:
    samples, info = read_samples(sound["plain"])
    url = write_samples(tmp_path / "d", samples[:-1], info)
    described = json.loads(Path(url, "dataset.json").read_text())
    described |= {"scenes": 12, "failed": {"000011": "black"}}
    DatasetInfo(**described).save(url)
    assert verify(url) == []


def test_the_command_names_the_samples_and_ends_with_status_1(
    sound: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["data", "verify", sound["ambient"]]) == 0
    assert "6 sequences" in capsys.readouterr().out
    samples, info = read_samples(sound["ambient"])
    samples[1]["gt.png"] = samples[3]["gt.png"]
    url, listed = write_samples(tmp_path / "d", samples, info), tmp_path / "found.json"
    assert cli.main(["data", "verify", url, "--json", str(listed)]) == 1
    told = capsys.readouterr()
    assert "sample 000001: frame" in told.out
    assert told.err.strip().splitlines()[-1].startswith("raylign data: error: ")
    assert "1 of 6 samples" in told.err
    content = json.loads(listed.read_text())
    assert content["samples"] == 6
    assert {(each["place"], each["check"]) for each in content["problems"]} == {("sample 000001", "picture")}
    assert cli.main(["data", "verify", sound["ambient"], "--json", str(listed)]) == 0
    assert json.loads(listed.read_text())["problems"] == []


@pytest.mark.parametrize(
    "arguments", [[], ["--json"], ["{url}", "--fast"], ["/nowhere"], ["{url}", "--json", "{folder}"]]
)
def test_wrong_arguments_are_one_line_and_status_2(
    sound: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    given = [each.format(url=sound["plain"], folder=tmp_path) for each in arguments]
    assert cli.main(["data", "verify", *given]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("checking")]
    assert len(lines) == 1


def test_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no dataset"):
        verify(str(tmp_path))


def test_at_depth_edges_a_sample_beside_the_pixels_centre_is_no_mistake() -> None:
    from raylign.platform.data.cameras import pixel_grid, reproject, stored_cameras
    from raylign.platform.data.check_pair import PairFields, pair_findings

    size = (32, 32)
    intrinsics = [[30.0, 0, 15.5], [0, 30.0, 15.5], [0, 0, 1.0]]
    places = [[[1.0, 0, 0, shift], [0, 1.0, 0, 0], [0, 0, 1.0, 0]] for shift in (0.0, -0.2)]
    meta = {
        "size": [32, 32],
        "cameras": [{"intrinsics": intrinsics, "world_to_camera": each, "position": [0, 0, 0]} for each in places],
    }
    depth = np.full(size, 4.0, np.float32)
    depth[:, 16:] = 8.0
    positions, _ = reproject(depth, *stored_cameras(meta, 2))
    flow = (positions - pixel_grid(size)).transpose(2, 0, 1).astype(np.float32)

    def flow_findings(column: int, moved: float) -> list[str]:
        changed = flow.copy()
        changed[0, 10, column] += moved
        source = torch.zeros(3, *size, dtype=torch.uint8)
        known = {"truth_flow": None, "moved": None, "occlusion": None, "hidden": None, "dynamic": None}
        fields = PairFields(source, None, changed, **known, depths=(depth, depth), meta=meta, reference_size=size)
        return [reason for check, reason in pair_findings(fields) if check == "flow"]

    assert flow_findings(16, 0.05) == []
    assert flow_findings(16, 0.15)
    assert flow_findings(8, 0.05)
