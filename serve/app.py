"""The Ray Serve application: a web deployment in front of a model deployment.

`serve run raylign.serve.app:app_builder checkpoint=runs/train/NAME/checkpoint` works as well as `raylign serve`.
Importing this module starts nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from ..methods.errors import InputError
from ..methods.registry import names, needs_weights, summary
from ..platform.alignment import AUTO, CHAMPION, ModelChoice, choose_model, registered_model
from ..platform.inference import check_inference, default_inference, read_choices
from ..platform.tracking import TrackingError
from .api import build_api
from .contract import AlignRequest, Answer, Refusal, ServedModel, ServiceError
from .model import ModelReplica

if TYPE_CHECKING:
    from fastapi import FastAPI

APP_NAME = "raylign"
REQUEST_TIMEOUT_S = 300.0
_MODEL_DEPLOYMENT = "model"
_NUMBERS: dict[str, Callable[[Any], float]] = {"max_upload_mb": float, "max_queue": int, "num_gpus": float}


@dataclass(frozen=True)
class ServeSettings:
    """What the application can be told. At most one of `model`, `checkpoint` and `method`."""

    model: str | None = None
    """`champion` (the default), a version number, a run's name or a method's name, from the model registry."""
    checkpoint: str | None = None
    """A checkpoint folder."""
    method: str | None = None
    """A method that needs no training."""
    set: tuple[str, ...] = ()
    """Inference options of that model, `NAME=VALUE`; `serve run` takes them as one text, separated by commas."""
    tracking_uri: str | None = None
    """MLflow store."""
    max_upload_mb: float = 64.0
    """Larger request bodies are refused."""
    max_queue: int = 16
    """Requests that may wait for the model; further ones get 503."""
    num_gpus: float = 0.0
    """GPUs of the model's replica."""

    @classmethod
    def of(cls, args: dict[str, Any]) -> ServeSettings:
        """Settings from the arguments of a Serve application.

        Raises:
            InputError: an unknown name, or a value that does not fit.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        unknown = args.keys() - fields
        if unknown:
            raise InputError(f"unknown argument {', '.join(sorted(unknown))}; there is {', '.join(sorted(fields))}")
        try:
            # `serve run` gives all values as text.
            numbers = {name: kind(args[name]) for name, kind in _NUMBERS.items() if name in args}
        except (TypeError, ValueError) as error:
            raise InputError(f"an argument must be a number: {error}") from None
        options = args.get("set", ())
        return cls(**{**args, **numbers, "set": tuple(options.split(",") if isinstance(options, str) else options)})

    def __post_init__(self) -> None:
        if not self.max_upload_mb > 0:
            raise InputError(f"--max-upload-mb must be above 0, not {self.max_upload_mb}")
        if self.max_queue < 1:
            raise InputError(f"--max-queue must be 1 or more, not {self.max_queue}")


def app_builder(args: dict[str, Any]) -> serve.Application:
    """The application for `serve.run` and `serve run`; the model is chosen here, and loaded in its replica.

    Args:
        args: fields of `ServeSettings`.

    Raises:
        InputError: an argument is wrong, or there is no such model.
    """
    settings = ServeSettings.of(args)
    return build(settings, served_models(settings))


def build(settings: ServeSettings, models: Sequence[ServedModel]) -> serve.Application:
    """The application for models that are chosen already; the first is loaded at once."""
    model_deployment = serve.deployment(
        name=_MODEL_DEPLOYMENT,
        # One at a time, the rest waits in line; what is over the line's length is told so at once.
        max_ongoing_requests=1,
        max_queued_requests=settings.max_queue,
        # What is reserved, not what is used: on a laptop the service must start beside other work.
        ray_actor_options={"num_cpus": 1, "num_gpus": settings.num_gpus},
        # An update starts the new replica before the old one stops.
        max_surge_percent=100,
        max_constructor_retry_count=2,
        # /healthz tells of a lost replica after this time.
        health_check_period_s=2,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=10,
    )
    web_deployment = serve.deployment(
        name="web",
        max_ongoing_requests=100,
        max_queued_requests=100,
        ray_actor_options={"num_cpus": 0},
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=10,
    )
    max_upload_bytes = int(settings.max_upload_mb * 1e6)
    replica = model_deployment(ModelReplica).bind(models)
    return web_deployment(serve.ingress()(Web)).bind(replica, models, max_upload_bytes)


def served_models(settings: ServeSettings) -> list[ServedModel]:
    """The models that requests can ask for: the chosen one, and all methods that need no training.

    Raises:
        InputError: there is no such model, or it has no such inference options.
    """
    choice, aliases = _choose(settings)
    inference = check_inference(choice.method, read_choices(settings.set, "--set"), "--set")
    chosen = ServedModel(
        dataclasses.replace(choice, inference=inference),
        tuple(dict.fromkeys((choice.name, *aliases))),
        summary(choice.method),
        default_inference(choice.method, inference),
    )
    others = [
        ServedModel(ModelChoice(name, name, name), (name,), summary(name), {})
        for name in names(learned=False)
        # Weights that others have published are not fetched by a service.
        if name not in chosen.names and not needs_weights(name)
    ]
    return [chosen, *others]


def _choose(settings: ServeSettings) -> tuple[ModelChoice, list[str]]:
    """The default model, and further names for it."""
    given = [name for name in ("model", "checkpoint", "method") if getattr(settings, name) is not None]
    if len(given) > 1:
        raise InputError(f"--{given[0]} and --{given[1]} exclude each other; give one")
    if settings.checkpoint is not None:
        choice = choose_model(checkpoint=settings.checkpoint, tracking_uri=settings.tracking_uri)
    elif settings.method is not None:
        if settings.method == AUTO:
            raise InputError("--method: give a method's name; leave it out for the champion")
        choice = choose_model(settings.method, tracking_uri=settings.tracking_uri)
    else:
        try:
            choice = registered_model(settings.model or CHAMPION, settings.tracking_uri)
        except TrackingError:
            raise
        except InputError as error:
            raise InputError(f"{error}; or serve a method that needs no training: --method sift") from None
    aliases = [choice.method]
    if choice.version is not None:
        aliases.append(str(choice.version))
    if CHAMPION in (settings.model, settings.checkpoint) or not given:
        aliases.append(CHAMPION)
    return choice, aliases


class RayBackend:
    """The model deployment, as the web side sees it."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle
        self._app = serve.get_replica_context().app_name

    async def align(self, request: AlignRequest) -> Answer | Refusal:
        """See `Backend.align`."""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                return await self._handle.align.remote(request)
        except BackPressureError:
            retry = {"Retry-After": "2"}
            raise ServiceError(503, "too many requests are waiting; try again in a few seconds", retry) from None
        except TimeoutError:
            raise ServiceError(504, f"no result within {REQUEST_TIMEOUT_S:g} s; send smaller pictures") from None
        except (DeploymentUnavailableError, RayError) as error:
            retry = {"Retry-After": "10"}
            detail = f"the model is out of order ({type(error).__name__}); try again in a few seconds"
            raise ServiceError(503, detail, retry) from None

    async def check_ready(self) -> None:
        """See `Backend.check_ready`. Asks the controller, so that it answers at once while the model is busy."""
        status = await asyncio.to_thread(serve.status)
        app = status.applications.get(self._app)
        model = app.deployments.get(_MODEL_DEPLOYMENT) if app else None
        # A replica runs only after its constructor has aligned a test picture, and Serve keeps checking its health.
        if model is None or not any(count for state, count in model.replica_states.items() if state == "RUNNING"):
            raise ServiceError(503, "the model is not loaded", {"Retry-After": "5"})


class Web:
    """The web side: checks requests and never computes, so that it always answers."""

    def __init__(self, model: DeploymentHandle[Any], models: Sequence[ServedModel], max_upload_bytes: int) -> None:
        self._api = build_api(RayBackend(model), models, max_upload_bytes)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """What Serve asks for in the replica; the web application never has to be pickled."""
        return self._api
