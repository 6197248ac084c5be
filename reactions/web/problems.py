"""Every error of the service as RFC 9457 problem+json: what happened, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from reactions.core.errors import InvalidArgument, PostDeleted, ReactionsUnavailable, short

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_S = 1
"""After which a store that failed is worth another try; the library's own reads wait as long."""

NO_JSON = "the body is no JSON; send JSON, with the header Content-Type: application/json"

MAX_FIELDS = 10
"""Refused fields that an answer names."""


class Problem(BaseModel):
    """RFC 9457."""

    type: str = Field(description="Names the kind of problem; it does not change.")
    title: str
    status: int
    detail: str = Field(description="What happened in this case, and what to do.")


class Refusal(HTTPException):
    """A request that the service itself refuses."""

    def __init__(
        self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        super().__init__(status, detail, headers)


def unauthenticated() -> Refusal:
    """Of a request by nobody."""
    detail = "nobody is signed in with this request; sign in and send it again"
    return Refusal(401, "unauthenticated", detail, {"WWW-Authenticate": "Session"})


def too_many(status: int, kind: str, detail: str, retry_s: int) -> Refusal:
    """Of what may be tried again after some seconds, at least one."""
    detail = f"{detail}; try again in {retry_s} s"
    return Refusal(status, kind, detail, {"Retry-After": str(retry_s)})


def problem(
    status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """``kind`` is the end of its type."""
    body = Problem(
        type=f"urn:problem-type:reactions:{kind}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
    )
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer all errors of an application this way."""
    handlers: Mapping[type[Exception], Any] = {
        Refusal: _refusal,
        InvalidArgument: _invalid,
        PostDeleted: _deleted,
        ReactionsUnavailable: _unavailable,
        RequestValidationError: _malformed,
        HTTPException: _http,
        Exception: _defect,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _refusal(_: Request, error: Refusal) -> Response:
    return problem(error.status_code, error.kind, error.detail, error.headers)


async def _invalid(_: Request, error: InvalidArgument) -> Response:
    return problem(422, "invalid-argument", str(error))


async def _deleted(_: Request, error: PostDeleted) -> Response:
    return problem(410, "post-deleted", f"{error}; show the post no more")


async def _unavailable(_: Request, error: ReactionsUnavailable) -> Response:
    # Its message may name servers: that is for the log, not for everyone.
    log.warning("%s", error)
    detail = f"{error.store} does not answer; nothing is half-written, try again in {RETRY_S} s"
    return problem(503, "unavailable", detail, {"Retry-After": str(RETRY_S)})


async def _malformed(_: Request, error: RequestValidationError) -> Response:
    if any(map(_is_unread, error.errors())):
        return problem(400, "bad-request", NO_JSON)
    refused = [f"{_place(one['loc'])}: {short(one['msg'], 200)}" for one in error.errors()]
    more = "; ..." if len(refused) > MAX_FIELDS else ""
    return problem(422, "invalid-argument", "; ".join(refused[:MAX_FIELDS]) + more)


def _is_unread(one: Mapping[str, Any]) -> bool:
    """Whether the body as a whole is at fault: it is empty, broken, or not said to be JSON."""
    if one["loc"] != ("body",):
        return bool(one["type"] == "json_invalid")
    return one["type"] == "missing" or isinstance(one["input"], bytes)


def _place(parts: tuple[int | str, ...]) -> str:
    return short(".".join(map(str, parts)))


async def _http(_: Request, error: HTTPException) -> Response:
    kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    detail = f"{short(str(error.detail), 200)}; /openapi.json describes what there is"
    return problem(error.status_code, kind, detail, error.headers)


async def _defect(_: Request, _error: Exception) -> Response:  # the server logs it
    return problem(500, "defect", "a defect of the service; its log has the cause")


SAID: Mapping[int, str] = {
    400: "The body cannot be read.",
    401: "Nobody is signed in.",
    410: "The post was deleted.",
    413: "The body is too large.",
    422: "An argument is refused; nothing was done.",
    429: "Too often; `Retry-After` says how many seconds to wait.",
    500: "A defect of the service.",
    503: "A store does not answer; `Retry-After` says how many seconds to wait.",
}
WITH_RETRY = (429, 503)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: these errors of an operation."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    retry = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
    return {
        status: {"description": SAID[status], "content": content}
        | ({"headers": retry} if status in WITH_RETRY else {})
        for status in sorted(statuses)
    }
