"""The asynchronous client as the tests of the synchronous one want it: each call waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import reactions.aio
from reactions.core.settings import Settings
from reactions.redis.connection import connect


class InLoop:
    """Has the methods of ``reactions.Reactions``; the event loop of a thread carries them out."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.twin = reactions.aio.Reactions(settings)
        self.settings = self.twin.settings

        self._known = self.twin.engine._known
        self._client = connect(self.settings)

    @property
    def _reads(self) -> Any:
        """The read path, as the tests of the synchronous client reach for it."""
        path = self.twin.engine._reads
        made = self.run(self._in_greenlet(path.reads))
        return SimpleNamespace(reads=lambda: made)

    async def _in_greenlet(self, call: Callable[[], Any]) -> Any:
        return await self.twin.run(call)

    def run(self, coroutine: Any) -> Any:
        """Return the answer of a coroutine that the loop runs."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(reactions.aio.Reactions, name)

        async def call(*args: Any, **named: Any) -> Any:
            if isinstance(method, property):
                return await getattr(self.twin, name)
            return await method(self.twin, *args, **named)

        if isinstance(method, property):
            return self.run(call())  # type: ignore[no-any-return] # a value, no method
        return lambda *args, **named: self.run(call(*args, **named))

    def close(self) -> None:
        if not self.loop.is_closed():
            self.run(self.twin.close())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()
            self._client.close()

    def __enter__(self) -> InLoop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
