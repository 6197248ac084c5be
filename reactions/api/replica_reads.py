"""Runs the queries of lists on the replica when it may answer, and otherwise on the primary."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from reactions.api.stored_reads import StoredReads
from reactions.core.errors import ReactionsUnavailable
from reactions.core.instruments import REPLICA_READS

if TYPE_CHECKING:
    from reactions.postgres.list_queries import ListQueries
    from reactions.postgres.replica import Replica

REST_S = 5.0
"""A replica that failed is left alone for so long (s). Then one read finds out about it."""

BEHIND_S = 0.5
"""So is one that was behind twice in a row: each such read costs a round trip for nothing."""

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class ReplicaReads:
    """Runs and counts the queries of lists."""

    def __init__(
        self, primary: ListQueries, stored: StoredReads, replica: Replica | None = None
    ) -> None:
        self.replica = replica
        self._primary = primary
        self._stored = stored
        self._resting_until = 0.0
        self._behind = 0
        self._failed = False

    def run(
        self,
        read: str,
        transactions: Sequence[int],
        query: Callable[[ListQueries], Answer],
    ) -> Answer:
        """Run a query on the replica, if it has these transactions, and else on the primary.

        Args:
            read: the kind of read, a label of the metric ``reactions_fallback_queries``.
            transactions: those of `Replica.read`; none when they are not known.

        Raises:
            ReactionsUnavailable: neither answered.
        """
        replica = self.replica
        if replica is not None and transactions and self._may_ask():
            from reactions.postgres.replica import Behind

            try:
                answer = self._stored.blocking.run(lambda: replica.read(transactions, query))
            except Behind:
                self._note_behind()
            except ReactionsUnavailable as error:
                self._note_failure(error)
            else:
                self._behind, self._failed = 0, False
                REPLICA_READS.labels("answered").inc()
                return answer
        return self._stored.run(read, lambda: query(self._primary))

    def _may_ask(self) -> bool:
        now = time.monotonic()
        if now < self._resting_until:
            return False
        if self._failed:  # the other reads do not wait for this one
            self._resting_until = now + REST_S
        return True

    def _note_behind(self) -> None:
        REPLICA_READS.labels("behind").inc()
        self._failed = False
        self._behind += 1
        self._resting_until = time.monotonic() + BEHIND_S if self._behind > 1 else 0.0

    def _note_failure(self, error: ReactionsUnavailable) -> None:
        REPLICA_READS.labels("failed").inc()
        if not self._failed:
            log.warning("the replica does not answer, so the primary does: %s", error)
        self._failed = True
        self._resting_until = time.monotonic() + REST_S
