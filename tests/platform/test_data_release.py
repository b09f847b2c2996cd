"""Pairs written as DSIA and FIRE are published are read back by the readers of those."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from raylign.methods.errors import DatasetError, InputError
from raylign.platform.data.command import main
from raylign.platform.data.layouts.fire import DROPPED
from raylign.platform.data.release import fire_files, write_release
from raylign.platform.data.samples import Samples
from tests.datasets import png, texture, write_samples

SIZE = 48


def pair(index: int, **meta: object) -> dict[str, bytes]:
    rng = np.random.default_rng(index)
    pictures = {f"{name}.png": png(texture(rng, SIZE).astype(np.uint8)) for name in ("ref", "src", "gt")}
    dynamic = np.zeros((SIZE, SIZE), np.uint8)
    dynamic[4 : 8 + index] = 255
    told = {"index": index, "size": [SIZE, SIZE], **meta}
    return {**pictures, "dynamic.png": png(dynamic), "meta.json": json.dumps(told).encode()}


@pytest.fixture
def moving(tmp_path: Path) -> str:
    names = ["ScSf", "LcSf", "ScLf", "LcLf"]
    samples = [pair(index, scene=index // 2, pair=index % 2, subset=names[index]) for index in range(4)]
    info = {"kind": "pair", "generator": "dsia", "splits": {"train": [0, 2], "test": [2, 4], "test-ScLf": [2, 3]}}
    write_samples(tmp_path / "moving", samples, {**info, "fields": list(samples[0])})
    return str(tmp_path / "moving")


def test_dsia_is_read_back(moving: str, tmp_path: Path) -> None:
    out = tmp_path / "released"
    assert write_release(moving, str(out), "dsia-release") == 4
    folders = sorted(path.relative_to(out).as_posix() for path in out.glob("*/*"))
    assert folders == ["test/LL_00001_1_0002", "test/SL_00001_1_0001", "train/00000_1_0001", "train/00000_1_0002"]
    ours, theirs = Samples(moving, "test"), Samples(str(out), "test")
    found = {theirs[position].subset: position for position in range(2)}
    for position, subset in enumerate(("SL", "LL")):
        mine, read = ours[position], theirs[found[subset]]
        assert all((a == b).all() for a, b in zip(mine.frames, read.frames, strict=True))
        assert mine.gt is not None
        assert read.gt is not None
        assert (mine.gt == read.gt).all()
        dynamic = ours.truth(position, ("dynamic",)).dynamic, theirs.truth(found[subset], ("dynamic",)).dynamic
        assert dynamic[0] is not None
        assert dynamic[1] is not None
        assert (dynamic[0] == dynamic[1]).all()


def test_what_broke_off_goes_on_and_stays_whole(moving: str, tmp_path: Path) -> None:
    out = tmp_path / "released"
    write_release(moving, str(out), "dsia-release", limit=1)
    first = out / "train/00000_1_0001/img1.png"

    before = first.stat().st_mtime_ns
    second = out / "train/00000_1_0001/img2.png"
    good = second.read_bytes()
    for bad in (b"half", bytes(len(good))):
        second.write_bytes(bad)
        write_release(moving, str(out), "dsia-release")
        assert first.stat().st_mtime_ns == before
        assert second.read_bytes() == good
    assert not list(out.rglob("*.part"))


def test_fire_is_read_back(tmp_path: Path) -> None:
    points = [[10.25, 11.0, 12.5, 13.0625], [30.0, 31.0, 32.0, 33.0]]
    samples = [pair(index, subset="SP"[index], points=points) for index in range(2)]
    info = {"kind": "pair", "generator": "fundus", "splits": {"test": [0, 2]}, "fields": list(samples[0])}
    write_samples(tmp_path / "eyes", samples, info)
    out = tmp_path / "released"
    assert main(["convert", str(tmp_path / "eyes"), str(out), "--to", "fire"]) == 0
    read = Samples(str(out), "test")
    assert [read[position].name for position in range(2)] == ["S01_1_2", "P02_1_2"]
    for position in range(2):
        assert read[position].points is not None
        assert read[position].points.tolist() == points  # type: ignore[union-attr]
        original = Samples(str(tmp_path / "eyes"))[position].frames[0].float()
        # JPEG loses a little; the texture is rough.
        assert (read[position].frames[0].float() - original).abs().mean() < 6


def test_no_pair_has_the_name_of_the_one_that_readers_of_fire_leave_out() -> None:
    names = []
    for index in range(34, 39):
        content = pair(index % 4)
        content["meta.json"] = json.dumps({"index": index, "subset": "P", "points": [[1.0, 1.0, 1.0, 1.0]]}).encode()
        names.append(next(iter(fire_files(content, "test"))).partition("/")[2][:3])
    assert names == ["P35", "P36", "P38", "P39", "P40"]
    assert not {f"{name}_1_2" for name in names} & set(DROPPED)


def test_what_the_layout_needs_must_be_there(moving: str, tmp_path: Path) -> None:
    plain = pair(0)
    del plain["dynamic.png"]
    info = {"kind": "pair", "generator": "test", "splits": {"test": [0, 1]}, "fields": list(plain)}
    write_samples(tmp_path / "plain", [plain], info)
    with pytest.raises(DatasetError, match=r"has no dynamic\.png"):
        write_release(str(tmp_path / "plain"), str(tmp_path / "out"), "dsia-release")
    with pytest.raises(DatasetError, match="no group S, P or A"):
        write_release(moving, str(tmp_path / "out"), "fire")
    with pytest.raises(InputError, match="local folder"):
        write_release(moving, "memory://out", "dsia-release")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another folder"):
        write_release(moving, str(tmp_path / "file"), "dsia-release")
    assert main_status(["convert", moving, str(tmp_path / "out"), "--to", "fire", "--size", "32"]) == "--size"


def main_status(arguments: list[str]) -> str:
    with pytest.raises(InputError) as caught:
        main(arguments)
    return str(caught.value).partition(":")[0]
