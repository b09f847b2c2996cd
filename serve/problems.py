"""Errors as RFC 9457 problem documents (`application/problem+json`); a client never sees a traceback."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from ..methods.errors import RaylignError

_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str = Field("about:blank", description="A URI that names the kind of problem; the status tells it all here.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="One line: what is wrong, and the cure.")


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem document as a response."""
    content = Problem(title=HTTPStatus(status).phrase, status=status, detail=" ".join(detail.split()))  # type: ignore[call-arg]
    return JSONResponse(content.model_dump(), status, dict(headers or {}), media_type="application/problem+json")


def install(api: FastAPI) -> None:
    """Answer every error of `api` with a problem document."""

    async def ours(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RaylignError)
        if error.http_status >= 500:
            _log.error("%s: %s", type(error).__name__, error)
        return problem(error.http_status, str(error), getattr(error, "headers", None))

    async def of_http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, str(error.detail), error.headers)

    async def of_fields(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method == "POST" and kind != "multipart/form-data":
            return problem(415, f"send the pictures as multipart/form-data, not as '{kind or 'nothing'}'")
        return problem(422, "; ".join(_field_line(each) for each in error.errors()))

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "an error inside the service; its log tells more")

    api.add_exception_handler(RaylignError, ours)
    api.add_exception_handler(HTTPException, of_http)
    api.add_exception_handler(RequestValidationError, of_fields)
    api.add_exception_handler(Exception, unexpected)


def _field_line(error: Mapping[str, object]) -> str:
    location = error["loc"]
    assert isinstance(location, tuple)
    kind = "option" if location[0] == "query" else "field"
    name = ".".join(map(str, location[1:]))
    match error["type"]:
        case "missing":
            return f"{kind} '{name}' is missing"
        case "extra_forbidden":
            return f"{kind} '{name}' is unknown"
        case "value_error":
            return f"{kind} '{name}' must be a file upload"
    return f"{kind} '{name}': {error['msg']}"
