"""Assembles the service."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from starlette.types import ASGIApp

from reactions.api.client import Reactions
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.core.type_registry import ReactionType, configured
from reactions.postgres.address import parameters_of
from reactions.postgres.layout import check_at_start
from reactions.redis.connection import connect
from reactions.web import auth, problems, routes
from reactions.web.auth import Authenticator
from reactions.web.body_limit import BodyLimit
from reactions.web.direct_routes import DirectRoutes
from reactions.web.foreign_pages import ForeignPages
from reactions.web.openapi import DescribedApp
from reactions.web.running import running
from reactions.web.spaces import Spaces, router_of

log = logging.getLogger(__name__)


class _Service(DescribedApp):
    """Has `ForeignPages` around everything: a listed page can read the answer to a defect, too."""

    def build_middleware_stack(self) -> ASGIApp:
        inner = super().build_middleware_stack()
        return ForeignPages(inner, allowed=self.state.client.settings.web_origins)


def create_app(client: Reactions, authenticate: Authenticator) -> FastAPI:
    """Return the service over a client. It can be served alone, or mounted in another application.

    Args:
        client: the caller closes it after the service has ended.
        authenticate: a FastAPI dependency that returns the user's id, or None if nobody is
            signed in.

    Raises:
        LayoutMismatch: this version does not work with the keys in Redis.
        InvalidSettings: database_url cannot be used; the client itself says so at its first read.
        TypesMismatch: the configured reaction types contradict the registry.
    """
    parameters_of(client.settings.database_url.get_secret_value())
    ways, readiness = running(client), connect(client.settings)
    spaces = Spaces(ways)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = client.settings.web_threads
        yield
        await ways.close()
        readiness.close()

    types = _types(client)
    app = _Service(title="reactions", version=version("reactions"), lifespan=lifespan, types=types)
    app.state.client, app.state.running, app.state.spaces = client, ways, spaces
    app.state.readiness = readiness
    app.add_middleware(DirectRoutes, service=app, authenticate=authenticate)
    app.add_middleware(BodyLimit)
    signed_in = auth.signed_in(authenticate)
    app.include_router(routes.router, prefix="/v1", tags=["reactions"], dependencies=signed_in)
    if client.settings.spaces:
        of_spaces = router_of(routes.router)
        app.include_router(of_spaces, prefix="/v1", tags=["spaces"], dependencies=signed_in)
    app.include_router(routes.health)
    problems.install(app)
    return app


def _types(client: Reactions) -> Callable[[], Sequence[ReactionType]]:
    """Return a function that lists the reaction types of all spaces, once each.

    Without the stores, they are the configured ones.

    Raises:
        TypesMismatch: the configured reaction types contradict the registry.
    """

    def types_of(space: Reactions) -> Sequence[ReactionType]:
        try:
            return space.types()
        except ReactionsUnavailable as error:
            log.warning("reaction types not checked: %s", error)
            return configured(space.settings.reaction_types).types

    def types() -> Sequence[ReactionType]:
        found: dict[str, ReactionType] = {}
        for name in client.settings.space_names:
            for known in types_of(client.space(name)):
                found.setdefault(known.name, known)
        return list(found.values())

    types()
    return types


def from_environment() -> FastAPI:
    """Return the service that the environment configures.

    For an ASGI server: ``uvicorn --factory reactions.web.app:from_environment``.

    Raises:
        InvalidSettings: a setting is invalid, or there is no authenticator.
        LayoutMismatch: this version does not work with what a store holds.
        TypesMismatch: the configured reaction types contradict the registry.
    """
    settings = Settings.from_env()
    authenticate = auth.load(settings)
    check_at_start(settings, "reactions-web-start")
    return create_app(Reactions(settings), authenticate)
