"""The OpenAPI document: FastAPI's own, with problems, a security scheme and today's types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic.json_schema import models_json_schema

from reactions.core.type_registry import ReactionType
from reactions.web.problems import Problem
from reactions.web.schemas import Change

SCHEMAS = "#/components/schemas/{model}"
STREAMED = ("Change", "ReactionTypes")
"""What the events of the stream have as their data; the second one those named ``types``."""

SIGNED_IN = {
    "type": "http",
    "scheme": "session",
    "description": (
        "The authenticator of this deployment finds the user in the request, for example by a"
        " session cookie. It declares no scheme of its own."
    ),
}
"""The security scheme of an authenticator that declares none."""


class DescribedApp(FastAPI):
    """An application whose OpenAPI document names what FastAPI does not know.

    Args:
        types: returns the reaction types. The document lists them as they are when it is read.
    """

    def __init__(self, *, types: Callable[[], Sequence[ReactionType]], **options: Any) -> None:  # noqa: ANN401 - FastAPI's
        self._types = types
        super().__init__(**options)

    def setup(self) -> None:
        """Serve the document only: pages of documentation would load scripts from a CDN."""
        self.add_route("/openapi.json", self._answer, include_in_schema=False)

    def openapi(self) -> dict[str, Any]:
        """Return the document. It may ask Redis for the reaction types, so it may block."""
        if self.openapi_schema is None:
            made = super().openapi()
            _, found = models_json_schema(
                [(Problem, "serialization"), (Change, "serialization")], ref_template=SCHEMAS
            )
            made["components"]["schemas"].update(found["$defs"])
            events = made["paths"]["/v1/stream"]["get"]["responses"]["200"]["content"]
            item = events["text/event-stream"]["itemSchema"]["properties"]["data"]
            item["contentMediaType"] = "application/json"
            item["contentSchema"] = {
                "anyOf": [{"$ref": SCHEMAS.format(model=model)} for model in STREAMED]
            }
            _secure(made)
        document = deepcopy(self.openapi_schema or {})
        types = self._types()
        _name_types(
            document,
            {
                "reaction": [known.name for known in types],
                "reaction-given": [known.name for known in types if not known.retired],
            },
        )
        return document

    def _answer(self, request: Request) -> JSONResponse:
        """Answer in a thread, with the address where the application is mounted."""
        document = self.openapi()
        mounted_at = request.scope.get("root_path", "").rstrip("/")
        if mounted_at:
            document["servers"] = [{"url": mounted_at}]
        return JSONResponse(document)


def _secure(document: dict[str, Any]) -> None:
    """Name a security scheme for every operation under ``/v1`` that has none."""
    open_ = [
        operation
        for path, item in document["paths"].items()
        for operation in item.values()
        if path.startswith("/v1/") and not operation.get("security")
    ]
    if open_:
        document["components"].setdefault("securitySchemes", {})["signedIn"] = SIGNED_IN
    for operation in open_:
        operation["security"] = [{"signedIn": []}]


def _name_types(node: object, names: Mapping[str, Sequence[str]]) -> None:
    """Replace the formats of reaction types in every schema by the list of their names."""
    if isinstance(node, dict) and node.get("format") in names:
        node["enum"] = list(names[node.pop("format")])
    for child in _children(node):
        _name_types(child, names)


def _children(node: object) -> Iterator[object]:
    if isinstance(node, Mapping):
        yield from node.values()
    elif isinstance(node, list):
        yield from node
