"""A small client of the service."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from ..methods.errors import InputError, RaylignError

_OWN_MACHINE = ("127.0.0.1", "localhost", "::1")


def align(
    url: str,
    reference: Path,
    source: Path,
    *,
    model: str | None = None,
    alpha: bool = False,
    force: bool = False,
    inference: Mapping[str, object] | None = None,
    timeout: float = 300.0,
) -> bytes:
    """Have the service bring a picture into the frame of a reference.

    Args:
        url: the service, for example `http://127.0.0.1:8000`.
        reference: PNG, JPEG or WebP file.
        source: PNG, JPEG or WebP file.
        model: a name that `/v1/models` lists; None means the service's default.
        alpha: have the result transparent where the source does not cover it.
        force: have the result even if the model does not trust it.
        inference: inference options instead of those the model is served with, for example `{"adapt": 0}`.
        timeout: seconds to wait.

    Returns:
        The result, a PNG file.

    Raises:
        InputError: a file cannot be read, nothing answers, or the service refuses; the line tells why.
        RaylignError: the service failed.
    """
    fields = {"alpha": str(alpha).lower(), "force": str(force).lower()} | ({"model": model} if model else {})
    if inference:
        fields["set"] = ",".join(f"{name}={value}" for name, value in inference.items())
    try:
        files = {name: (path.name, path.read_bytes()) for name, path in (("reference", reference), ("source", source))}
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from None
    with _client(url, timeout) as client:
        try:
            response = client.post("/v1/align", files=files, data=fields)
        except httpx.HTTPError as error:
            raise InputError(
                f"no service answers at {url} ({type(error).__name__}); start one: raylign serve"
            ) from None
    if response.is_success:
        return response.content
    detail = f"{url} answers {response.status_code}: {_detail(response)}"
    raise RaylignError(detail) if response.is_server_error else InputError(detail)


def wait_until_ready(url: str, timeout: float = 60.0) -> None:
    """Return as soon as the service's model is loaded.

    Raises:
        RaylignError: it is not, after `timeout` seconds.
    """
    give_up = time.monotonic() + timeout
    with _client(url, 5.0) as client:
        while True:
            try:
                if client.get("/healthz").is_success:
                    return
            except httpx.HTTPError:
                pass
            if time.monotonic() > give_up:
                raise RaylignError(f"the service at {url} is not ready after {timeout:g} s")
            time.sleep(0.2)


def _client(url: str, timeout: float) -> httpx.Client:
    # A proxy that the environment names does not reach this machine's own addresses.
    return httpx.Client(base_url=url, timeout=timeout, trust_env=httpx.URL(url).host not in _OWN_MACHINE)


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase
