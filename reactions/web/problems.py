"""Answers every error as RFC 9457 problem+json, which says what happened and what to do."""

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
"""How long a client should wait for a store; the library's own reads wait as long."""

NO_JSON = "the body is not JSON; send JSON with the header Content-Type: application/json"

MAX_FIELDS = 10
"""An answer names at most this many invalid fields."""


class Problem(BaseModel):
    """A problem of RFC 9457."""

    type: str = Field(description="The kind of problem. It never changes.")
    title: str
    status: int
    detail: str = Field(description="What happened in this case, and what to do.")


class Refusal(HTTPException):
    """The service itself refuses a request. `kind` is the end of the problem's type."""

    def __init__(
        self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        super().__init__(status, detail, headers)


def unauthenticated() -> Refusal:
    """Return the refusal of a request without a signed-in user."""
    detail = "the request has no signed-in user; sign in and send it again"
    return Refusal(401, "unauthenticated", detail, {"WWW-Authenticate": "Session"})


def retry_later(status: int, kind: str, detail: str, retry_s: int) -> Refusal:
    """Return a refusal that asks the client to try again after `retry_s` seconds, 1 or more."""
    detail = f"{detail}; try again in {retry_s} s"
    return Refusal(status, kind, detail, {"Retry-After": str(retry_s)})


def problem(
    status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return a problem as a response. `kind` is the end of its type."""
    body = Problem(
        type=f"urn:problem-type:reactions:{kind}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
    )
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make an application answer all its errors as problems."""
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
    return problem(410, "post-deleted", f"{error}; stop showing the post")


async def _unavailable(_: Request, error: ReactionsUnavailable) -> Response:
    # The message may name servers, which clients must not learn.
    log.warning("%s", error)
    detail = f"{error.store} does not answer; it is safe to try again in {RETRY_S} s"
    return problem(503, "unavailable", detail, {"Retry-After": str(RETRY_S)})


async def _malformed(_: Request, error: RequestValidationError) -> Response:
    if any(map(_is_unread, error.errors())):
        return problem(400, "bad-request", NO_JSON)
    invalid = [f"{_place(one['loc'])}: {short(one['msg'], 200)}" for one in error.errors()]
    more = "; ..." if len(invalid) > MAX_FIELDS else ""
    return problem(422, "invalid-argument", "; ".join(invalid[:MAX_FIELDS]) + more)


def _is_unread(one: Mapping[str, Any]) -> bool:
    """Whether the whole body is at fault: empty, broken, or without the JSON content type."""
    if one["loc"] != ("body",):
        return bool(one["type"] == "json_invalid")
    return one["type"] == "missing" or isinstance(one["input"], bytes)


def _place(parts: tuple[int | str, ...]) -> str:
    return short(".".join(map(str, parts)))


async def _http(_: Request, error: HTTPException) -> Response:
    kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    detail = f"{short(str(error.detail), 200)}; /openapi.json lists the endpoints"
    return problem(error.status_code, kind, detail, error.headers)


async def _defect(_: Request, _error: Exception) -> Response:  # the server logs it
    return problem(500, "defect", "the service has a defect; its log has the cause")


DESCRIPTIONS: Mapping[int, str] = {
    400: "The body cannot be read.",
    401: "Nobody is signed in.",
    403: "A page of an origin that is not listed sent it.",
    404: "There is no such space.",
    410: "The post was deleted.",
    413: "The body is too large.",
    422: "An argument is invalid; the request changed nothing.",
    429: "Too many requests; `Retry-After` says how many seconds to wait.",
    500: "The service has a defect.",
    503: "A store does not answer; `Retry-After` says how many seconds to wait.",
}
WITH_RETRY = (429, 503)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of an operation for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    retry = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
    return {
        status: {"description": DESCRIPTIONS[status], "content": content}
        | ({"headers": retry} if status in WITH_RETRY else {})
        for status in sorted(statuses)
    }
