"""The writes of drains to PostgreSQL: reactions with their counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass

from sqlalchemy import select, text

from reactions.core.constants import shard_of
from reactions.core.model import Row
from reactions.core.shard_times import ShardTimes
from reactions.postgres.database import Database, RowsRefused, array
from reactions.postgres.tables import TOUCHED_EVERY_US, forgotten_users

__all__ = ["RECORD", "Ledger", "Recorded", "RowsRefused"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a transaction did.

    Attributes:
        counts: post -> type code -> count after the transaction, for every post in the batch.
        changed: how many rows changed; the table already had the others, or newer ones.
        deleted: posts that are deleted; the transaction wrote none of their rows.
        older: posts for which the table had a newer row. Redis then lost data, and what it caches
            of these posts is wrong.
        transaction: the number of the transaction (PostgreSQL's ``xid8``), of 64 bits.
    """

    counts: Mapping[int, Mapping[int, int]]
    changed: int
    deleted: Set[int]
    older: Set[int]
    transaction: int = 0


RECORD = text("""
SELECT post_id, reaction, count FROM record_reactions(
    CAST(:shards AS int[]), CAST(:posts AS bigint[]), CAST(:users AS bigint[]),
    CAST(:codes AS smallint[]), CAST(:versions AS bigint[]), CAST(:touched AS bigint[]), :every
)
UNION ALL SELECT 0, 1::smallint, pg_current_xact_id()::text::bigint
""")
"""One call of the function of migration 0012, where its statements are."""


class Ledger:
    """Writes batches of reactions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, rows: Sequence[Row]) -> Recorded:
        """Write a batch in one transaction: the newest version wins, and counts move with rows.

        Recording a batch twice has the effect of recording it once: a row changes only when its
        version is newer. The batch leaves out rows of deleted posts, and rows of forgotten users
        from before the user was forgotten. Two batches of one shard run one after the other: each
        takes an advisory lock for every shard, in ascending order, so that they cannot deadlock.

        Args:
            rows: at most one for each (post, user).

        Raises:
            RowsRefused: the database refuses the data of a row; nothing was written.
            ReactionsUnavailable: the database cannot be reached. Either nothing was written, or the
                answer was lost after the commit; recording the same batch again is safe.
        """
        rows = sorted(rows, key=lambda row: (row.post_id, row.user_id))
        touched = {row.post_id for row in rows}
        shards = sorted({shard_of(post_id) for post_id in touched})
        found = self._database.execute_at_once(
            RECORD,
            {
                "shards": array(shards),
                "posts": array(row.post_id for row in rows),
                "users": array(row.user_id for row in rows),
                "codes": array(row.reaction for row in rows),
                "versions": array(row.version for row in rows),
                "touched": array(touched),
                "every": TOUCHED_EVERY_US,
            },
        )
        counts: dict[int, dict[int, int]] = {post_id: {} for post_id in touched}
        changed = transaction = 0
        deleted: set[int] = set()
        older: set[int] = set()
        for post_id, code, count in found:
            if not post_id and code:
                transaction = count
            elif not post_id:
                changed = count
            elif code == -1:
                deleted.add(post_id)
            elif code == -2:
                older.add(post_id)
            elif code:
                counts[post_id][code] = count
        return Recorded(counts, changed, deleted, older, transaction)

    def forgotten(self, user_ids: Collection[int]) -> dict[int, ShardTimes]:
        """Return the forgotten ones of these users, with the newest versions that are refused."""
        table = forgotten_users.c
        wanted = select(table.user_id, table.before, table.ahead)
        with self._database.transaction() as connection:
            found = connection.execute(wanted.where(table.user_id.in_(user_ids))).all()
        return {
            user: ShardTimes(before, {int(shard): version for shard, version in ahead.items()})
            for user, before, ahead in found
        }
