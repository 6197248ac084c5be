"""Threads for what has no asynchronous form: queries, and writes that replicas confirm.

Warm reads and plain writes need none of them. A query takes a millisecond or more, beside which the
way to a thread and back is small: docs/benchmarks/asyncio.md has the figures.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar

from reactions.aio.greenlets import wait
from reactions.core.blocking import Blocking
from reactions.core.errors import ReactionsUnavailable

Answer = TypeVar("Answer")

MAX_THREADS = 8
"""Threads of one client, and so the queries that it runs at once."""

MAX_WAITING = 200
"""Calls that wait for a thread, or have one. Further ones fail at once."""


class Threads(Blocking):
    """Blocks a thread of a small pool, not the event loop. It works in ``Greenlets.run`` only."""

    def __init__(self, store: str, most: int, wait_s: float) -> None:
        """
        Args:
            store: what the threads wait for: ``redis`` or ``postgresql``.
            most: threads, and so calls at once.
            wait_s: how long a call waits for a thread, in seconds.
        """
        self._store = store
        self._most = most
        self._wait_s = wait_s
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._busy = 0

    def run(self, work: Callable[[], Answer]) -> Answer:
        if self._busy >= MAX_WAITING:
            raise ReactionsUnavailable(
                self._store, f"{MAX_WAITING} calls of this process wait for it already"
            )
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._most, "reactions-aio")
        context, until = copy_context(), time.monotonic() + self._wait_s

        def call() -> Answer:
            if time.monotonic() > until:
                raise ReactionsUnavailable(
                    self._store, f"no thread was free for the call within {self._wait_s:g} s"
                )
            return context.run(work)

        with self._lock:
            self._busy += 1
        future = self._pool.submit(call)
        future.add_done_callback(self._ended)
        return wait(asyncio.wrap_future(future))

    def _ended(self, _: Future[Answer]) -> None:
        with self._lock:
            self._busy -= 1

    def wait(self, future: Future[Answer], timeout_s: float) -> Answer:
        loop = asyncio.get_running_loop()
        done = loop.create_future()  # not the future itself: a cancelled caller would cancel it

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        def tell(_: Future[Answer]) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(wake)

        future.add_done_callback(tell)
        wait(asyncio.wait_for(done, timeout_s))
        return future.result(0)

    def close(self) -> None:
        """Let the calls that are under way end, and drop those that wait."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
