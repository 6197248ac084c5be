"""The stores of the benchmark: the same posts for each way to read them, every cache warm."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from sqlalchemy import text

from benchmarks.compare.contenders import tables
from benchmarks.support import filling
from benchmarks.support.output import Show
from reactions.core.settings import Settings
from reactions.drain.cache_loader import CacheLoader
from reactions.drain.user_loader import UserLoader
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.redis.cache_install import CacheInstall
from reactions.redis.connection import connect
from reactions.redis.user_cache import UserCache

FIRST_POST = 1_000
DIRTY_POSTS = 20
"""Posts with changes that are not durable. They are not among the others."""

DIRTY_USERS = 3
"""Users who react on each dirty post."""

READERS = 50
LOAD = 100
"""Posts in one call of a loader."""

# One row a post, a column a type: what some would do whose types never change.
WIDE = """
CREATE TABLE contender.wide AS
SELECT post_id, {columns} FROM contender.reactions GROUP BY post_id;
ALTER TABLE contender.wide ADD PRIMARY KEY (post_id);
"""

_COPY = """
INSERT INTO contender.reactions (post_id, user_id, reaction)
SELECT post_id, user_id, reaction FROM reactions WHERE reaction > 0;
INSERT INTO contender.counts (post_id, reaction, count)
SELECT post_id, reaction, count FROM reaction_counts WHERE reaction > 0;
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How large the world is.

    Attributes:
        posts: clean posts; the n-th is in feeds n times less often than the first.
        rows: reactions on each of them.
        seconds: how long one side reads in one turn.
        rounds: turns of each side.
        feeds: feeds prepared for each case.
        cluster: whether to read from a cluster of three nodes, too.
    """

    posts: int
    rows: int
    seconds: float
    rounds: int
    feeds: int
    cluster: bool

    @property
    def all_posts(self) -> Sequence[int]:
        return range(FIRST_POST, FIRST_POST + self.posts + DIRTY_POSTS)

    @property
    def dirty(self) -> Sequence[int]:
        return self.all_posts[self.posts :]


def fill(database: Database, plan: Plan, settings: Settings, show: Show) -> None:
    """Fill our tables, and the contender's with the same rows."""
    shape = filling.Shape(max(400, plan.rows), settings.viral_threshold, 3_600, 1_000)
    filling.fill(database, dict.fromkeys(plan.all_posts, plan.rows), shape, show)
    columns = ", ".join(
        f"count(*) FILTER (WHERE reaction = {code}) AS c{code}"
        for code in sorted(settings.reaction_types.values())
    )
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for sql in (tables.SCHEMA, _COPY, WIDE.format(columns=columns), "VACUUM (ANALYZE)"):
            connection.execute(text(sql))


def readers(database: Database) -> list[int]:
    """Users who have reactions on some of the posts."""
    with database.engine.connect() as connection:
        found = connection.execute(text("SELECT DISTINCT user_id FROM reactions ORDER BY 1"))
        return [int(user) for (user,) in found.fetchmany(READERS)]


def load(settings: Settings, database: Database, posts: Sequence[int], users: list[int]) -> None:
    """Cache posts and users, as workers would."""
    client, queries = connect(settings), Queries(database)
    loader = CacheLoader(CacheInstall(client, settings), queries, settings)
    for start in range(0, len(posts), LOAD):
        loader.load(posts[start : start + LOAD])
    UserLoader(client, UserCache(client, settings), queries).load(users)
    client.close()


def feeds(plan: Plan, size: int, dirty: int) -> list[tuple[int, ...]]:
    """Feeds of distinct posts, the same for each way to read them; ``dirty`` of each are dirty."""
    chance = random.Random(f"{size}/{dirty}")
    clean = plan.all_posts[: plan.posts]
    weights = list(accumulate(1 / rank for rank in range(1, plan.posts + 1)))
    made = []
    for _ in range(plan.feeds):
        chosen = dict.fromkeys(chance.sample(plan.dirty, dirty))
        while len(chosen) < size:
            chosen[clean[bisect(weights, chance.random() * weights[-1])]] = None
        posts = list(chosen)
        chance.shuffle(posts)
        made.append(tuple(posts))
    return made
