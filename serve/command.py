"""`raylign serve`: the service on this machine, or on a Ray cluster."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import tyro

from ..methods.errors import InputError, RaylignError
from ..platform.arguments import parse

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class ServeOptions:
    """Serve a model over HTTP: POST /v1/align, GET /v1/models, /healthz, /docs."""

    model: str | None = None
    """A model of 'raylign models': champion (the default), a version number, a run's name or a method's name."""
    checkpoint: str | None = None
    """A checkpoint folder instead."""
    method: str | None = None
    """A method that needs no training instead, for example sift."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE [NAME=VALUE ...]")] = ()
    """Inference options of that model, where a request sets none. Of a whole number (steps of work) a request may have
    less, but not more."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets everybody in who reaches this machine."""
    port: int = 8000
    """Port to listen on; 0 picks a free one."""
    max_upload_mb: float = 64.0
    """Larger uploads are refused."""
    max_queue: int = 16
    """Requests that may wait for the model; further ones are told to come back later."""
    address: str | None = None
    """Address of a Ray cluster; by default RAY_ADDRESS, else this machine alone."""
    tracking_uri: str | None = None
    """MLflow store; by default MLFLOW_TRACKING_URI, else runs/mlflow.db."""


def main(arguments: Sequence[str]) -> None:
    """`raylign serve`; runs until Ctrl-C or SIGTERM.

    Raises:
        InputError: an option is wrong, the port is busy, or there is no such model.
    """
    options = parse(ServeOptions, arguments, "serve")
    shared = bool(options.address or os.environ.get("RAY_ADDRESS"))
    port = options.port if shared else free_port(options.host, options.port)
    before = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _serve(options, port)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port(host: str, port: int) -> int:
    """Make sure that a port can be listened on, before anything is started.

    Args:
        host: name or address to listen on.
        port: 0 picks a free one.

    Returns:
        The port.

    Raises:
        InputError: it is taken, out of range, or the host is none of this machine's.
    """
    if not 0 <= port <= 65_535:
        raise InputError(f"--port must lie in 0 to 65535, not {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # A port that a stopped service has just left is free; one that is listened on is not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except socket.gaierror:
        raise InputError(f"--host: '{host}' is no address of this machine") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"--port {port} on {host} is taken; choose another, or 0 for any free one") from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise InputError(f"--host: '{host}' is no address of this machine") from None
        raise InputError(f"--port {port}: {error.strerror}; choose another") from None


def _serve(options: ServeOptions, port: int) -> None:
    """Start everything, say where it is, and wait; a signal raises KeyboardInterrupt, and all is stopped on the way."""
    from ..platform.alignment import load_model
    from .app import APP_NAME, ServeSettings, build, served_models

    settings = ServeSettings(
        model=options.model,
        checkpoint=options.checkpoint,
        method=options.method,
        set=options.set,
        tracking_uri=options.tracking_uri,
        max_upload_mb=options.max_upload_mb,
        max_queue=options.max_queue,
    )
    models = served_models(settings)
    load_model(models[0].choice)  # a damaged checkpoint is told before anything is started

    print(f"starting the service with '{models[0].choice.name}'", file=sys.stderr, flush=True)

    import ray
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    from ..platform.cluster import ray_session

    with ray_session(options.address):
        # ray.init has set a handler of its own.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        settings = replace(settings, num_gpus=min(1.0, ray.cluster_resources().get("GPU", 0.0)))
        serve.start(http_options={"host": options.host, "port": port}, proxy_location="HeadOnly")
        _check_address(options.host, port)
        try:
            serve.run(build(settings, models), name=APP_NAME, route_prefix="/")
            _announce(options.host, port)
            threading.Event().wait()
        except (RuntimeError, RayServeException) as error:
            raise RaylignError(f"the service did not start: {str(error).splitlines()[0]}") from None
        finally:
            for number in _STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            # Requests that are being worked on end well; a local Serve then goes down with its Ray.
            with contextlib.suppress(RayError, RayServeException, TimeoutError):
                serve.delete(APP_NAME)


def _check_address(host: str, port: int) -> None:
    """A Serve that was up before keeps its own address, whatever it is told."""
    from ray.serve.context import _get_global_client

    client = _get_global_client()
    assert client is not None
    there = client.http_config
    if (there.host, there.port) != (host, port):
        raise InputError(f"--host, --port: this cluster already serves at {there.host}:{there.port}; give these")


def _announce(host: str, port: int) -> None:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    url = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
    print(f"raylign serves at {url} (documentation: {url}/docs); Ctrl-C stops it")
    print(f"try: curl -F reference=@REF.png -F source=@SRC.png {url}/v1/align -o aligned.png", flush=True)
