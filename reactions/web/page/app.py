"""Assembles the service of the demo: the API, the page and the engine room."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.web.app import create_app
from reactions.web.demo_auth import chosen_user
from reactions.web.page import routes
from reactions.web.page.burst import Burst
from reactions.web.page.docs import docs_router
from reactions.web.page.figures import Gauges
from reactions.web.page.ids import STATIC
from reactions.web.page.worker_killer import WorkerKiller

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # the browser revalidates each time, and gets 304 if unchanged
}


class _Files(StaticFiles):
    """Serves the files with security headers."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def create_page(settings: Settings, folder: Path, flower: str | None = None) -> FastAPI:
    """Return the service of a stack on this machine.

    Args:
        folder: the state folder of the stack.
        flower: the URL of Flower without its password, if the stack has Flower.
    """
    client = Reactions(settings)
    app = create_app(client, chosen_user)
    app.state.gauges = Gauges(settings)
    app.state.burst = Burst(client, app.state.gauges.outbox, app.state.gauges.queries)
    app.state.flower = flower
    app.state.killer = WorkerKiller(settings, folder)
    # DNS rebinding: a foreign name that resolves to this machine would share its page's origin.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    app.include_router(routes.router)
    app.include_router(docs_router(HEADERS))
    app.mount("/", _Files(directory=STATIC, html=True))
    return app
