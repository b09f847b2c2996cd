"""The HTTP interface: routes, their checks, and their description. It knows no Ray: any `Backend` will do."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Form, Query, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from ..platform.images import UPLOAD_FORMATS, check_image
from ..platform.inference import read_choices
from . import problems
from .contract import FIELD, AlignRequest, Answer, Backend, Refusal, ServedModel, ServiceError
from .docs_page import render
from .limits import UploadLimit
from .negotiation import AnswerFormat, answer_format

_DESCRIPTION = """Brings a picture into the frame of a reference. The answer is the PNG that `raylign align` writes, \
byte for byte. Pixel centres lie at integers, x to the right, y down; the homography maps reference pixels to source \
pixels."""

_HEADERS = {
    "X-Raylign-Model": "the model's name",
    "X-Raylign-Method": "the method's name",
    "X-Raylign-Confidence": "0 to 1; absent where the method tells none",
    "X-Raylign-Overlap": "share of the reference that is covered",
    "X-Raylign-Seconds": "time the alignment took",
    "X-Raylign-Homography": "3 x 3, JSON; absent where the method has none",
    "X-Raylign-Inference": "the inference options it was aligned with, JSON; absent where the method has none",
}
_ERRORS = {
    400: "The body is no valid form",
    406: "The Accept header takes neither PNG nor JSON",
    413: "The upload or a picture is too large",
    415: "Not a multipart form, or a picture of another format",
    422: "A field is missing, unknown or wrong, or no reliable alignment was found",
    503: "Too many requests are waiting; the header Retry-After says when to try again",
    504: "The alignment took too long",
}


class Settings(BaseModel):
    """What a request can set, as form fields or in the query."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="A name of /v1/models; the default model if left out.")
    alpha: bool = Field(False, description="Make the result transparent where the source does not cover it.")
    force: bool = Field(False, description="Answer even if the confidence is under the model's threshold.")
    set: str | None = Field(
        None,
        description="Inference options of the model: NAME=VALUE, separated by commas, for example adapt=0. "
        "/v1/models tells which ones it has, and their values without this field; of whole numbers (steps of work) "
        "these are the most.",
    )
    format: AnswerFormat | None = Field(None, description="Form of the answer; by default the Accept header decides.")


class AlignForm(Settings):
    """The pictures, and the settings."""

    reference: UploadFile = Field(description="The picture whose frame counts: PNG, JPEG or WebP.")
    source: UploadFile = Field(description="The picture to bring into that frame: PNG, JPEG or WebP.")


class AlignAnswer(BaseModel):
    """The JSON form of a result."""

    method: str
    model: str
    version: int | None = Field(description="Number in the model registry.")
    reference: list[int] = Field(description="Width and height, pixels.")
    sources: list[list[int]] = Field(description="Width and height of each source, pixels.")
    confidence: float | None = Field(description="0 to 1, where the method tells one.")
    min_confidence: float = Field(description="Threshold of the method.")
    reliable: bool
    homography: list[list[float]] | None = Field(description="Reference pixels to source pixels.")
    overlap: float = Field(description="Share of the reference that is covered.")
    seconds: float
    inference: dict[str, Any] = Field(description="The options it was aligned with; empty where the method has none.")
    sources_used: list[bool] | None = Field(
        None, description="Which sources went into the result, where the method leaves out what it finds nothing for."
    )
    image: str = Field(description="The result, PNG in base64.")


class ModelAnswer(BaseModel):
    """One model that can be asked for."""

    name: str
    aliases: list[str] = Field(description="Further names it answers to.")
    method: str
    summary: str
    version: int | None = Field(description="Number in the model registry.")
    metrics: dict[str, float] = Field(description="What its training measured last.")
    inference: dict[str, Any] = Field(description="Its inference options, and their values where a request sets none.")
    default: bool


class ModelsAnswer(BaseModel):
    """All models that can be asked for; the first is the default."""

    models: list[ModelAnswer]


class HealthAnswer(BaseModel):
    """The service is ready."""

    status: str
    model: str = Field(description="The default model, which is loaded and has aligned a test picture.")
    version: str = Field(description="Of raylign.")


def build_api(backend: Backend, models: Sequence[ServedModel], max_upload_bytes: int) -> FastAPI:
    """The service's web side.

    Args:
        backend: what aligns.
        models: what can be asked for; the first is the default.
        max_upload_bytes: a larger request body is refused.
    """
    api = FastAPI(
        title="raylign",
        version=version("raylign"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses={500: {"model": problems.Problem, "description": "An error inside the service"}},
    )
    api.add_middleware(UploadLimit, max_bytes=max_upload_bytes)
    problems.install(api)
    indices = {name: index for index, model in reversed(list(enumerate(models))) for name in model.names}

    @api.post(
        "/v1/align",
        summary="Bring a picture into the frame of a reference",
        response_class=Response,
        responses={
            200: {
                "description": "The result",
                "content": {
                    "image/png": {"schema": {"type": "string", "format": "binary"}},
                    "application/json": {"schema": {"$ref": "#/components/schemas/AlignAnswer"}},
                },
                "headers": {
                    name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()
                },
            },
            **{status: _problem_entry(text) for status, text in _ERRORS.items()},
        },
    )
    async def align(
        request: Request,
        form: Annotated[AlignForm, Form(media_type="multipart/form-data")],
        query: Annotated[Settings, Query()],
    ) -> Response:
        fields = [name for name, _ in (await request.form()).multi_items()]
        for name in set(fields):
            if fields.count(name) > 1:
                raise ServiceError(422, f"field '{name}' was sent {fields.count(name)} times; send it once")
        given = form.model_dump(include=form.model_fields_set & Settings.model_fields.keys())
        settings = query.model_copy(update=given)
        wanted = answer_format(settings.format, request.headers.get("accept"))
        index = 0 if settings.model is None else indices.get(settings.model)
        if index is None:
            raise ServiceError(422, f"field 'model': '{settings.model}' is not served; /v1/models lists what is")
        inference = () if settings.set is None else read_choices(settings.set.split(","), FIELD)
        reference, source = await form.reference.read(), await form.source.read()
        check_image(reference, "field 'reference'", UPLOAD_FORMATS)
        check_image(source, "field 'source'", UPLOAD_FORMATS)
        asked = AlignRequest(reference, source, index, settings.alpha, settings.force, inference)
        answer = await backend.align(asked)
        if isinstance(answer, Refusal):
            raise ServiceError(answer.status, answer.detail)
        return _as_json(answer) if wanted == "json" else _as_png(answer)

    @api.get("/v1/models", summary="List the models that can be asked for")
    async def list_models() -> ModelsAnswer:
        return ModelsAnswer(models=[_model_answer(model, index == 0) for index, model in enumerate(models)])

    @api.get(
        "/healthz",
        summary="Say whether the service is ready",
        responses={503: _problem_entry("The model is not loaded")},
    )
    async def healthz() -> HealthAnswer:
        await backend.check_ready()
        return HealthAnswer(status="ok", model=models[0].names[0], version=version("raylign"))

    @api.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(render(api.openapi(), str(request.base_url).rstrip("/")))

    @api.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("docs")

    _describe_answers(api)
    return api


def _as_png(answer: Answer) -> Response:
    facts = answer.facts
    told = {
        "Model": quote(str(facts["model"]), safe=" !#$&'()*+,-./:;=?@[]^_`{|}~"),
        "Method": facts["method"],
        "Confidence": facts["confidence"],
        "Overlap": facts["overlap"],
        "Seconds": facts["seconds"],
        "Homography": facts["homography"] and json.dumps(facts["homography"], separators=(",", ":")),
        "Inference": json.dumps(facts["inference"], separators=(",", ":")) if facts["inference"] else None,
    }
    headers = {f"X-Raylign-{name}": str(value) for name, value in told.items() if value is not None}
    return Response(answer.png, headers=headers, media_type="image/png")


def _as_json(answer: Answer) -> Response:
    return JSONResponse(answer.facts | {"image": base64.b64encode(answer.png).decode()})


def _model_answer(model: ServedModel, default: bool) -> ModelAnswer:
    name, *aliases = model.names
    return ModelAnswer(
        name=name,
        aliases=aliases,
        method=model.choice.method,
        summary=model.summary,
        version=model.choice.version,
        metrics=dict(model.choice.metrics),
        inference=model.inference,
        default=default,
    )


def _problem_entry(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


def _describe_answers(api: FastAPI) -> None:
    """Complete the OpenAPI document with what FastAPI cannot see: the JSON answer of `/v1/align`, and problems."""
    plain = api.openapi

    def complete() -> dict[str, Any]:
        if api.openapi_schema is None:
            schema = plain()
            schemas = schema["components"]["schemas"]
            for model in (AlignAnswer, problems.Problem):
                schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
            for path in schema["paths"].values():
                for operation in path.values():
                    for status, response in operation["responses"].items():
                        if status >= "400":
                            response["content"] = _problem_entry("")["content"]
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
        assert api.openapi_schema is not None
        return api.openapi_schema

    api.openapi = complete  # type: ignore[method-assign]
