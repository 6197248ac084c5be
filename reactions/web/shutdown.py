"""Ends open streams before the server shuts down."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


def call_before_shutdown(call: Callable[[], None]) -> None:
    """Call a function in the event loop on SIGTERM and SIGINT, before the server handles them.

    An ASGI server first waits for open requests and only then tells its application, so a stream
    would delay the shutdown. Must be called in the main thread.
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
