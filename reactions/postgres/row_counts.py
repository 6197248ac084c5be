"""Compares the counts table with the rows, one bounded slice at a time, while drains keep writing.

One statement, and so one snapshot, compares a post with few rows. A post with many rows needs many
transactions, which walk along the primary key. The table ``audits`` keeps the tally so far and the
position. A batch that changes a row before the position also corrects this tally, in
``ledger.RECORD``. At the end the tally therefore equals a count of all rows at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from reactions.core.constants import shard_of
from reactions.postgres.database import Database, array
from reactions.postgres.locks import LOCK, LOCK_CLASS
from reactions.postgres.tables import audits, reaction_counts
from reactions.postgres.tables import reactions as reactions_table

_row, _audit, _count = reactions_table.c, audits.c, reaction_counts.c

# Posts whose counts differ from their rows, in one snapshot. Counts at most `:limit` rows of a
# post, so that a post that is larger than its counts say cannot make the query slow.
_SUSPECTS = text("""
SELECT DISTINCT post_id
FROM (
    SELECT post_id, reaction, count(*) AS rows
    FROM unnest(CAST(:posts AS bigint[])) AS wanted (post_id) CROSS JOIN LATERAL (
        SELECT reaction FROM reactions AS r WHERE r.post_id = wanted.post_id LIMIT :limit
    ) AS found GROUP BY post_id, reaction
) AS tally FULL JOIN (
    SELECT post_id, reaction, count FROM reaction_counts
    WHERE post_id = ANY (CAST(:posts AS bigint[]))
) AS counted USING (post_id, reaction)
WHERE coalesce(rows, 0) <> coalesce(count, 0)
""")

_SLICE = text("""
SELECT reaction, count(*), max(user_id) FROM (
    SELECT user_id, reaction FROM reactions
    WHERE post_id = :post AND user_id > :position ORDER BY user_id LIMIT :limit
) AS slice GROUP BY reaction
""")


@dataclass(frozen=True, slots=True)
class Audited:
    """The result of one slice.

    Attributes:
        looked_at: how many rows the slice counted.
        finished: whether it reached the end of the post.
        differences: at the end, type code -> (number of rows, number in the counts table); empty
            until then.
    """

    looked_at: int
    finished: bool
    differences: Mapping[int, tuple[int, int]]


class RowCounts:
    """Compares counts with rows, and corrects the counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def suspects(self, post_ids: Sequence[int], max_rows: int) -> list[int]:
        """Return those of these posts whose counts differ from their rows. One query.

        Args:
            max_rows: most rows that any of these posts has by the counts table.
        """
        with self._database.transaction() as connection:
            values = {"posts": array(post_ids), "limit": max_rows + 1}
            return list(connection.scalars(_SUSPECTS, values))

    def unfinished(self) -> list[int]:
        """Return the posts whose audit has begun and not ended. One query."""
        with self._database.transaction() as connection:
            return list(connection.scalars(select(_audit.post_id).distinct()))

    def slice(self, post_id: int, limit: int, *, repair: bool) -> Audited:
        """Count the next rows of a post, at most ``limit``; at the end, compare the counts.

        One transaction, which locks the shard of the post.

        Args:
            repair: correct the counts that differ.
        """
        with self._database.transaction() as connection:
            connection.execute(LOCK, {"class": LOCK_CLASS, "shards": array([shard_of(post_id)])})
            position = connection.scalar(
                select(func.coalesce(func.max(_audit.position), 0)).where(_audit.post_id == post_id)
            )
            found = connection.execute(
                _SLICE, {"post": post_id, "position": position, "limit": limit}
            ).all()
            looked_at = sum(rows for _, rows, _ in found)
            if found:
                reached = max(last for _, _, last in found)
                _advance(connection, post_id, reached, {code: rows for code, rows, _ in found})
            if looked_at == limit:
                return Audited(looked_at, False, {})
            return Audited(looked_at, True, _conclude(connection, post_id, repair))


def _advance(connection: Connection, post_id: int, position: int, rows: Mapping[int, int]) -> None:
    added = insert(audits).values(
        [
            {"post_id": post_id, "reaction": code, "position": position, "rows": number}
            for code, number in rows.items()
        ]
    )
    connection.execute(
        added.on_conflict_do_update(
            index_elements=["post_id", "reaction"],
            set_={"rows": audits.c.rows + added.excluded.rows},
        )
    )
    connection.execute(audits.update().where(_audit.post_id == post_id).values(position=position))


def _conclude(connection: Connection, post_id: int, repair: bool) -> dict[int, tuple[int, int]]:
    tally = dict(
        connection.execute(
            delete(audits).where(_audit.post_id == post_id).returning(_audit.reaction, _audit.rows)
        ).all()
    )
    counted = dict(
        connection.execute(
            select(_count.reaction, _count.count).where(_count.post_id == post_id)
        ).all()
    )
    differences = {
        code: (tally.get(code, 0), counted.get(code, 0))
        for code in sorted(tally.keys() | counted.keys())
        if tally.get(code, 0) != counted.get(code, 0)
    }
    if differences and repair:
        right = insert(reaction_counts).values(
            [
                {"post_id": post_id, "reaction": code, "count": rows}
                for code, (rows, _) in differences.items()
            ]
        )
        connection.execute(
            right.on_conflict_do_update(
                index_elements=["post_id", "reaction"], set_={"count": right.excluded.count}
            )
        )
    return differences
