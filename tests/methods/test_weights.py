"""Published weights: files, torch's cache, downloads, and what is refused."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from raylign import methods
from raylign.methods.errors import InputError, MissingWeightsError
from raylign.methods.weights import fit, load_published, state_dict
from raylign.platform.alignment import ModelChoice, choose_model, load_model
from raylign.platform.cli import main
from tests.methods.published import no_network

URL = "https://example.org/weights/net_v1.pth"


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Code:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt", "w.ckpt"])
@pytest.mark.parametrize("given", [str, Path])
def test_a_local_file(tmp_path: Path, name: str, given: type) -> None:
    content = network(1).state_dict()
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(content, path)
    elif path.suffix == ".ckpt":
        torch.save({"state_dict": content, "epoch": 3}, path)
    else:
        torch.save(content, path)
    assert same(state_dict("net", given(path), False, URL), content)


def test_the_network_is_filled_and_ready(tmp_path: Path) -> None:
    published = network(1)
    torch.save(published.state_dict(), tmp_path / "w.pth")
    model = network(2)
    load_published(model, "net", weights=tmp_path / "w.pth", pretrained=False, url=URL)
    assert same(model.state_dict(), published.state_dict())
    assert not model.training


def test_without_weights_the_cure_is_told() -> None:
    with pytest.raises(MissingWeightsError) as caught:
        state_dict("net", None, False, URL)
    told = str(caught.value)
    assert "'net'" in told
    assert "--weights FILE" in told
    assert "--pretrained" in told
    assert URL in told
    assert "\n" not in told
    assert isinstance(caught.value, InputError)


def test_a_file_and_the_download_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exclude each other"):
        state_dict("net", tmp_path / "w.pth", True, URL)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.pth", None, "no such file"),
        ("w.bin", b"x", "must end in"),
        ("w.pth", b"", "damaged"),
        ("w.pth", b"no weights at all", "damaged"),
        ("w.safetensors", b"\x09\x00\x00\x00\x00\x00\x00\x00not json!", "damaged"),
        ("w.safetensors", b"", "damaged"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=told) as caught:
        state_dict("net", tmp_path / name, False, URL)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cut_files(tmp_path: Path) -> None:
    for name in ("w.pth", "w.safetensors"):
        path = tmp_path / name
        save_file(network().state_dict(), path) if path.suffix == ".safetensors" else torch.save(
            network().state_dict(), path
        )
        whole = path.read_bytes()
        for share in (0.1, 0.5, 0.9, 0.99):
            path.write_bytes(whole[: int(len(whole) * share)])
            with pytest.raises(InputError, match="damaged"):
                state_dict("net", path, False, URL)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"state_dict": {"a": "b"}}, torch.zeros(3)])
def test_other_content(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match="no dictionary of tensors"):
        state_dict("net", tmp_path / "w.pth", False, URL)


@pytest.mark.parametrize("way", ["torch.save", "pickle", "cache"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    marker = tmp_path / "ran"
    content = {**network().state_dict(), "more": Code(marker)}
    path = tmp_path / "w.pth"
    if way == "cache":
        path = no_network(monkeypatch, tmp_path) / "net_v1.pth"
    path.write_bytes(pickle.dumps(content, protocol=2)) if way == "pickle" else torch.save(content, path)
    with pytest.raises(InputError, match="more than tensors"):
        state_dict("net", None if way == "cache" else path, way == "cache", URL)
    assert not marker.exists()
    torch.load(path, weights_only=False) if way != "pickle" else pickle.loads(path.read_bytes())
    assert marker.exists()  # the file would have run code


def test_a_file_in_the_cache_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = network(1).state_dict()
    torch.save(content, no_network(monkeypatch, tmp_path) / "net_v1.pth")
    assert same(state_dict("net", None, True, URL), content)


def test_a_failed_download_names_the_file_and_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = no_network(monkeypatch, tmp_path)
    with pytest.raises(InputError, match="unreachable") as caught:
        state_dict("net", None, True, URL)
    assert URL in str(caught.value)
    assert str(folder / "net_v1.pth") in str(caught.value)
    assert "--weights FILE" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("honest", [True, False])
def test_the_hash_in_a_file_name_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], honest: bool
) -> None:
    """The download is from a `file:` address."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    buffer = io.BytesIO()
    torch.save(network(1).state_dict(), buffer)
    digest = hashlib.sha256(buffer.getvalue() if honest else b"other").hexdigest()[:8]
    published = tmp_path / f"net-{digest}.pth"
    published.write_bytes(buffer.getvalue())
    if honest:
        assert same(state_dict("net", None, True, published.as_uri()), network(1).state_dict())
    else:
        with pytest.raises(InputError, match="hash"):
            state_dict("net", None, True, published.as_uri())
    assert capsys.readouterr().out == ""
    assert (tmp_path / "cache/hub/checkpoints" / published.name).exists() == honest


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"0.bias": None}, r"1 missing \(first '0.bias'\)"),
        ({"more": torch.zeros(1)}, r"1 unknown \(first 'more'\)"),
        ({"0.weight": torch.zeros(4, 5)}, r"1 of another shape \(first '0.weight'\)"),
        ({"0.bias": None, "0.weight": None, "x": torch.zeros(1)}, "2 missing .* 1 unknown"),
    ],
)
def test_weights_that_do_not_fit(change: dict[str, torch.Tensor | None], told: str) -> None:
    content = {name: each for name, each in {**network().state_dict(), **change}.items() if each is not None}
    with pytest.raises(InputError, match=told) as caught:
        fit(network(), content, "net")
    assert "'net'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_which_methods_need_weights() -> None:
    assert {name for name in methods.names() if methods.needs_weights(name)} == {"loftr", "raft"}
    assert {"loftr", "raft"} <= set(methods.names(learned=False))
    assert {name for name in methods.names() if methods.takes_sets(name)} == {"diar", "mean", "median", "rpca", "weiss"}
    assert {name for name in methods.names() if methods.method_class(name).max_sources is None} == {
        name for name in methods.names() if methods.takes_sets(name)
    }
    for ask in (methods.needs_weights, methods.takes_sets):
        with pytest.raises(InputError, match="unknown method"):
            ask("lofter")


@pytest.mark.parametrize("name", ["loftr", "raft"])
def test_loading_by_name_without_weights(name: str) -> None:
    with pytest.raises(MissingWeightsError, match=name):
        methods.load(name)
    with pytest.raises(MissingWeightsError, match=name):
        load_model(choose_model(name))


@pytest.mark.parametrize("name", ["sift", "crossscale", "a/folder"])
def test_weights_for_a_method_that_takes_none(name: str) -> None:
    for given in ({"weights": "w.pth"}, {"pretrained": True}):
        with pytest.raises(InputError, match="takes no published weights"):
            methods.load(name, **given)  # type: ignore[arg-type]


def test_the_choice_of_a_model_carries_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    choice = choose_model("raft", weights="w.pth")
    assert choice == ModelChoice("raft", "raft", "raft", weights=str(tmp_path / "w.pth"))
    assert pickle.loads(pickle.dumps(choice)) == choice
    assert choose_model("loftr", pretrained=True) == ModelChoice("loftr", "loftr", "loftr", pretrained=True)
    with pytest.raises(InputError, match=r"w\.pth: there is no such file"):
        load_model(choice)
    for arguments in (("auto",), ("sift",), ("crossscale",)):
        with pytest.raises(InputError, match="--weights is for --method loftr, raft"):
            choose_model(*arguments, weights="w.pth")
        with pytest.raises(InputError, match="--pretrained is for --method loftr, raft"):
            choose_model(*arguments, pretrained=True)
    with pytest.raises(InputError, match="--checkpoint exclude each other"):
        choose_model("loftr", "champion", pretrained=True)


def test_the_command_tells_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from torchvision.io import write_png

    monkeypatch.chdir(tmp_path)
    write_png(torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8), "a.png")
    no_network(monkeypatch, tmp_path)
    for arguments, told in (
        (["--method", "loftr"], "--pretrained"),
        (["--method", "loftr", "--pretrained"], "loftr_outdoor.ckpt"),
        (["--method", "loftr", "--weights", "w.pth"], "no such file"),
        (["--method", "sift", "--weights", "w.pth"], "is for --method loftr, raft"),
    ):
        assert main(["align", "a.png", "a.png", "-o", "out.png", *arguments]) == 2
        captured = capsys.readouterr()
        assert told in captured.err
        assert "Traceback" not in captured.err
        assert captured.out == ""
    assert not Path("out.png").exists()
