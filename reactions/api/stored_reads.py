"""Runs queries of the web tier. After a failure of PostgreSQL, reads fail at once for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from reactions.core.blocking import DIRECT, Blocking
from reactions.core.errors import ReactionsUnavailable
from reactions.core.instruments import fallback

DOWN_S = 1.0
"""How long reads fail at once after a failure of PostgreSQL, in seconds."""

Answer = TypeVar("Answer")


class StoredReads:
    """Runs and counts the queries of reads, and fails fast while PostgreSQL is down."""

    def __init__(self, blocking: Blocking = DIRECT) -> None:
        self.blocking = blocking
        self._down_until = 0.0

    def run(self, read: str, query: Callable[[], Answer]) -> Answer:
        """Run a query, and count it.

        Args:
            read: the kind of read, a label of the metric ``reactions_fallback_queries``.

        Raises:
            ReactionsUnavailable: PostgreSQL failed, now or within the last ``DOWN_S`` seconds.
        """
        self.check()
        return self.blocking.run(lambda: self._query(read, query))

    def _query(self, read: str, query: Callable[[], Answer]) -> Answer:
        self.check()  # it may have waited for a thread
        try:
            with fallback(read):
                return query()
        except ReactionsUnavailable:
            self._down_until = time.monotonic() + DOWN_S
            raise

    def check(self) -> None:
        """Raise if PostgreSQL failed a moment ago, so that no caller waits for it.

        Raises:
            ReactionsUnavailable: PostgreSQL failed within the last ``DOWN_S`` seconds.
        """
        if time.monotonic() < self._down_until:
            raise ReactionsUnavailable("postgresql", "PostgreSQL did not answer a moment ago")
