"""The page at `/docs`, made from the OpenAPI document: it loads nothing from anywhere."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from ..platform.report import page, table

_EXAMPLE = """curl -F reference=@reference.png -F source=@source.png ORIGIN/v1/align -o aligned.png
curl -F reference=@reference.png -F source=@source.png -F format=json ORIGIN/v1/align"""

# Columns of words read better from the left than the report's columns of numbers.
_STYLE = "<style>th, td { text-align: left; white-space: normal; vertical-align: top }</style>"


def render(schema: dict[str, Any], origin: str) -> str:
    """An HTML page that tells the operations of an OpenAPI document.

    Args:
        schema: the document.
        origin: the service's address, for the examples.
    """
    sections = [("Try it", f"<pre>{html.escape(_EXAMPLE.replace('ORIGIN', origin))}</pre>{_STYLE}")]
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            sections.append((f"{method.upper()} {path}", _operation(operation, schema)))
    sections.append(("For machines", '<p>All of this as OpenAPI: <a href="openapi.json">openapi.json</a></p>'))
    return page(f"{schema['info']['title']} {schema['info']['version']}", sections, schema["info"]["description"])


def _operation(operation: dict[str, Any], schema: dict[str, Any]) -> str:
    parts = [f"<p>{html.escape(operation['summary'])}.</p>"]
    form = operation.get("requestBody", {}).get("content", {}).get("multipart/form-data", {}).get("schema")
    if form:
        parts.append("<p>Form fields; those that are no file may also stand in the query:</p>")
        parts.append(_fields(_resolve(form, schema), "required"))
    parts.append("<p>Answers:</p>")
    rows = [
        (status, response["description"], ", ".join(response.get("content", {})))
        for status, response in sorted(operation["responses"].items())
    ]
    parts.append(table(("status", "meaning", "form"), rows))
    for name, model in _answers(operation, schema):
        parts.append(f"<p>{html.escape(name)}:</p>{_fields(model, '')}")
    headers = operation["responses"]["200"].get("headers", {})
    if headers:
        entries = [(name, entry["description"]) for name, entry in headers.items()]
        parts.append(f"<p>Headers of the PNG answer:</p>{table(('header', 'meaning'), entries)}")
    return "\n".join(parts)


def _answers(operation: dict[str, Any], schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for media_type, entry in operation["responses"]["200"].get("content", {}).items():
        model = _resolve(entry.get("schema", {}), schema)
        if model.get("properties"):
            yield f"Fields of {media_type}", model


def _fields(model: dict[str, Any], required: str) -> str:
    """A table of fields; those that must be there are marked with the word `required`, if any."""
    marked = set(model.get("required", [])) if required else set()
    rows = [
        (name, f"{_type(entry)}{f', {required}' if name in marked else ''}", entry.get("description", ""))
        for name, entry in model["properties"].items()
    ]
    return table(("field", "type", "meaning"), rows)


def _type(entry: dict[str, Any]) -> str:
    if "contentMediaType" in entry or entry.get("format") == "binary":
        return "file"
    if "enum" in entry:
        return " or ".join(entry["enum"])
    if "anyOf" in entry:
        return " or ".join(_type(each) for each in entry["anyOf"])
    if entry.get("type") == "array":
        return f"list of {_type(entry['items'])}"
    if "$ref" in entry:
        return str(entry["$ref"].rpartition("/")[2])
    return str(entry.get("type", "any"))


def _resolve(entry: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = entry.get("$ref")
    return schema["components"]["schemas"][reference.rpartition("/")[2]] if reference else entry
