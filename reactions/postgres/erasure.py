"""Erases deleted posts, forgotten users and tombstones, one bounded batch at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from reactions.core.constants import SHARDS, shard_of
from reactions.core.shard_times import ShardTimes
from reactions.postgres.database import Database, array
from reactions.postgres.locks import LOCK, LOCK_CLASS
from reactions.postgres.tables import (
    audits,
    dead_letters,
    deleted_posts,
    forgotten_users,
    reaction_counts,
)
from reactions.postgres.tables import reactions as reactions_table

_row = reactions_table.c

# The statement that deletes the rows also moves the counts.
_ERASE = """
WITH gone AS (
    DELETE FROM reactions WHERE {condition} RETURNING post_id, user_id, reaction
), moved AS (
    UPDATE reaction_counts AS c SET count = c.count - rows
    FROM (SELECT post_id, reaction, count(*) AS rows FROM gone GROUP BY 1, 2) AS g
    WHERE c.post_id = g.post_id AND c.reaction = g.reaction
), audited AS (
    -- An audit under way keeps its tally of the rows it has passed; see row_counts.py.
    UPDATE audits AS a SET rows = a.rows - g.rows
    FROM (
        SELECT gone.post_id, gone.reaction, count(*) AS rows
        FROM gone JOIN audits USING (post_id, reaction)
        WHERE gone.user_id <= audits.position GROUP BY 1, 2
    ) AS g
    WHERE a.post_id = g.post_id AND a.reaction = g.reaction
)
SELECT user_id FROM gone
"""

# PostgreSQL evaluates ARRAY() first, and then finds the rows by the primary key.
ERASE_POST = text(
    _ERASE.format(
        condition="post_id = :post AND user_id = ANY (ARRAY("
        "SELECT user_id FROM reactions WHERE post_id = :post ORDER BY user_id LIMIT :limit))"
    )
)
# The versions of some shards may be ahead of those of the others; see ShardTimes.
_OF_USER = (
    "user_id = :user AND reaction = 0 AND version <= GREATEST(:before,"
    f" CAST(CAST(:ahead AS jsonb) ->> CAST(mod(post_id, {SHARDS}) AS text) AS bigint))"
)
TOMBSTONES_OF_USER = text(f"SELECT post_id FROM reactions WHERE {_OF_USER} LIMIT :limit")  # noqa: S608 - constants
ERASE_USER = text(
    _ERASE.format(condition=f"post_id = ANY (CAST(:posts AS bigint[])) AND {_OF_USER}")
)
ERASE_TOMBSTONES = text(
    _ERASE.format(
        condition="post_id = ANY (CAST(:posts AS bigint[])) AND user_id = ANY (CAST(:users AS"
        " bigint[])) AND reaction = 0 AND version < :before AND (post_id, user_id) IN ("
        "SELECT * FROM unnest(CAST(:posts AS bigint[]), CAST(:users AS bigint[])))"
    )
)


class Erasures:
    """Erases rows. Each method is one transaction, which takes the same locks as a drain."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark_deleted(self, post_id: int) -> None:
        """Note that a post is deleted. After this commit, no drain writes a row of it."""
        with self._database.transaction() as connection:
            _lock(connection, [shard_of(post_id)])
            connection.execute(
                insert(deleted_posts).values(post_id=post_id).on_conflict_do_nothing()
            )

    def erase_post(self, post_id: int, limit: int) -> list[int]:
        """Delete up to ``limit`` rows of a post, with their counts; return their users.

        An empty list means that all rows are gone. The post is then noted as erased.
        """
        with self._database.transaction() as connection:
            _lock(connection, [shard_of(post_id)])
            users = _erase(connection, ERASE_POST, {"post": post_id, "limit": limit})
            if not users:
                for table in (reaction_counts, audits):
                    connection.execute(delete(table).where(table.c.post_id == post_id))
                connection.execute(
                    deleted_posts.update()
                    .where(deleted_posts.c.post_id == post_id)
                    .values(erased=True)
                )
        return users

    def mark_forgotten(self, user_id: int, before: ShardTimes) -> None:
        """Note that a user is forgotten, and delete the user's dead letters.

        After this commit, no drain writes a reaction of the user with a version up to ``before`` of
        its shard.
        Locks every shard for a moment, so that no drain is in the middle of such a write.
        """
        with self._database.transaction() as connection:
            _lock(connection, range(SHARDS))
            ahead = {str(shard): version for shard, version in before.ahead.items()}
            added = insert(forgotten_users).values(
                user_id=user_id, before=before.lowest, ahead=ahead
            )
            connection.execute(
                added.on_conflict_do_update(
                    index_elements=["user_id"],
                    set_={"before": added.excluded.before, "ahead": added.excluded.ahead},
                )
            )
            connection.execute(delete(dead_letters).where(dead_letters.c.user == str(user_id)))

    def erase_user(self, user_id: int, before: ShardTimes, limit: int) -> int:
        """Delete up to ``limit`` tombstones of a user, versions up to ``before`` of their shard.

        Returns:
            How many were deleted; 0 means that none is left.
        """
        ahead = json.dumps(dict(before.ahead))
        bounds = {"user": user_id, "before": before.lowest, "ahead": ahead}
        with self._database.transaction() as connection:
            posts = connection.scalars(TOMBSTONES_OF_USER, {**bounds, "limit": limit}).all()
            if not posts:
                return 0
            _lock(connection, sorted({shard_of(post_id) for post_id in posts}))
            erased = _erase(connection, ERASE_USER, {**bounds, "posts": array(posts)})
        return len(erased)

    def erase_tombstones(self, before: int, limit: int) -> int:
        """Delete the oldest tombstones with a version below ``before``, up to ``limit``.

        Returns:
            How many were deleted; 0 means that none is left.
        """
        with self._database.transaction() as connection:
            found = connection.execute(
                select(_row.post_id, _row.user_id)
                .where(_row.reaction == 0, _row.version < before)
                .order_by(_row.version)
                .limit(limit)
            ).all()
            if not found:
                return 0
            posts, users = zip(*found, strict=True)
            _lock(connection, sorted({shard_of(post_id) for post_id in posts}))
            erased = _erase(
                connection,
                ERASE_TOMBSTONES,
                {"posts": array(posts), "users": array(users), "before": before},
            )
        return len(erased)


def _erase(connection: Connection, statement: Any, values: Mapping[str, Any]) -> list[int]:  # noqa: ANN401
    return list(connection.scalars(statement, values))


def _lock(connection: Connection, shards: Iterable[int]) -> None:
    connection.execute(LOCK, {"class": LOCK_CLASS, "shards": array(shards)})
