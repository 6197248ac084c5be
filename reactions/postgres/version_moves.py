"""Moves versions that are in the future to now. They keep their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from reactions.core.constants import MAX_ID, SHARDS
from reactions.postgres.database import Database, array
from reactions.postgres.locks import LOCK, LOCK_CLASS
from reactions.postgres.tables import TOUCHED_EVERY_US

WORKERS = "reactions-worker"
"""The name of the connections of workers in ``pg_stat_activity``."""

_OF_SHARDS = f"mod({{post}}, {SHARDS}) = ANY (CAST(:shards AS int[]))"

# Every scan goes by an index: of a post and type, or of tombstones. Rows of the same version come
# together, so that the next page can begin above them.
MOVE_ROWS = text(f"""
WITH page AS MATERIALIZED (
    SELECT * FROM (
        SELECT found.* FROM posts AS p JOIN reaction_counts AS c USING (post_id)
        CROSS JOIN LATERAL (
            SELECT r.post_id, r.user_id, r.version FROM reactions AS r
            WHERE r.post_id = c.post_id AND r.reaction = c.reaction AND r.reaction <> 0
              AND r.version > :seen
            ORDER BY r.version FETCH FIRST (:limit) ROWS WITH TIES
        ) AS found
        WHERE p.touched > :seen - :every AND c.reaction <> 0
          AND {_OF_SHARDS.format(post="p.post_id")}
        UNION ALL (
            SELECT post_id, user_id, version FROM reactions
            WHERE reaction = 0 AND version > :seen AND {_OF_SHARDS.format(post="post_id")}
            ORDER BY version FETCH FIRST (:limit) ROWS WITH TIES
        )
    ) AS ahead ORDER BY version FETCH FIRST (:limit) ROWS WITH TIES
), numbered AS MATERIALIZED (
    SELECT *, :given + row_number() OVER (ORDER BY version, post_id, user_id) AS following
    FROM page
), moved AS (
    UPDATE reactions AS r SET version = n.following FROM numbered AS n
    WHERE r.post_id = n.post_id AND r.user_id = n.user_id AND r.version = n.version
)
SELECT count(*), greatest(max(version), max(following)), max(following) FROM numbered
""")  # noqa: S608 - constants

# A row for each dead letter of these shards with a version above `since`.
_LETTERS = f"""
WITH valid AS MATERIALIZED (
    SELECT id, CAST(post AS numeric) AS post, CAST("user" AS numeric) AS "user",
        split_part(value, ':', 1) AS code, CAST(split_part(value, ':', 2) AS bigint) AS version
    FROM dead_letters
    WHERE post ~ '^[0-9]{{{{1,19}}}}$' AND "user" ~ '^[0-9]{{{{1,19}}}}$'
      AND value ~ '^[0-9]{{{{1,5}}}}[:][0-9]{{{{1,16}}}}$'
), ahead AS MATERIALIZED (
    SELECT id, CAST(post AS bigint) AS post, CAST("user" AS bigint) AS "user", code, version
    FROM valid WHERE version > :since AND post <= {MAX_ID} AND "user" <= {MAX_ID}
      AND {_OF_SHARDS.format(post="post")}
)
UPDATE dead_letters AS l SET value = code || ':' || following
FROM (SELECT id, code, {{following}} AS following FROM ahead {{where}}) AS f WHERE l.id = f.id
"""  # noqa: S608 - constants
OLDER_LETTERS = text(
    _LETTERS.format(
        following=":since - id",
        where="""WHERE EXISTS (
            SELECT FROM reactions AS r WHERE r.post_id = ahead.post AND r.user_id = ahead."user"
              AND r.version >= ahead.version)""",
    )
)
NEWEST_LETTERS = text(
    _LETTERS.format(following=":given + row_number() OVER (ORDER BY version, id)", where="")
)
LOWER_POSTS = text(f"""
UPDATE posts SET touched = :newest, checked = least(checked, :newest),
    tier_since = least(tier_since, :newest)
WHERE post_id IN (
    SELECT post_id FROM posts WHERE touched > :newest AND {_OF_SHARDS.format(post="post_id")}
    LIMIT :limit
)
""")  # noqa: S608 - constants
LOWER_FORGOTTEN = text("""
UPDATE forgotten_users SET before = least(before, :since), ahead = ahead - CAST(:names AS text[])
WHERE before > :since OR jsonb_exists_any(ahead, CAST(:names AS text[]))
""")
COUNT_WORKERS = text("""
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = :name
""")
BY_INDEX = text(
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off;"
    " SET LOCAL enable_mergejoin = off"
)


class Moved(NamedTuple):
    """What a page of rows did.

    Attributes:
        rows: how many rows moved; 0 when none was left.
        seen: where the next page begins: a version in the future.
        given: the newest version that was given to a row.
    """

    rows: int
    seen: int
    given: int


class VersionMoves:
    """Moves versions of some shards to ``since`` and the µs after it. No drain may run meanwhile.

    Each method is one transaction, and safe to repeat. Together they leave every table as if the
    changes had come just after ``since``. All times are versions, in µs since 1970.
    """

    def __init__(self, database: Database, shards: Sequence[int]) -> None:
        self._database = database
        self._shards = {"shards": array(sorted(shards))}
        self._names = array(shards)

    def workers(self) -> int:
        """Return how many connections workers have open."""
        with self._database.transaction() as connection:
            return int(connection.scalar(COUNT_WORKERS, {"name": WORKERS}) or 0)

    def move_older_letters(self, since: int) -> None:
        """Move dead letters that a row replaced already below ``since``, before any row moves."""
        with self._database.transaction() as connection:
            connection.execute(OLDER_LETTERS, {"since": since, **self._shards})

    def move_rows(self, seen: int, given: int, limit: int) -> Moved:
        """Move the next rows with a version above ``seen`` to the µs after ``given``."""
        every = TOUCHED_EVERY_US
        with self._database.transaction() as connection:
            self._lock(connection)
            connection.execute(BY_INDEX)
            values = {"seen": seen, "given": given, "limit": limit, "every": every, **self._shards}
            rows, seen_, given_ = connection.execute(MOVE_ROWS, values).one()
        return Moved(rows, seen_ or seen, given_ or given)

    def move_newest_letters(self, since: int, given: int) -> int:
        """Move the other dead letters to the µs after ``given``; return how many they are."""
        values = {"since": since, "given": given, **self._shards}
        with self._database.transaction() as connection:
            return int(connection.execute(NEWEST_LETTERS, values).rowcount)

    def lower_posts(self, newest: int, limit: int) -> int:
        """Note that posts were touched at ``newest``, not later; return how many, or 0 if none."""
        values = {"newest": newest, "limit": limit, **self._shards}
        with self._database.transaction() as connection:
            return int(connection.execute(LOWER_POSTS, values).rowcount)

    def lower_forgotten(self, since: int) -> None:
        """Lower the bounds of forgotten users to ``since``: their rows have moved above it."""
        with self._database.transaction() as connection:
            connection.execute(LOWER_FORGOTTEN, {"since": since, "names": self._names})

    def _lock(self, connection: Connection) -> None:
        connection.execute(LOCK, {"class": LOCK_CLASS, **self._shards})
