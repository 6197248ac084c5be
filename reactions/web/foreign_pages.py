"""Which pages may use the service in a browser: those of its own origin, and of listed origins.

A browser asks before it sends PUT or DELETE to another origin (CORS). That alone would not do: an
application that mounts the service may answer such questions for all of its paths.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from reactions.web.problems import problem

SAFE = ("GET", "HEAD", "OPTIONS")
REFUSED = "a page of another origin sent this; if it may, list its origin in REACTIONS_WEB_ORIGINS"


class ForeignPages(CORSMiddleware):
    """ASGI middleware that refuses writes from pages of origins that are not listed.

    Args:
        allowed: the origins that may read and write with the cookies of a user.
    """

    def __init__(self, app: ASGIApp, allowed: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=allowed,
            allow_methods=("GET", "PUT", "DELETE"),
            allow_headers=("*",),
            allow_credentials=True,
            expose_headers=("Retry-After",),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, or answer a question of a browser, or refuse the request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            asks = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
            if (asks or scope["method"] not in SAFE) and self._is_foreign(headers):
                await problem(403, "foreign-page", REFUSED)(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    def _is_foreign(self, headers: Headers) -> bool:
        """Whether a browser sent this for a page that may not. Other clients name no origin."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and self.is_allowed_origin(origin):
            return False
        if site is not None:  # the browser knows; a proxy may have changed the header Host
            return site not in ("same-origin", "none")
        return origin is not None and urlsplit(origin).netloc != headers.get("host", "").lower()
