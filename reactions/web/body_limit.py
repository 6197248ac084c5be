"""Rejects large request bodies before they are in memory. A valid body has about 60 bytes."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reactions.web.problems import Refusal

MAX_BODY = 4_096
"""In bytes."""


class BodyLimit:
    """ASGI middleware that lets an application read at most `MAX_BODY` bytes of a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application. Reading too large a body raises a Refusal with status 413."""
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                raise Refusal(413, "too-large", f"a body may have at most {MAX_BODY} bytes")
            return message

        await self._app(scope, limited, send)
