"""Puts the service together."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from types import FrameType
from typing import Any

from fastapi import FastAPI

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.web import auth, problems, routes
from reactions.web.auth import Authenticator
from reactions.web.body_limit import BodyLimit
from reactions.web.rate_limit import RateLimiter
from reactions.web.stream import Hub


def create_app(client: Reactions, authenticate: Authenticator) -> FastAPI:
    """The service over a client, to be served or mounted.

    Args:
        client: closed by whoever made it, after the service has ended.
        authenticate: a FastAPI dependency that returns the user's id, or None for nobody.
    """
    limiter, hub = RateLimiter(client.settings), Hub(client)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        if threading.current_thread() is threading.main_thread():
            _on_end(hub.end)
        yield
        limiter.close()

    # No pages of documentation: they would load scripts from a CDN. /openapi.json is there.
    app = _App(
        title="reactions",
        version=version("reactions"),
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        kinds=tuple(client.settings.reaction_types),
    )
    app.state.client, app.state.limiter, app.state.hub = client, limiter, hub
    app.add_middleware(BodyLimit)
    signed_in = auth.signed_in(authenticate)
    app.include_router(routes.router, prefix="/v1", tags=["reactions"], dependencies=signed_in)
    app.include_router(routes.health)
    problems.install(app)
    return app


def from_environment() -> FastAPI:
    """For an ASGI server: ``uvicorn --factory reactions.web.app:from_environment``.

    Raises:
        InvalidSettings: the configuration cannot be used, or names no authenticator.
    """
    settings = Settings.from_env()
    authenticate = auth.load(settings)
    return create_app(Reactions(settings), authenticate)


def _on_end(call: Callable[[], None]) -> None:
    """Do this when the process is told to end, ahead of what the server does then.

    A server waits for open requests, and only then tells its application.
    """
    loop = asyncio.get_running_loop()

    def chain(before: Any) -> Callable[[int, FrameType | None], None]:  # noqa: ANN401 - a handler
        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(call)
            if callable(before):
                before(number, frame)

        return handle

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, chain(signal.getsignal(number)))


class _App(FastAPI):
    """With problems and the configured reaction types in its OpenAPI."""

    def __init__(self, *, kinds: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - FastAPI's
        super().__init__(**options)
        self._kinds = kinds

    def openapi(self) -> dict[str, Any]:
        """Made once."""
        if self.openapi_schema is None:
            made = super().openapi()
            made["components"]["schemas"]["Problem"] = problems.Problem.model_json_schema()
            _name_kinds(made, self._kinds)
        return self.openapi_schema or {}


def _name_kinds(node: object, kinds: tuple[str, ...]) -> None:
    """Wherever a schema is one of a reaction type."""
    if isinstance(node, Mapping):
        if node.get("format") == "reaction" and isinstance(node, dict):
            del node["format"]
            node["enum"] = list(kinds)
        for child in node.values():
            _name_kinds(child, kinds)
    elif isinstance(node, list):
        for child in node:
            _name_kinds(child, kinds)
