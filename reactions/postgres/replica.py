"""Reads from a standby of PostgreSQL, fenced: it answers only if it has what the read must see.

A read names transactions: of each shard, the last one that committed changes which Redis no longer
has. The standby says whether it has replayed their commits, and then answers in the same
transaction. So the answer is that of the primary, however far the standby is behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Executable, text

from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.postgres.database import Database, array
from reactions.postgres.list_queries import ListQueries

Answer = TypeVar("Answer")

# The snapshot of a standby has no list of the transactions under way, so those that are neither
# older nor newer than all of it are asked for one by one. A status of NULL is that of a transaction
# whose status was dropped long ago.
_HAS_ALL = text("""
SELECT bool_and(
    CASE WHEN id < pg_snapshot_xmin(seen) THEN true
         WHEN id >= pg_snapshot_xmax(seen) THEN false
         ELSE coalesce(pg_xact_status(id), 'committed') = 'committed' END
)
FROM unnest(CAST(:transactions AS xid8[])) AS id, pg_current_snapshot() AS seen
""")

_IDENTITY = text("SELECT system_identifier FROM pg_control_system()")


class Behind(Exception):
    """The standby has not replayed a transaction that the read must see."""


class NoReplica(ReactionsUnavailable):
    """replica_url does not lead to a physical standby of the server at database_url."""


class Replica:
    """A standby that answers lists. Thread-safe."""

    def __init__(self, settings: Settings, primary: Database, timeout_s: float) -> None:
        """Make its pool, which connects when it is first needed.

        Args:
            settings: their replica_url is set.
            timeout_s: seconds to wait for a connection, and for a statement.
        """
        changed = {"database_url": settings.replica_url}
        self.database = Database(
            settings.model_copy(update=changed),
            name="reactions-replica",
            timeout_s=timeout_s,
            standby=True,
        )
        self._primary = primary
        self._lock = threading.Lock()
        self._known = False

    def read(self, transactions: Sequence[int], query: Callable[[ListQueries], Answer]) -> Answer:
        """Run a query on the standby. Takes four messages.

        Args:
            transactions: those that the standby must have; at least one.

        Raises:
            Behind: it does not have all of them.
            NoReplica: it is a copy of another server, so these numbers mean nothing to it.
            ReactionsUnavailable: it does not answer in time, or it refuses.
        """
        if not self._known:
            self.check_identity()
        with self.database.transaction() as connection:
            if not connection.scalar(_HAS_ALL, {"transactions": array(transactions)}):
                raise Behind
            return query(ListQueries(_OneTransaction(connection)))

    def of_space(self, settings: Settings) -> Self:
        """Return this standby with the tables of a space; it uses the same connections."""
        made = copy(self)
        made.database = self.database.of_space(settings)
        return made

    def check_identity(self) -> None:
        """Compare the identifiers of both systems, which a physical copy has in common.

        Raises:
            NoReplica: they differ.
            ReactionsUnavailable: one of the servers does not answer.
        """
        with self._lock:
            if self._known:
                return
            ((ours,),) = self.database.execute_at_once(_IDENTITY)
            ((theirs,),) = self._primary.execute_at_once(_IDENTITY)
            if ours != theirs:
                raise NoReplica(
                    "postgresql",
                    "replica_url leads to a copy of another server than database_url",
                    "let it name a physical standby, or unset it",
                )
            self._known = True

    def close(self) -> None:
        """Close its connections."""
        self.database.close()


class _OneTransaction:
    """Runs queries in a transaction that has begun."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, query: Callable[[Connection], Answer]) -> Answer:
        return query(self._connection)

    def execute_at_once(
        self, statements: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        return self._connection.execute(statements, parameters).all()
