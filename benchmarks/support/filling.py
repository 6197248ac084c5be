"""Fills PostgreSQL with posts, as if their reactions had been drained long ago; not Redis."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text

from benchmarks.support.output import Show
from reactions.core.model import PostTier
from reactions.postgres.database import Database, array

PIECE = 250_000
"""Rows of one post in one statement."""

POSTS = 500
"""Posts in one statement."""

# User ids are those of ids.spread_id with 31 bits. The rows of a post ascend by version while their
# users are in no order: so they lie in the table as if they had come one by one.
_ROWS = text("""
INSERT INTO reactions (post_id, user_id, reaction, version)
SELECT post_id,
       (1::bigint << 30) + (1 + (post_id * 7919 + n) % :users) * 506832829 % (1::bigint << 30),
       CASE WHEN x < 20 THEN 0 WHEN x < 500 THEN 1 ELSE 1 + x % 6 END,
       touched - (size - n) * :gap
FROM unnest(CAST(:posts AS bigint[]), CAST(:sizes AS bigint[]), CAST(:touched AS bigint[]))
     AS p (post_id, size, touched)
CROSS JOIN LATERAL generate_series(:start + 1, least(size, :start + :piece)) AS n
CROSS JOIN LATERAL (SELECT (n * 7919 + post_id) % 1009 AS x) AS chance
""")

_COUNTS = text("""
INSERT INTO reaction_counts (post_id, reaction, count)
SELECT post_id, reaction, count(*) FROM reactions
WHERE post_id = ANY (CAST(:posts AS bigint[])) GROUP BY post_id, reaction
""")

_POSTS = text("""
INSERT INTO posts (post_id, touched, tier, tier_since)
SELECT post_id, touched, CASE WHEN size >= :threshold THEN :viral ELSE 0 END, touched
FROM unnest(CAST(:posts AS bigint[]), CAST(:sizes AS bigint[]), CAST(:touched AS bigint[]))
     AS p (post_id, size, touched)
""")


@dataclass(frozen=True, slots=True)
class Shape:
    """How to fill the posts.

    Attributes:
        users: number of users; at least the number of reactions on the largest post.
        threshold: reactions from which a post is viral.
        within_s: the posts were last touched within this time, the first post most recently.
        gap_us: time between two reactions on a post.
    """

    users: int
    threshold: int
    within_s: int
    gap_us: int


def fill(database: Database, sizes: Mapping[int, int], shape: Shape, show: Show) -> None:
    """Insert rows, counts and posts; then VACUUM and ANALYZE.

    Args:
        sizes: post -> number of rows. One row in fifty is a tombstone.
    """
    now = int(time.time() * 1e6)
    between = shape.within_s * 1_000_000 // max(1, len(sizes))
    touched = {post: now - number * between for number, post in enumerate(sizes)}
    total, done = sum(sizes.values()), 0
    posts = list(sizes)
    for start in range(0, len(posts), POSTS):
        chunk = posts[start : start + POSTS]
        with database.transaction() as connection:
            _fill_some(connection, {post: sizes[post] for post in chunk}, touched, shape, show)
        done += sum(sizes[post] for post in chunk)
        show("filling posts", done, total)
    _vacuum(database)


def _fill_some(
    connection: Connection,
    sizes: Mapping[int, int],
    touched: Mapping[int, int],
    shape: Shape,
    show: Show,
) -> None:
    these = {
        "posts": array(sizes),
        "sizes": array(sizes.values()),
        "touched": array(touched[post] for post in sizes),
    }
    most = max(sizes.values())
    for start in range(0, most, PIECE):
        piece = {"start": start, "piece": PIECE, "users": shape.users, "gap": shape.gap_us}
        connection.execute(_ROWS, these | piece)
        if most > PIECE:
            show("filling the largest post", min(most, start + PIECE), most)
    connection.execute(_COUNTS, {"posts": these["posts"]})
    kinds = {"threshold": shape.threshold, "viral": int(PostTier.VIRAL)}
    connection.execute(_POSTS, these | kinds)


def _vacuum(database: Database) -> None:
    """Do what autovacuum would do, or it would run during the measurement."""
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
        connection.execute(text("CHECKPOINT"))
