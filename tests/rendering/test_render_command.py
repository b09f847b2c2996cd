"""`raylign render` from outside: mistakes told in one line, real small datasets, kills, and going on afterwards."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from raylign.methods.errors import InputError
from raylign.platform import cli
from raylign.platform.data.shards import DatasetInfo, ShardReader, ShardWriter, published_shards
from raylign.rendering.job import first_difference, standing, writing

SCENES = 10
SETTINGS = [
    *("--scenes", str(SCENES), "--size", "48", "--seed", "3", "--shard-size", "2"),
    *("--scene.frames", "2", "--scene.samples", "48"),
]

needs_blender = pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="Blender is raylign[render]")


def render(*arguments: object) -> int:
    return cli.main(["render", "sidar", *map(str, arguments)])


def digests(folder: Path) -> dict[str, str]:
    """Hash of each file of a dataset's shards."""
    files = sorted((folder / "shards").iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--scenes", "0"], "--scenes"),
        (["--scenes", "-3"], "--scenes"),
        (["--scenes", "many"], "--scenes"),
        (["--scenes", "1000000"], "--scenes"),
        (["--scenes", "2", "--size", "31"], "--size"),
        (["--scenes", "2", "--size", "9000"], "--size"),
        (["--scenes", "2", "--workers", "0"], "--workers"),
        (["--scenes", "2", "--shard-size", "0"], "--shard-size"),
        (["--scenes", "2", "--val-fraction", "0.6", "--test-fraction", "0.4"], "--val-fraction"),
        (["--scenes", "2", "--test-fraction", "-0.1"], "--test-fraction"),
        (["--scenes", "2", "--textures", "/nowhere"], "--textures"),
        (["--scenes", "2", "--blender-python", "/nowhere/python"], "--blender-python"),
        (["--scenes", "2", "--scene-timeout", "0"], "--scene-timeout"),
        (["--scenes", "2", "--scene.frames", "0"], "--scene.frames"),
        (["--scenes", "2", "--scene.lens", "30", "15"], "--scene.lens"),
        (["--scenes", "2", "--scene.light-kinds", "candle"], "--scene.light-kinds"),
        (["--scenes", "2", "--colour", "blue"], "--colour"),
        ([], "--scenes"),
    ],
)
def test_mistakes_are_named(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data"
    assert render("--out", out, *arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert named in said
    assert not out.exists()


def test_unknown_kinds_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["render", "cornell-box", "--scenes", "2"]) == 2
    assert "'cornell-box'; choose one of sidar" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_the_kinds(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["render", *arguments]) == 0
    assert "sidar" in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("here first")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert render("--scenes", 2, "--out", out) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "cannot write" in said
    assert (tmp_path / "file").read_text() == "here first"


def test_an_unknown_protocol_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert render("--scenes", 2, "--out", "nonsense://bucket/data") == 2
    assert "nonsense" in capsys.readouterr().err


def test_bad_pictures_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    assert render("--scenes", 2, "--out", tmp_path / "data", "--textures", pictures) == 2
    assert "holds no picture" in capsys.readouterr().err
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    assert render("--scenes", 2, "--out", tmp_path / "data", "--textures", pictures) == 2
    said = capsys.readouterr().err
    assert "none of 1 pictures can be used" in said.splitlines()[-1]
    assert "broken.jpg" in said.splitlines()[-1]
    assert not (tmp_path / "data").exists()


def test_missing_blender_is_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bpy" else found(name))
    assert render("--scenes", 2, "--out", tmp_path / "data") == 2
    assert "pip install 'raylign[render]'" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@needs_blender
def test_another_render_into_the_same_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with writing(str(tmp_path)):
        assert render("--scenes", 2, "--out", tmp_path) == 2
    said = capsys.readouterr().err
    assert "another render" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "dataset.json").exists()


def test_a_run_that_made_nothing_holds_no_place(tmp_path: Path) -> None:
    first = DatasetInfo("sequence", "sidar", {"device": "cuda"}, 0, 4, 2, {"train": [0, 4]}, ["gt.png"])
    first.save(str(tmp_path))
    wanted = dataclasses.replace(first, settings={"device": "cpu"})
    assert standing(str(tmp_path), wanted) == (wanted, ["000000", "000001"])
    with ShardWriter(str(tmp_path), "000000") as writer:
        writer.write("000000", {"gt.png": b""})
    with pytest.raises(InputError, match="device cuda instead of cpu"):
        standing(str(tmp_path), wanted)


def test_differences_are_told_in_words() -> None:
    there = {"seed": 1, "settings": {"scene": {"lens": [15, 30]}, "size": 64}}
    assert first_difference(there, json.loads(json.dumps(there))) is None
    assert first_difference(there, {**there, "seed": 2}) == "with seed 1 instead of 2"
    wanted = {"seed": 1, "settings": {"scene": {"lens": [15, 20]}, "size": 64}}
    assert first_difference(there, wanted) == "with scene.lens 15 30 instead of 15 20"


# --- real renders -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, ray_local: None) -> Path:
    """The dataset of SETTINGS, rendered by two actors that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed") / "data"
    assert render(*SETTINGS, "--out", folder, "--workers", 2) == 0
    return folder


@needs_blender
def test_a_dataset_is_complete(undisturbed: Path) -> None:
    info = DatasetInfo.load(str(undisturbed))
    assert info.complete
    assert not info.failed
    assert info.splits == {"train": [0, 8], "val": [8, 9], "test": [9, 10]}
    reader = ShardReader(str(undisturbed))
    assert reader.keys == [f"{index:06d}" for index in range(SCENES)]
    for fields in reader:
        assert sorted(fields) == ["000.mask.png", "000.png", "001.mask.png", "001.png", "gt.png", "meta.json"]
    assert sorted(path.name for path in undisturbed.iterdir()) == [".render.lock", "dataset.json", "shards"]


@needs_blender
def test_a_complete_dataset_starts_nothing(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (undisturbed / "dataset.json").stat().st_mtime_ns
    start = time.monotonic()
    assert render(*SETTINGS, "--out", undisturbed) == 0
    assert time.monotonic() - start < 2
    assert "complete already" in capsys.readouterr().err
    assert (undisturbed / "dataset.json").stat().st_mtime_ns == before


@needs_blender
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--seed", "4"], "seed 3 instead of 4"),
        (["--scenes", "11"], "scenes 10 instead of 11"),
        (["--size", "64"], "size 48 instead of 64"),
        (["--scene.lens", "20", "30"], "scene.lens 15.0 30.0 instead of 20.0 30.0"),
    ],
)
def test_another_dataset_is_not_mixed_in(
    undisturbed: Path, change: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digests(undisturbed)
    assert render(*SETTINGS, *change, "--out", undisturbed) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert digests(undisturbed) == before
    assert DatasetInfo.load(str(undisturbed)).complete


@needs_blender
def test_a_missing_shard_is_made_again(undisturbed: Path) -> None:
    before = digests(undisturbed)
    (undisturbed / "shards" / "000002.tar").unlink()
    assert render(*SETTINGS, "--out", undisturbed, "--workers", 1) == 0
    assert digests(undisturbed) == before
    assert DatasetInfo.load(str(undisturbed)).complete


def _wait_for_shards(folder: Path, number: int, running: subprocess.Popen[bytes] | None = None) -> None:
    end = time.monotonic() + 120
    while len(published_shards(str(folder))) < number:
        assert time.monotonic() < end
        assert running is None or running.poll() is None
        time.sleep(0.02)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A render in a process group of its own, with a Ray of its own."""
    command = [sys.executable, "-m", "raylign.platform.cli", "render", "sidar", *SETTINGS, "--workers", "2"]
    started = subprocess.Popen(
        [*command, "--out", str(tmp_path / "data")], start_new_session=True, stderr=subprocess.PIPE, cwd=tmp_path
    )
    yield started
    if started.poll() is None:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


@needs_blender
def test_a_killed_job_goes_on_and_gives_the_same_bytes(
    undisturbed: Path, driver: subprocess.Popen[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    _wait_for_shards(data, 1, driver)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    there = published_shards(str(data))
    assert len(there) < SCENES // 2, "killed too late to prove anything"
    assert not DatasetInfo.load(str(data)).complete
    kept = {name: (data / "shards" / f"{name}.tar").stat().st_mtime_ns for name in there}
    (data / "shards" / "000004.tar.1.part").write_bytes(b"half")

    assert render(*SETTINGS, "--out", data, "--workers", 2) == 0
    assert "going on" in capsys.readouterr().err
    assert digests(data) == digests(undisturbed)
    assert ShardReader(str(data)).keys == [f"{index:06d}" for index in range(SCENES)]
    assert all((data / "shards" / f"{name}.tar").stat().st_mtime_ns == when for name, when in kept.items())
    assert DatasetInfo.load(str(data)) == DatasetInfo.load(str(undisturbed))


@needs_blender
def test_a_killed_actor_is_replaced(undisturbed: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    killed: list[int] = []

    def kill_one() -> None:
        _wait_for_shards(data, 1)
        for process in psutil.Process().children(recursive=True):
            if "RenderWorker" in process.name() or "RenderWorker" in " ".join(process.cmdline()):
                killed.append(process.pid)
                process.kill()
                return

    killer = threading.Thread(target=kill_one)
    killer.start()
    assert render(*SETTINGS, "--out", data, "--workers", 2) == 0
    killer.join()
    assert killed
    assert digests(data) == digests(undisturbed)
    assert not DatasetInfo.load(str(data)).failed


@needs_blender
def test_another_python_renders_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    """Here it is the same interpreter by another way; the actors start it through Ray's runtime environment."""
    data = tmp_path / "data"
    arguments = [*SETTINGS[2:], "--scenes", "2", "--workers", "1", "--blender-python", sys.executable]
    assert render(*arguments, "--val-fraction", "0", "--test-fraction", "0", "--out", data) == 0
    sample, reference = ShardReader(str(data)).read(0), ShardReader(str(undisturbed)).read(0)
    assert sample.keys() == reference.keys()
    assert sample == reference


@needs_blender
def test_pictures_of_the_users_own(tmp_path: Path, ray_local: None) -> None:
    import numpy as np
    from PIL import Image

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        colour = np.full((64, 64, 3), 40 + 80 * number, np.uint8)
        Image.fromarray(colour).save(pictures / f"{number}.png")
    data = tmp_path / "data"
    arguments = ["--scenes", 3, "--size", 32, "--scene.frames", 1, "--scene.samples", 1, "--workers", 2]
    assert render(*arguments, "--textures", pictures, "--out", data) == 0
    reader = ShardReader(str(data))
    shown = [json.loads(fields["meta.json"])["texture"]["picture"] for fields in reader]
    assert sorted(shown) == ["0.png", "1.png", "2.png"]
    (pictures / "2.png").unlink()
    assert render(*arguments, "--textures", pictures, "--out", data) == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds next to nothing."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@needs_blender
def test_a_full_disk_is_told(small_disk: Path, ray_local: None, capsys: pytest.CaptureFixture[str]) -> None:
    data = small_disk / "data"
    assert render("--scenes", 4, "--size", 96, "--scene.frames", 2, "--scene.samples", 1, "--out", data) == 2
    said = capsys.readouterr().err
    assert "no space left" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not list((data / "shards").glob("*.tar"))
    assert not list((data / "shards").glob("*.part"))


@needs_blender
@pytest.mark.slow
def test_a_cluster_that_loses_a_machine_and_gets_another_gives_the_same_bytes(tmp_path: Path, ray_local: None) -> None:
    # Long enough that the third machine is up before the work is done.
    job = [*SETTINGS[4:], "--size", "48", "--scene.frames", "6", "--scene.samples", "160"]
    calm, disturbed = tmp_path / "calm", tmp_path / "disturbed"
    # The machine leaves when two shards are there: what it had in hand is among the first four.
    assert render(*job, "--scenes", 8, "--out", calm, "--workers", 2) == 0
    program = Path(__file__).with_name("cluster_job.py")
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    finished = subprocess.run(
        [sys.executable, str(program), str(disturbed), "sidar", *job, "--scenes", "16"],
        capture_output=True,
        text=True,
        # Not the token of this session's own Ray.
        env={**environment, "RAY_AUTH_MODE": "disabled"},
        timeout=240,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    # Two machines at the start, and the third that came for one of them.
    assert "rendered on 3 machines" in finished.stdout, finished.stdout[-500:]
    assert digests(calm).items() <= digests(disturbed).items()
    info = DatasetInfo.load(str(disturbed))
    assert info.complete
    assert not info.failed
    assert ShardReader(str(disturbed)).keys == [f"{index:06d}" for index in range(16)]


@needs_blender
def test_parallax_scenes_from_the_command_line(tmp_path: Path, ray_local: None) -> None:
    """Rendered, resumed and verified like any other dataset; the test split has its three parts."""
    data = tmp_path / "data"
    arguments = [
        *("parallax", "--scenes", "8", "--size", "48", "--seed", "2", "--shard-size", "2", "--workers", "2"),
        *("--scene.samples", "2", "--test-fraction", "0.4", "--out", str(data)),
    ]
    assert cli.main(["render", *arguments]) == 0
    info = DatasetInfo.load(str(data))
    assert (info.kind, info.generator, info.complete) == ("pair", "parallax", True)
    assert {"test-easy", "test-moderate", "test-hard"} < set(info.splits)
    for name in ("easy", "moderate", "hard"):
        for fields in ShardReader(str(data), f"test-{name}"):
            assert json.loads(fields["meta.json"])["difficulty"] == name
    before = digests(data)
    (data / "shards" / "000001.tar").unlink()
    assert cli.main(["render", *arguments]) == 0
    assert digests(data) == before
    assert cli.main(["data", "verify", str(data)]) == 0
    assert cli.main(["render", *arguments, "--scene.hard", "8", "3"]) == 2


@needs_blender
def test_a_target_that_vanishes_is_told_and_the_next_run_goes_on(
    tmp_path: Path, ray_local: None, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "disk" / "data"
    moved = tmp_path / "elsewhere"

    def take_away() -> None:
        _wait_for_shards(data, 1)
        data.parent.rename(moved)
        # Nothing can be made in its place.
        data.parent.write_text("gone")

    taker = threading.Thread(target=take_away)
    taker.start()
    assert render(*SETTINGS, "--out", data, "--workers", 1) == 2
    taker.join()
    said = capsys.readouterr().err
    assert "cannot write to" in said.splitlines()[-1]
    assert "Traceback" not in said
    data.parent.unlink()
    moved.rename(data.parent)
    assert render(*SETTINGS, "--out", data, "--workers", 2) == 0
    assert digests(data) == digests(undisturbed)
