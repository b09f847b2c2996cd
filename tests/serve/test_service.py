"""The real service: the same bytes as the command line, limits on the wire, load, and a clean stop (see conftest)."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from raylign.methods.errors import InputError, RaylignError
from raylign.methods.registry import names, needs_weights
from raylign.platform.cli import main
from raylign.serve.client import align, wait_until_ready
from tests.datasets import texture

from .conftest import QUEUE, UPLOAD_MB, Service


def post(service: Service, files: dict[str, Path] | None = None, **data: str) -> httpx.Response:
    paths = files or {"reference": service.reference, "source": service.source}
    content = {name: (path.name, path.read_bytes()) for name, path in paths.items()}
    return httpx.post(f"{service.url}/v1/align", files=content, data=data, timeout=120, trust_env=False)


def get(service: Service, path: str) -> httpx.Response:
    return httpx.get(service.url + path, timeout=60, trust_env=False)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("model", ["crossscale", "sift", "identity"])
def test_the_bytes_of_the_command_line(service: Service, model: str, alpha: bool, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    which = ["--checkpoint", str(service.checkpoint)] if model == "crossscale" else ["--method", model]
    arguments = ["align", str(service.reference), str(service.source), "-o", str(out), "--force", *which]
    assert main([*arguments, *(["--alpha"] if alpha else [])]) == 0
    served = align(service.url, service.reference, service.source, model=model, alpha=alpha, force=True)
    assert served == out.read_bytes()
    if model == "crossscale":
        plain = np.asarray(Image.open(service.source).crop((0, 0, 300, 260)))
        assert np.abs(np.asarray(Image.open(out).convert("RGB")).astype(int) - plain).mean() > 1


@pytest.mark.parametrize("chosen", [{"start": "network", "adapt": 0}, {"start": "network", "adapt": 2}])
def test_the_bytes_of_the_command_line_with_inference_options(
    service: Service, chosen: dict[str, object], tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    texts = [f"{name}={value}" for name, value in chosen.items()]
    arguments = ["align", str(service.reference), str(service.source), "-o", str(out), "--force"]
    assert main([*arguments, "--checkpoint", str(service.checkpoint), "--set", *texts]) == 0
    served = align(service.url, service.reference, service.source, model="crossscale", force=True, inference=chosen)
    assert served == out.read_bytes()
    told = post(service, model="crossscale", force="1", format="json", set=",".join(texts)).json()
    assert told["inference"] == chosen
    with pytest.raises(InputError, match="answers 422: field 'set': adapt is served up to 80, not 81"):
        align(service.url, service.reference, service.source, model="crossscale", inference={"adapt": 81})


def test_json_tells_what_the_command_line_tells(service: Service, tmp_path: Path) -> None:
    content = post(service, model="sift", format="json").json()
    assert base64.b64decode(content["image"]) == align(service.url, service.reference, service.source, model="sift")
    assert content["method"] == "sift"
    assert np.array(content["homography"]).shape == (3, 3)
    assert (content["reference"], content["sources"]) == ([300, 260], [[320, 260]])


def test_what_is_served(service: Service) -> None:
    wait_until_ready(service.url, timeout=5)
    assert get(service, "/healthz").json()["model"] == "shaken"
    served = get(service, "/v1/models").json()["models"]
    others = [name for name in names(learned=False) if not needs_weights(name)]
    assert [(model["name"], model["aliases"]) for model in served] == [
        ("shaken", ["crossscale"]),
        *((name, []) for name in others),
    ]
    assert {"identity", "sift", "median"} <= set(others)
    assert "/v1/align" in get(service, "/openapi.json").json()["paths"]
    assert "POST /v1/align" in get(service, "/docs").text
    assert httpx.get(service.url, follow_redirects=True, trust_env=False).url.path == "/docs"


def test_refusals_come_through_as_problems(service: Service, tmp_path: Path) -> None:
    flat, text, cut = tmp_path / "flat.png", tmp_path / "text.png", tmp_path / "cut.png"
    Image.new("RGB", (100, 100), (90, 90, 90)).save(flat)
    text.write_text("no picture")
    cut.write_bytes(service.source.read_bytes()[:-2000])
    for path, status, detail in (
        (flat, 422, "no reliable alignment found: confidence 0.000"),
        (text, 415, "field 'source': not a PNG"),
        (cut, 422, "field 'source': truncated or damaged"),
    ):
        response = post(service, {"reference": service.reference, "source": path}, model="sift")
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert detail in response.json()["detail"]
        with pytest.raises(InputError, match=rf"answers {status}: "):
            align(service.url, service.reference, path, model="sift")
    assert Image.open(flat).size == (100, 100)
    assert post(service, {"reference": service.reference, "source": flat}, model="sift", force="1").status_code == 200


def test_the_upload_limit_on_the_wire(service: Service) -> None:
    large = UPLOAD_MB * 1_000_000
    head = b'--zz\r\nContent-Disposition: form-data; name="source"; filename="s.png"\r\n\r\n'
    headers = {"content-type": "multipart/form-data; boundary=zz"}
    response = httpx.post(f"{service.url}/v1/align", content=head + bytes(large), headers=headers, trust_env=False)
    assert response.status_code == 413
    assert "over 2 MB" in response.json()["detail"]

    def in_pieces() -> Iterator[bytes]:
        yield head
        for _ in range(large // 50_000 + 2):
            yield bytes(50_000)

    response = httpx.post(f"{service.url}/v1/align", content=in_pieces(), headers=headers, trust_env=False)
    assert response.status_code == 413
    assert get(service, "/healthz").status_code == 200


def test_several_at_once_get_the_same_bytes(service: Service) -> None:
    alone = post(service, model="sift", force="1").content
    with ThreadPoolExecutor(QUEUE) as threads:
        answers = list(threads.map(lambda _: post(service, model="sift", force="1"), range(QUEUE)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content for answer in answers} == {alone}


def test_overload_is_told_at_once_and_health_still_answers(service: Service, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    Image.fromarray(texture(np.random.default_rng(0), 1000)).save(large, quality=80)
    start = threading.Barrier(QUEUE + 6)

    def send(_: int) -> httpx.Response:
        start.wait()
        return post(service, {"reference": large, "source": large}, model="sift", force="1")

    def ask() -> httpx.Response:
        start.wait()
        return get(service, "/healthz")

    with ThreadPoolExecutor(QUEUE + 6) as threads:
        asked = threads.submit(ask)
        answers = list(threads.map(send, range(QUEUE + 5)))
        assert asked.result().status_code == 200
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}, statuses
    for answer in answers:
        if answer.status_code == 503:
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            assert "too many requests" in answer.json()["detail"]


def test_a_lost_model_is_told_and_comes_back(service: Service) -> None:
    replicas = [
        process for process in psutil.process_iter(["cmdline"]) if "ServeReplica:raylign:model" in told(process)
    ]
    ours = [process for process in replicas if service.process in {parent.pid for parent in process.parents()}]
    assert len(ours) == 1
    ours[0].kill()
    give_up = time.monotonic() + 60
    while get(service, "/healthz").status_code != 503:
        assert time.monotonic() < give_up
        time.sleep(0.1)
    # What arrives meanwhile waits for the new replica.
    assert post(service, model="identity").status_code == 200
    wait_until_ready(service.url)


def told(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"] or ())


def test_the_client_tells_what_is_wrong(service: Service, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*no\.png: No such file"):
        align(service.url, tmp_path / "no.png", service.source)
    with pytest.raises(InputError, match="'raft' is not served"):
        align(service.url, service.reference, service.source, model="raft")
    with pytest.raises(InputError, match=r"no service answers at http://127\.0\.0\.1:9 \(ConnectError\)"):
        align("http://127.0.0.1:9", service.reference, service.source)
    with pytest.raises(RaylignError, match="not ready after"):
        wait_until_ready("http://127.0.0.1:9", timeout=0.1)


def test_importing_starts_nothing() -> None:
    code: Any = (
        "import raylign.serve.app, raylign.serve.command, raylign.serve.client, ray, sys; "
        "assert not ray.is_initialized(); assert 'torch' not in sys.modules; assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
