"""Answers the requests that come most often without FastAPI: writes, and feeds.

FastAPI takes several times as long for them as the engine does. What is answered here is a request
that is well formed in the usual way; any other one goes to FastAPI, which refuses it, or answers
it in the same words. Errors are answered by the handlers of the application. So validation, errors
and OpenAPI stay where they are: in ``routes``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reactions.api.client import MAX_SUMMARIES
from reactions.core.constants import MAX_ID
from reactions.web import routes
from reactions.web.auth import Authenticator, check_user
from reactions.web.direct_auth import direct
from reactions.web.direct_json import FeedWriter, outcome_json
from reactions.web.running import Running
from reactions.web.schemas import Wanted

_REACTION = re.compile(r"/v1/posts/([1-9][0-9]{0,18})/reaction")
_FEED = "/v1/summaries"
_QUERY = re.compile(rb"post_id=[1-9][0-9]{0,18}(?:&post_id=[1-9][0-9]{0,18})*")
_JSON = (b"application/json", b"application/json; charset=utf-8")


class DirectRoutes:
    """ASGI middleware, before the routes of the service."""

    def __init__(self, app: ASGIApp, service: FastAPI, authenticate: Authenticator) -> None:
        self._app = app
        self._service = service
        self._user_of = direct(authenticate)
        self._ways: Running = service.state.running
        self._writer = FeedWriter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or run the application."""
        if scope["type"] != "http" or self._user_of is None or self._service.dependency_overrides:
            await self._app(scope, receive, send)
            return
        path, method = _path(scope), scope["method"]
        if method == "GET" and path == _FEED:
            if posts := _posts(scope["query_string"]):
                await self._answer(scope, receive, send, self._feed, posts)
                return
        elif method in ("PUT", "DELETE") and (post_id := _post(path)):
            reaction = None
            if method == "PUT":
                receive, reaction = await self._wanted(scope, receive)
            if reaction is not None or method == "DELETE":
                await self._answer(scope, receive, send, self._write, (post_id, reaction))
                return
        await self._app(scope, receive, send)

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        work: Any,  # noqa: ANN401 - one of the two methods below
        about: Any,  # noqa: ANN401 - its argument
    ) -> None:
        request = Request(scope, receive)
        assert self._user_of is not None  # noqa: S101 - __call__ has looked
        try:
            user = check_user(await self._user_of(request))
            body = await work(user, about)
        except Exception as error:
            handler = next(
                (
                    self._service.exception_handlers[kind]
                    for kind in type(error).__mro__
                    if kind is not Exception and kind in self._service.exception_handlers
                ),
                None,
            )
            if handler is None:
                raise
            made: Any = handler(request, error)
            response = await made if inspect.isawaitable(made) else made
            await response(scope, receive, send)
            return
        headers = [
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),  # the answer is for this user alone
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _write(self, user: int, about: tuple[int, str | None]) -> bytes:
        return outcome_json(await routes.write(self._ways, user, *about))

    async def _feed(self, user: int, posts: Sequence[int]) -> bytes:
        items, missing = await routes.feed(self._ways, user, posts)
        return self._writer.feed_json(items, missing)

    @staticmethod
    async def _wanted(scope: Scope, receive: Receive) -> tuple[Receive, str | None]:
        """Return the reaction in the body, None if it is not as it should be.

        The first part is what FastAPI then receives: the body once more.
        """
        kinds = [value for name, value in scope["headers"] if name == b"content-type"]
        if len(kinds) != 1 or kinds[0].lower() not in _JSON:
            return receive, None
        seen: list[Message] = []
        parts: list[bytes] = []
        try:
            while True:
                message = await receive()
                seen.append(message)
                parts.append(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    break
        except Exception as error:  # noqa: BLE001 - FastAPI meets it again
            return _again(seen, receive, error), None
        try:
            return receive, Wanted.model_validate_json(b"".join(parts)).reaction
        except ValidationError:
            return _again(seen, receive), None


def _again(seen: list[Message], receive: Receive, error: Exception | None = None) -> Receive:
    """Return what receives these messages once more, and then what comes next."""
    left = iter(seen)

    async def once_more() -> Message:
        for message in left:
            return message
        if error is not None:
            raise error
        return await receive()

    return once_more


def _path(scope: Scope) -> str:
    """Return the path below the place where the service is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _post(path: str) -> int | None:
    """Return the post whose reaction a path names; None if it names none."""
    found = _REACTION.fullmatch(path)
    post_id = int(found[1]) if found else 0
    return post_id if 1 <= post_id <= MAX_ID else None


def _posts(query: bytes) -> list[int] | None:
    """Return the posts of a feed; None if the query is not as it usually is."""
    if not _QUERY.fullmatch(query):
        return None
    posts = [int(part[8:]) for part in query.split(b"&")]
    return posts if len(posts) <= MAX_SUMMARIES and max(posts) <= MAX_ID else None
