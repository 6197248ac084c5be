"""The OpenAPI document: FastAPI's own, with the problems and the configured reaction types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from reactions.web.problems import Problem


class DescribedApp(FastAPI):
    """An application whose OpenAPI document names the problems and the reaction types."""

    def __init__(self, *, kinds: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - FastAPI's
        super().__init__(**options)
        self._kinds = kinds

    def openapi(self) -> dict[str, Any]:
        """Return the document. The first call makes it."""
        if self.openapi_schema is None:
            made = super().openapi()
            made["components"]["schemas"]["Problem"] = Problem.model_json_schema()
            _name_kinds(made, self._kinds)
        return self.openapi_schema or {}


def _name_kinds(node: object, kinds: tuple[str, ...]) -> None:
    """Replace the format ``reaction`` in every schema by the list of reaction types."""
    if isinstance(node, Mapping):
        if node.get("format") == "reaction" and isinstance(node, dict):
            del node["format"]
            node["enum"] = list(kinds)
        for child in node.values():
            _name_kinds(child, kinds)
    elif isinstance(node, list):
        for child in node:
            _name_kinds(child, kinds)
