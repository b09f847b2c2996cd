"""What passes between the web side and the model side: plain, picklable records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..methods.errors import RaylignError
from ..platform.alignment import ModelChoice
from ..platform.inference import Chosen

FIELD = "field 'set'"
"""What error lines call the inference options of a request."""


@dataclass(frozen=True)
class ServedModel:
    """One model that a request can ask for."""

    choice: ModelChoice
    names: tuple[str, ...]
    """All names it answers to; the first is the one that is shown."""
    summary: str
    """What its method does, in a few words."""
    inference: dict[str, Any]
    """Its inference options, and what they are where a request sets none."""


@dataclass(frozen=True)
class AlignRequest:
    """One checked request."""

    reference: bytes
    """A picture file."""
    source: bytes
    """A picture file."""
    model: int
    """Index into the served models; 0 is the default."""
    alpha: bool
    force: bool
    inference: Chosen = ()
    """Inference options instead of the model's own."""


@dataclass(frozen=True)
class Answer:
    """A result."""

    png: bytes
    """The very bytes that `raylign align` writes."""
    facts: dict[str, Any]
    """As `AlignedPicture.facts`."""


@dataclass(frozen=True)
class Refusal:
    """Why there is no result, in one line. Exceptions would cross processes with their tracebacks."""

    status: int
    detail: str


class ServiceError(RaylignError):
    """An answer other than success; `http_status` and the message are what the client sees."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.http_status = status
        self.headers = headers or {}


class Backend(Protocol):
    """Whatever aligns for the web side: the model deployment, or a stand-in."""

    async def align(self, request: AlignRequest) -> Answer | Refusal:
        """Align one pair.

        Raises:
            ServiceError: overloaded, too slow, or out of order.
        """

    async def check_ready(self) -> None:
        """Return if the model is loaded.

        Raises:
            ServiceError: it is not (any more).
        """
