"""Reads of PostgreSQL by the web tier. After a failure they do without it for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from reactions.core.errors import ReactionsUnavailable
from reactions.core.instruments import fallback

DOWN_S = 1.0
"""How long reads fail at once after PostgreSQL failed, before they try it again (seconds)."""

Answer = TypeVar("Answer")


class StoredReads:
    """Runs queries of reads, counts them, and fails fast while PostgreSQL is down."""

    def __init__(self) -> None:
        self._down_until = 0.0

    def ask(self, read: str, query: Callable[[], Answer]) -> Answer:
        """Run a query.

        Args:
            read: the kind of read, a label of the metric ``reactions_fallback_queries``.

        Raises:
            ReactionsUnavailable: PostgreSQL failed, now or within the last ``DOWN_S`` seconds.
        """
        self.check()
        try:
            with fallback(read):
                return query()
        except ReactionsUnavailable:
            self._down_until = time.monotonic() + DOWN_S
            raise

    def check(self) -> None:
        """Raise at once when PostgreSQL failed a moment ago, so that nobody waits for it.

        Raises:
            ReactionsUnavailable: it failed within the last ``DOWN_S`` seconds.
        """
        if time.monotonic() < self._down_until:
            raise ReactionsUnavailable("postgresql", "PostgreSQL did not answer a moment ago")
