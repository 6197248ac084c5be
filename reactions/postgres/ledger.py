"""The writes of drains to PostgreSQL: reactions with their counts, and the reaction types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from reactions.core.constants import shard_of
from reactions.core.errors import TypesMismatch
from reactions.core.model import Row
from reactions.postgres.database import Database, RowsRefused, array
from reactions.postgres.locks import LOCK_CLASS
from reactions.postgres.tables import TOUCHED_EVERY_US, reaction_types

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
    """

    counts: Mapping[int, Mapping[int, int]]
    changed: int
    deleted: Set[int]
    older: Set[int]


# The driver sends this as one message, and PostgreSQL runs it as one transaction. The first
# statement locks the shards, so that no other batch changes their rows before the commit. Every
# part of the second statement therefore sees the same rows; it moves the rows and the counts
# together. It counts tombstones (type 0) like any other type, so the counts also tell how many
# users ever reacted.
RECORD = text("""
SELECT pg_advisory_xact_lock(:class, shard) FROM unnest(CAST(:shards AS int[])) AS shard;
WITH deleted AS MATERIALIZED (
    SELECT post_id FROM deleted_posts WHERE post_id = ANY (CAST(:touched AS bigint[]))
), forgotten AS MATERIALIZED (
    SELECT user_id, before FROM forgotten_users WHERE user_id = ANY (CAST(:users AS bigint[]))
), incoming AS (
    SELECT * FROM unnest(
        CAST(:posts AS bigint[]), CAST(:users AS bigint[]),
        CAST(:codes AS smallint[]), CAST(:versions AS bigint[])
    ) AS t (post_id, user_id, reaction, version)
    WHERE NOT EXISTS (SELECT FROM deleted WHERE deleted.post_id = t.post_id)
      AND NOT EXISTS (
        SELECT FROM forgotten WHERE forgotten.user_id = t.user_id AND t.version <= before
      )
), before AS (
    SELECT post_id, user_id, old.reaction, old.version > incoming.version AS newer
    FROM incoming CROSS JOIN LATERAL (
        -- LIMIT keeps the planner from a hash join, which would read every partition.
        SELECT reaction, version FROM reactions AS r
        WHERE r.post_id = incoming.post_id AND r.user_id = incoming.user_id LIMIT 1
    ) AS old
), written AS (
    INSERT INTO reactions AS r (post_id, user_id, reaction, version)
    SELECT post_id, user_id, reaction, version FROM incoming
    ON CONFLICT (post_id, user_id)
    DO UPDATE SET reaction = excluded.reaction, version = excluded.version
    WHERE r.version < excluded.version
    RETURNING r.post_id, r.user_id, r.reaction
), steps AS MATERIALIZED (
    SELECT post_id, user_id, reaction, 1 AS step FROM written
    UNION ALL
    SELECT post_id, user_id, before.reaction, -1 FROM before JOIN written USING (post_id, user_id)
), moved AS (
    SELECT post_id, reaction, sum(step) AS step FROM steps
    GROUP BY post_id, reaction HAVING sum(step) <> 0
), audited AS (
    -- An audit under way keeps its tally of the rows it has passed; see row_counts.py.
    INSERT INTO audits AS a (post_id, reaction, position, rows)
    SELECT post_id, s.reaction, under.position, sum(step)
    FROM steps AS s JOIN (
        SELECT DISTINCT post_id, position FROM audits
        WHERE post_id = ANY (CAST(:touched AS bigint[]))
    ) AS under USING (post_id)
    WHERE s.user_id <= under.position
    GROUP BY post_id, s.reaction, under.position
    ON CONFLICT (post_id, reaction) DO UPDATE SET rows = a.rows + excluded.rows
), noted AS (
    -- `touched` moves at most once in TOUCHED_EVERY_US, so most batches write nothing here.
    INSERT INTO posts AS p (post_id, touched)
    SELECT i.post_id, max(i.version) FROM incoming AS i
    WHERE NOT EXISTS (
        SELECT FROM posts WHERE posts.post_id = i.post_id AND posts.touched > i.version - :every
    )
    GROUP BY i.post_id ORDER BY i.post_id
    ON CONFLICT (post_id) DO UPDATE SET touched = excluded.touched
    WHERE p.touched < excluded.touched
), counted AS (
    INSERT INTO reaction_counts AS c (post_id, reaction, count)
    SELECT post_id, reaction, step FROM moved ORDER BY post_id, reaction
    ON CONFLICT (post_id, reaction) DO UPDATE SET count = c.count + excluded.count
    RETURNING c.post_id, c.reaction, c.count
)
SELECT post_id, reaction, count FROM counted
UNION ALL
SELECT post_id, reaction, count FROM reaction_counts AS c
WHERE post_id = ANY (CAST(:touched AS bigint[]))
  AND NOT EXISTS (
    SELECT FROM counted WHERE counted.post_id = c.post_id AND counted.reaction = c.reaction
  )
UNION ALL
SELECT 0, 0, count(*) FROM written
UNION ALL
SELECT post_id, -1, 0 FROM deleted
UNION ALL
SELECT DISTINCT post_id, -2, 0 FROM before WHERE newer
""")


class Ledger:
    """Writes batches of reactions, and registers the reaction types."""

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
                "class": LOCK_CLASS,
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
        changed = 0
        deleted: set[int] = set()
        older: set[int] = set()
        for post_id, code, count in found:
            if not post_id:
                changed = count
            elif code == -1:
                deleted.add(post_id)
            elif code == -2:
                older.add(post_id)
            elif code:
                counts[post_id][code] = count
        return Recorded(counts, changed, deleted, older)

    def register_types(self, types: Mapping[str, int]) -> None:
        """Add the configured reaction types to the database.

        Raises:
            TypesMismatch: the database has one of the codes or names with another partner.
        """
        with self._database.transaction() as connection:
            connection.execute(
                insert(reaction_types)
                .values([{"code": code, "name": name} for name, code in types.items()])
                .on_conflict_do_nothing()
            )
            table = reaction_types.c
            known = dict(connection.execute(select(table.name, table.code)).all())
        wrong = [f"{name}={code}" for name, code in types.items() if known.get(name) != code]
        if wrong:
            raise TypesMismatch(
                f"reaction_types has {', '.join(wrong)}, but the database has "
                f"{', '.join(f'{name}={code}' for name, code in sorted(known.items()))}; "
                "a code is stored in every row and can never change its name"
            )
