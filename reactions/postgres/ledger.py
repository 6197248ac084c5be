"""What is written to PostgreSQL: reactions with their counts, dead letters, reaction types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from reactions.core.constants import shard_of
from reactions.core.errors import TypesMismatch
from reactions.core.model import PostTier, Row
from reactions.postgres.database import Database, RowsRefused, array
from reactions.postgres.locks import LOCK_CLASS
from reactions.postgres.tables import TOUCHED_EVERY_US, dead_letters, posts, reaction_types

__all__ = ["RECORD", "Ledger", "Recorded", "RowsRefused"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a transaction did."""

    counts: Mapping[int, Mapping[int, int]]
    """post -> type code -> count, after it, for every post it touched."""
    changed: int
    """Rows really changed; the others were older than what the table has."""
    deleted: Set[int]
    """Posts that are deleted: none of their rows was written."""
    older: Set[int]
    """Posts of which the table had something newer: after a loss of Redis, what it has is wrong."""


# One message, and so one transaction. Its second statement moves rows and counts together: its
# parts see the table as it was before it, and the locks of the shards, taken by the first, keep
# that the truth until the commit. Tombstones (type 0) are counted like any other type: so the
# counts also say how many ever reacted.
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
    -- What an audit has counted already moves with the rows; see reactions.audits.
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
    -- Now and then, not at each change: most batches then only look.
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
    """Writes reactions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, rows: Sequence[Row]) -> Recorded:
        """Write a batch in one transaction: the newest version wins, counts move with the rows.

        At most once in effect: rows that the table has already, or has newer, change nothing.
        Rows of deleted posts, and those of forgotten users from before, are left out.
        Two batches of one shard never overlap: a transaction-level advisory lock, taken in the
        order of the shards, so that there is no deadlock.

        Args:
            rows: at most one for each (post, user).

        Raises:
            RowsRefused: a row's data is refused; nothing was written.
            ReactionsUnavailable: the database cannot now; nothing was written, or it was and the
                answer was lost; the same batch again is safe.
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

    def note_tiers(self, tiers: Mapping[int, PostTier], now_us: int) -> None:
        """Note the tier of posts, and since when where it is another one."""
        with self._database.transaction() as connection:
            added = insert(posts).values(
                [
                    {"post_id": post, "touched": now_us, "tier": tier, "tier_since": now_us}
                    for post, tier in sorted(tiers.items())
                ]
            )
            connection.execute(
                added.on_conflict_do_update(
                    index_elements=["post_id"],
                    set_={"tier": added.excluded.tier, "tier_since": added.excluded.tier_since},
                    where=posts.c.tier != added.excluded.tier,
                )
            )

    def note_checked(self, post_ids: Iterable[int], now_us: int) -> None:
        """Note that the caches of posts were compared."""
        with self._database.transaction() as connection:
            connection.execute(
                posts.update().where(posts.c.post_id.in_(sorted(post_ids))).values(checked=now_us)
            )

    def cool(self, before_us: int, limit: int) -> int:
        """Note as regular what was hot and has not been touched since; how many."""
        cold = (
            select(posts.c.post_id)
            .where(posts.c.tier == PostTier.HOT, posts.c.touched < before_us)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return int(
                connection.execute(
                    posts.update()
                    .where(posts.c.post_id.in_(cold.scalar_subquery()))
                    .values(tier=PostTier.REGULAR, tier_since=before_us)
                ).rowcount
            )

    def add_dead_letter(self, post: str, user: str, value: str, reason: str) -> None:
        """Keep a change that the database refuses, with the reason; once, however often told."""
        with self._database.transaction() as connection:
            connection.execute(
                insert(dead_letters)
                .values(post=_clean(post), user=_clean(user), value=_clean(value), reason=reason)
                .on_conflict_do_nothing()
            )

    def count_dead_letters(self) -> int:
        """How many changes are buried."""
        with self._database.transaction() as connection:
            return connection.execute(select(func.count()).select_from(dead_letters)).scalar_one()

    def register_types(self, types: Mapping[str, int]) -> None:
        """Make the configured reaction types known to the database.

        Raises:
            TypesMismatch: the database knows one of the codes or names as another.
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
                "a code is in every row and keeps its name for ever"
            )


def _clean(value: str) -> str:
    """Text that PostgreSQL can hold and index: it refuses NUL, and more than 2,700 bytes."""
    return value.replace("\0", "\\0")[:500]
