"""The ways to read a feed that are compared. All of them end in ``Summary`` values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg2

from benchmarks.compare.contenders import tables
from reactions.api.client import Reactions
from reactions.core.model import Summary, Tier, make_summary
from reactions.core.settings import Settings
from reactions.redis.connection import Client, execute

Read = Callable[[int, Sequence[int]], object]
"""Reads these posts as this user; user 0 is nobody."""

OURS, CLUSTER = "ours", "ours, cluster"
POSTGRES, WIDE, PING = "PostgreSQL alone", "PostgreSQL, wide", "PING"


@dataclass(frozen=True, slots=True)
class Side:
    """One way to read.

    Attributes:
        reads: kind of read (``summaries``, ``reaction_of``, ``counts``) -> the call.
        redis: process ids of the servers that it reads from.
    """

    name: str
    reads: dict[str, Read]
    redis: tuple[int, ...]


def ours(name: str, client: Reactions, redis: Sequence[int]) -> Side:
    """This system, by its public calls."""
    reads: dict[str, Read] = {
        "summaries": lambda user, posts: client.summaries(posts, user or None),
        "reaction_of": lambda user, posts: client.reaction_of(user, posts[0]),
        "counts": lambda _, posts: client.counts(posts[0]),
    }
    return Side(name, reads, tuple(redis))


def postgres(session: tables.Session) -> Side:
    """PostgreSQL alone: one prepared query, one round trip."""
    reads: dict[str, Read] = {
        "summaries": session.feed,
        "reaction_of": lambda user, posts: session.reaction_of(user, posts[0]),
        "counts": lambda _, posts: session.feed(0, posts)[0].counts,
    }
    return Side(POSTGRES, reads, ())


class Wide:
    """One row of counts a post, a column a type: a new type needs a change of the schema."""

    def __init__(self, settings: Settings) -> None:
        url = settings.database_url.get_secret_value().replace("+psycopg2", "", 1)
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        self._cursor = self._connection.cursor()
        codes = sorted(settings.reaction_types.values())
        self._names = {code: name for name, code in settings.reaction_types.items()}
        self._types = [self._names[code] for code in codes]
        self._threshold = settings.viral_threshold
        columns = ", ".join(f"c{code}" for code in codes)
        self._cursor.execute(f"""
            PREPARE wide (bigint, bigint[]) AS
            SELECT w.post_id, r.reaction, {columns} FROM contender.wide AS w
            LEFT JOIN contender.reactions AS r ON r.user_id = $1 AND r.post_id = w.post_id
            WHERE w.post_id = ANY ($2)
        """)  # noqa: S608 - column names made of numbers

    def feed(self, user: int, posts: Sequence[int]) -> list[Summary]:
        wanted = f"{{{','.join(map(str, posts))}}}"
        self._cursor.execute("EXECUTE wide (%s, %s)", (user, wanted))
        found = {}
        for post, code, *numbers in self._cursor.fetchall():
            total = sum(numbers)
            tier = Tier.VIRAL if total >= self._threshold else Tier.REGULAR
            counts = dict(zip(self._types, numbers, strict=True))
            found[post] = make_summary(post, counts, total, tier, self._names.get(code))
        return [found[post] for post in posts]

    def side(self) -> Side:
        return Side(WIDE, {"summaries": self.feed}, ())

    def close(self) -> None:
        self._connection.close()


def ping(client: Client, redis: int) -> Side:
    """The least that a round trip to Redis costs, over a connection that this thread keeps."""
    return Side(PING, {"summaries": lambda *_: execute(client, ("PING",))}, (redis,))
