"""Which form of the answer a client wants."""

from __future__ import annotations

from typing import Literal

from .contract import ServiceError

AnswerFormat = Literal["png", "json"]
_TYPES: dict[str, AnswerFormat] = {"image/png": "png", "application/json": "json"}


def answer_format(asked: AnswerFormat | None, accept: str | None) -> AnswerFormat:
    """The form of the answer: what `format` asks for, else what the Accept header likes best; PNG where both do.

    Raises:
        ServiceError: 406, the header takes neither.
    """
    if asked or not accept:
        return asked or "png"
    quality = {form: _quality(media_type, accept) for media_type, form in _TYPES.items()}
    best = max(quality, key=lambda form: quality[form])
    if quality[best] <= 0:
        raise ServiceError(406, f"the answer is image/png or application/json, but Accept takes only '{accept}'")
    return best


def _quality(media_type: str, accept: str) -> float:
    """How much an Accept header likes a media type, in [0, 1] (RFC 9110, section 12.5.1: the closest range counts)."""
    ranges = {media_type: 3, f"{media_type.partition('/')[0]}/*": 2, "*/*": 1}
    closest, quality = 0, 0.0
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if ranges.get(name, 0) > closest:
            closest, quality = ranges[name], 1.0
            for parameter in parameters:
                key, _, value = parameter.partition("=")
                if key.strip() == "q":
                    try:
                        quality = float(value)
                    except ValueError:
                        quality = 0.0
    return quality
