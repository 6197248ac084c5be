"""How code that is written for threads waits: by itself, or in the way of an event loop.

The asynchronous client runs the same code as the synchronous one. Only the places that block a
thread differ, and this is what they call.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Answer = TypeVar("Answer")


class Blocking:
    """Blocks the thread of the caller."""

    def run(self, work: Callable[[], Answer]) -> Answer:
        """Run a function that blocks, for example a query, and return its answer.

        Raises:
            ReactionsUnavailable: too many of them wait already; only where threads are bounded.
            Exception: what the function raised.
        """
        return work()

    def wait(self, future: Future[Answer], timeout_s: float) -> Answer:
        """Return the answer of a future that another thread, or another call, completes.

        Raises:
            TimeoutError: it was not completed within ``timeout_s``.
            Exception: what the future has instead of an answer.
        """
        return future.result(timeout_s)


DIRECT = Blocking()
