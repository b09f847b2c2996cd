"""The upload limit, counted before anything is kept."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import problem


class UploadLimit:
    """ASGI middleware: a request body over `max_bytes` gets 413, by its Content-Length or as soon as it is over.

    Ray Serve itself takes any amount.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its body counted."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        detail = f"the upload is over {self._max_bytes / 1e6:g} MB; send smaller pictures"
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._max_bytes:
                return await problem(413, detail, {"Connection": "close"})(scope, receive, send)
        counted = 0

        async def receive_counted() -> Message:
            nonlocal counted
            message = await receive()
            counted += len(message.get("body", b""))
            if counted > self._max_bytes:
                # FastAPI passes its own exception through while it parses a form, and drops what it has.
                raise HTTPException(413, detail, {"Connection": "close"})
            return message

        return await self._app(scope, receive_counted, send)
