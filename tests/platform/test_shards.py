"""Shards: what is written comes back, plain WebDataset readers take it, and nothing half-written is ever listed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import webdataset

from raylign.methods.errors import DatasetError, InputError
from raylign.platform.data import shards
from raylign.platform.data.shards import DatasetInfo, ShardReader, ShardWriter, published_shards
from tests.datasets import write_sequences


def test_round_trip_by_random_access(tmp_path: Path) -> None:
    url = write_sequences(tmp_path / "d", scenes=10)
    reader = ShardReader(url)
    assert reader.keys == [f"{index:06d}" for index in range(10)]
    content = reader.read(7)
    assert set(content) == {"gt.png", "000.png", "001.png", "002.png", "meta.json"}
    assert json.loads(content["meta.json"])["seed"] == 7
    assert ShardReader(url, "test").keys == ["000009"]


def test_webdataset_reads_our_shards(tmp_path: Path) -> None:
    url = write_sequences(tmp_path / "d", scenes=4)
    theirs = list(webdataset.WebDataset(f"{url}/shards/000000.tar", shardshuffle=False, empty_check=False))
    reader = ShardReader(url)
    assert [sample["__key__"] for sample in theirs] == reader.keys
    for position, sample in enumerate(theirs):
        for suffix, content in reader.read(position).items():
            assert sample[suffix] == content


def test_equal_samples_give_equal_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        url = write_sequences(tmp_path / name, scenes=4)
        digests.append(hashlib.sha256(Path(url, "shards/000000.tar").read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_a_missing_index_is_made_up_for(tmp_path: Path) -> None:
    url = write_sequences(tmp_path / "d", scenes=4)
    before = ShardReader(url).read(2)
    Path(url, "shards/000000.index.json").unlink()
    assert ShardReader(url).read(2) == before


def test_memory_filesystem(tmp_path: Path) -> None:
    url = "memory://shard-test"
    with ShardWriter(url, "000000") as writer:
        writer.write("000000", {"a.png": b"1", "meta.json": b"{}"})
    DatasetInfo("pair", "t", {}, 0, 1, 1, {"train": [0, 1]}, ["a.png"]).save(url)
    assert published_shards(url) == {"000000"}
    assert ShardReader(url, "train").read(0)["a.png"] == b"1"


def test_an_exception_publishes_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with ShardWriter(str(tmp_path), "000000") as writer:
            writer.write("000000", {"a.png": b"1"})
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        write_half()
    assert published_shards(str(tmp_path)) == set()
    assert not list(tmp_path.rglob("*.tar"))


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards.os, "replace", full)
    with pytest.raises(InputError, match="no space left"):
        shards.publish_bytes(str(tmp_path), "x.json", b"{}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 99}', "\x00\x01"])
def test_bad_descriptions(tmp_path: Path, content: str) -> None:
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(DatasetError):
        DatasetInfo.load(str(tmp_path))
