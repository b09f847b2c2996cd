"""The web side alone, in this process, before a stand-in for the model: every answer and every refusal."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from raylign.platform.alignment import ModelChoice
from raylign.serve.api import build_api
from raylign.serve.contract import AlignRequest, Answer, Refusal, ServedModel, ServiceError
from raylign.serve.negotiation import answer_format
from tests.datasets import texture

MODELS = [
    ServedModel(
        ModelChoice("crossscale", "night", "ck", 4, (("val_psnr", 30.0),)),
        ("night", "4", "champion"),
        "learned",
        {"adapt": 20},
    ),
    ServedModel(ModelChoice("sift", "sift", "sift"), ("sift",), "classical", {}),
]
PNG = b"\x89PNG the result"
FACTS = {
    "method": "crossscale",
    "model": "nächtlich\r\nX-Evil: 1",
    "version": 4,
    "reference": [64, 48],
    "sources": [[64, 48]],
    "confidence": 0.75,
    "min_confidence": 0.0,
    "reliable": True,
    "homography": [[1.0, 0.0, 2.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "overlap": 0.5,
    "seconds": 0.01,
    "inference": {"start": "auto", "adapt": 20},
}
LIMIT = 100_000


class StandIn:
    """Keeps the requests and gives the answer it is told to."""

    def __init__(self) -> None:
        self.requests: list[AlignRequest] = []
        self.answer: Callable[[], Answer | Refusal] = lambda: Answer(PNG, FACTS)
        self.ready = True

    async def align(self, request: AlignRequest) -> Answer | Refusal:
        self.requests.append(request)
        return self.answer()

    async def check_ready(self) -> None:
        if not self.ready:
            raise ServiceError(503, "the model is not loaded", {"Retry-After": "5"})


class Web:
    def __init__(self) -> None:
        self.backend = StandIn()
        self._api = build_api(self.backend, MODELS, LIMIT)

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self._api, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://web") as client:
                return await client.request(method, path, **options)

        return asyncio.run(call())

    def align(self, **options: Any) -> httpx.Response:
        return self("POST", "/v1/align", **({"files": pair()} | options))


@pytest.fixture
def web() -> Web:
    return Web()


def picture(format_name: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    pixels = texture(np.random.default_rng(0), max(size))[: size[1], : size[0]]
    Image.fromarray(pixels).save(buffer, format_name)
    return buffer.getvalue()


def pair() -> dict[str, tuple[str, bytes]]:
    return {"reference": ("r.png", picture()), "source": ("s.jpg", picture("JPEG"))}


def assert_problem(response: httpx.Response, status: int, detail: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert detail in problem["detail"]
    assert "\n" not in problem["detail"]
    assert "Traceback" not in response.text


def test_png_with_facts_in_the_headers(web: Web) -> None:
    response = web.align()
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    assert response.content == PNG
    assert response.headers["x-raylign-method"] == "crossscale"
    assert response.headers["x-raylign-confidence"] == "0.75"
    assert response.headers["x-raylign-homography"] == "[[1.0,0.0,2.0],[0.0,1.0,0.0],[0.0,0.0,1.0]]"
    assert response.headers["x-raylign-model"] == "n%C3%A4chtlich%0D%0AX-Evil: 1"
    assert "x-evil" not in response.headers
    request = web.backend.requests[0]
    assert (request.reference, request.source) == (picture(), picture("JPEG"))
    assert (request.model, request.alpha, request.force) == (0, False, False)


def test_json_with_the_same_picture(web: Web) -> None:
    for options in (
        {"data": {"format": "json"}},
        {"params": {"format": "json"}},
        {"headers": {"accept": "application/json"}},
    ):
        response = web.align(**options)
        assert response.headers["content-type"] == "application/json"
        content = response.json()
        assert base64.b64decode(content.pop("image")) == PNG
        assert content == FACTS


@pytest.mark.parametrize(
    ("asked", "accept", "answer"),
    [
        (None, None, "png"),
        (None, "*/*", "png"),
        (None, "application/json", "json"),
        (None, "image/*", "png"),
        (None, "application/*", "json"),
        (None, "image/png;q=0.3, application/json;q=0.8", "json"),
        (None, "application/json;q=0, */*", "png"),
        (None, "text/html, image/webp, */*;q=0.1", "png"),
        ("json", "image/png", "json"),
        ("png", "application/json", "png"),
    ],
)
def test_the_form_of_the_answer(asked: Any, accept: str | None, answer: str) -> None:
    assert answer_format(asked, accept) == answer


def test_an_accept_header_that_takes_neither(web: Web) -> None:
    assert_problem(web.align(headers={"accept": "text/html"}), 406, "image/png or application/json")


def test_settings_as_fields_or_in_the_query(web: Web) -> None:
    web.align(data={"model": "sift", "alpha": "true", "force": "1"})
    web.align(params={"model": "sift", "alpha": "true", "force": "1"})
    for request in web.backend.requests:
        assert (request.model, request.alpha, request.force) == (1, True, True)


def test_inference_options_as_a_field_or_in_the_query(web: Web) -> None:
    web.align(data={"set": "start=network, adapt=0"})
    web.align(params={"set": "start=network,adapt=0"})
    web.align()
    assert [request.inference for request in web.backend.requests] == [
        *[(("adapt", "0"), ("start", "network"))] * 2,
        (),
    ]
    assert json.loads(web.align().headers["x-raylign-inference"]) == {"start": "auto", "adapt": 20}
    web.backend.requests.clear()
    assert_problem(web.align(data={"set": "adapt"}), 422, "field 'set': 'adapt' is no option; give NAME=VALUE")
    assert_problem(web.align(data={"set": "adapt=1,adapt=2"}), 422, "field 'set': adapt is given twice")
    assert_problem(web.align(data={"set": "adapt=1,"}), 422, "'' is no option")
    assert web.backend.requests == []


@pytest.mark.parametrize("name", ["night", "4", "champion"])
def test_a_model_answers_to_all_its_names(web: Web, name: str) -> None:
    assert web.align(data={"model": name}).status_code == 200
    assert web.backend.requests[0].model == 0


def test_wrong_fields(web: Web) -> None:
    both = pair()
    assert_problem(web.align(files={"reference": both["reference"]}), 422, "field 'source' is missing")
    assert_problem(web.align(data={"modle": "sift"}), 422, "field 'modle' is unknown")
    assert_problem(web.align(params={"modle": "sift"}), 422, "option 'modle' is unknown")
    assert_problem(web.align(data={"model": "raft"}), 422, "'raft' is not served; /v1/models lists what is")
    assert_problem(web.align(data={"alpha": "perhaps"}), 422, "field 'alpha'")
    assert_problem(web.align(data={"format": "gif"}), 422, "field 'format'")
    twice = [*both.items(), ("source", both["source"])]
    assert_problem(web.align(files=twice), 422, "field 'source' was sent 2 times")
    text = {"reference": both["reference"], "source": (None, b"a text")}
    assert_problem(web.align(files=text), 422, "field 'source' must be a file upload")
    assert web.backend.requests == []


def test_wrong_media_types(web: Web) -> None:
    assert_problem(web("POST", "/v1/align", json={}), 415, "multipart/form-data, not as 'application/json'")
    assert_problem(web("POST", "/v1/align", data={"model": "sift"}), 415, "multipart/form-data")
    assert_problem(web("POST", "/v1/align"), 415, "multipart/form-data")
    for form in (b"not a picture", picture("TIFF"), picture("GIF"), b"<svg/>"):
        files = pair() | {"source": ("s.png", form)}
        assert_problem(web.align(files=files), 415, "field 'source': not a PNG, JPEG or WEBP picture")
    assert web.backend.requests == []


def test_wrong_pictures(web: Web) -> None:
    for content, status, detail in (
        (b"", 422, "empty (0 bytes)"),
        (picture()[:40], 422, "truncated or damaged"),
        (picture(size=(64, 31)), 422, "at least 32"),
        (huge_header(), 413, "more than 100 megapixels"),
    ):
        files = pair() | {"reference": ("r.png", content)}
        assert_problem(web.align(files=files), status, "field 'reference': ")
        assert_problem(web.align(files=files), status, detail)
    assert web.backend.requests == []


def huge_header() -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", 10_001, 10_001, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IEND", b"")


def test_broken_forms(web: Web) -> None:
    for content, content_type in (
        (b"xxx", "multipart/form-data; boundary=zz"),
        (b"--zz\r\n\r\n", "multipart/form-data"),
    ):
        response = web("POST", "/v1/align", content=content, headers={"content-type": content_type})
        assert_problem(response, 400, "")


def test_the_upload_limit_by_content_length(web: Web) -> None:
    large = pair() | {"source": ("s.png", bytes(LIMIT))}
    assert_problem(web.align(files=large), 413, "over 0.1 MB")


def test_the_upload_limit_by_counting(web: Web) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        yield b'--zz\r\nContent-Disposition: form-data; name="source"; filename="s.png"\r\n\r\n'
        while True:
            taken += 10_000
            yield bytes(10_000)

    response = web("POST", "/v1/align", content=endless(), headers={"content-type": "multipart/form-data; boundary=zz"})
    assert_problem(response, 413, "over 0.1 MB")
    assert taken <= LIMIT + 20_000


def test_a_body_just_under_the_limit_passes(web: Web) -> None:
    padded = picture() + bytes(LIMIT - 10_000)
    assert web.align(files=pair() | {"reference": ("r.png", padded)}).status_code == 200


@pytest.mark.parametrize(("status", "detail"), [(422, "no reliable alignment"), (500, "an error inside the model")])
def test_refusals_of_the_model(web: Web, status: int, detail: str) -> None:
    web.backend.answer = lambda: Refusal(status, detail)
    assert_problem(web.align(), status, detail)


def test_overload(web: Web) -> None:
    def overloaded() -> Answer:
        raise ServiceError(503, "too many requests are waiting", {"Retry-After": "2"})

    web.backend.answer = overloaded
    response = web.align()
    assert_problem(response, 503, "too many requests")
    assert response.headers["retry-after"] == "2"


def test_a_bug_shows_no_traceback(web: Web) -> None:
    def bug() -> Answer:
        raise KeyError("/home/someone/secret")

    web.backend.answer = bug
    response = web.align()
    assert_problem(response, 500, "an error inside the service")
    assert "secret" not in response.text


def test_models_health_and_unknown_paths(web: Web) -> None:
    served = web("GET", "/v1/models").json()["models"]
    assert [(model["name"], model["default"]) for model in served] == [("night", True), ("sift", False)]
    assert served[0] == {
        "name": "night",
        "aliases": ["4", "champion"],
        "method": "crossscale",
        "summary": "learned",
        "version": 4,
        "metrics": {"val_psnr": 30.0},
        "inference": {"adapt": 20},
        "default": True,
    }
    assert web("GET", "/healthz").json()["model"] == "night"
    web.backend.ready = False
    assert_problem(web("GET", "/healthz"), 503, "not loaded")
    assert_problem(web("GET", "/v2/align"), 404, "Not Found")
    assert_problem(web("GET", "/v1/align"), 405, "Method Not Allowed")


def test_openapi_is_complete(web: Web) -> None:
    schema = web("GET", "/openapi.json").json()
    assert set(schema["paths"]) == {"/v1/align", "/v1/models", "/healthz"}
    align = schema["paths"]["/v1/align"]["post"]
    form = schema["components"]["schemas"][
        align["requestBody"]["content"]["multipart/form-data"]["schema"]["$ref"].rpartition("/")[2]
    ]
    assert set(form["properties"]) == {"reference", "source", "model", "alpha", "force", "set", "format"}
    assert form["required"] == ["reference", "source"]
    assert set(align["responses"]["200"]["content"]) == {"image/png", "application/json"}
    assert {"400", "406", "413", "415", "422", "500", "503", "504"} <= set(align["responses"])
    for path in schema["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"]
    # What the JSON answer holds is what the document says it holds.
    assert set(schema["components"]["schemas"]["AlignAnswer"]["required"]) == {*FACTS, "image"}
    referred = {part.split("'")[0] for part in str(schema).split("#/components/schemas/")[1:]}
    assert referred <= set(schema["components"]["schemas"])


def test_the_documentation_page_needs_no_network(web: Web) -> None:
    response = web("GET", "/docs")
    assert response.headers["content-type"].startswith("text/html")
    for text in (
        "POST /v1/align",
        "GET /healthz",
        "reference",
        "X-Raylign-Confidence",
        "source.png http://web/v1/align",
    ):
        assert text in response.text
    assert "src=" not in response.text
    assert "//cdn" not in response.text
    assert "<script" not in response.text
    assert web("GET", "/").headers["location"] == "docs"
