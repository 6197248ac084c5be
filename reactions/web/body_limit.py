"""Refuses large bodies before they are in memory: the largest that is meant has some 60 bytes."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reactions.web.problems import Refusal

MAX_BODY = 4_096


class BodyLimit:
    """Lets an ASGI application see at most so many bytes of a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What is beyond is refused where it is read."""
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                raise Refusal(413, "too-large", f"a body has at most {MAX_BODY} bytes here")
            return message

        await self._app(scope, bounded, send)
