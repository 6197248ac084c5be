"""This system as a whole: ``react()``, relay, broker, workers and beat with every duty.

The threads of a web process share one ``Reactions``, as those of an application do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from benchmarks.compare.contenders.base import Client, Contender
from benchmarks.support.arena import Arena
from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.drain.user_loader import UserLoader
from reactions.postgres.queries import Queries
from reactions.redis.connection import connect
from reactions.redis.outbox_state import OutboxState
from reactions.redis.user_cache import UserCache

TOGETHER = 100
"""Posts, or users, that are made warm by one call."""


_reached: Counter[str] = Counter()
"""Feeds of this process that asked PostgreSQL; its first client reports them."""

_clients: list[Client] = []
"""The clients of this process."""


@cache
def _watch() -> None:
    """Count the calls of the one query that answers what Redis lacks."""
    original = Queries.summaries

    def counted(queries: Queries, posts: list[int], user: int, own: list[int], **more: int) -> Any:  # noqa: ANN401 - as the original
        _reached[("both" if own else "cold post") if posts else "unknown user"] += 1
        return original(queries, posts, user, own, **more)

    Queries.summaries = counted  # type: ignore[method-assign,assignment]


class _Ours:
    def __init__(self, client: Reactions, settings: Settings) -> None:
        self._client = client
        _watch()
        self._names = {code: name for name, code in settings.reaction_types.items()}

    def react(self, user: int, post: int, code: int) -> object:
        if code:
            return self._client.react(user, post, self._names[code])
        return self._client.unreact(user, post)

    def feed(self, user: int, posts: Sequence[int]) -> object:
        return self._client.summaries(posts, user)

    def close(self) -> None:
        self._client.close()


@cache
def _shared() -> Reactions:
    return Reactions(Settings.from_env())


class Ours(Contender):
    def __init__(self, processes: int | None = None, threads: int = 1) -> None:
        self.name, self.title = "ours", "this system"
        if processes:
            self.name += f"-{processes * threads}"
            self.title += f", {processes * threads} clients"
        self.processes, self.threads = processes, threads

    def connect(self, settings: Settings) -> Client:
        _clients.append(_Ours(_shared(), settings))
        return _clients[-1]

    def start(self, arena: Arena) -> None:
        arena.start_ours()

    def reached(self, client: Client) -> Counter[str]:
        return _reached.copy() if client is _clients[0] else Counter()

    def warm(self, arena: Arena, posts: Sequence[int], users: Sequence[int]) -> None:
        client, queries = connect(arena.settings), Queries(arena.database)
        loader = UserLoader(client, UserCache(client, arena.settings), queries)
        with Reactions(arena.settings) as reader:
            for start in range(0, max(len(posts), len(users)), TOGETHER):
                loader.load(users[start : start + TOGETHER])
                for _ in range(2):  # the first one caches counts, the second makes summaries
                    reader.summaries(posts[start : start + TOGETHER])
        client.close()

    def settled(self, arena: Arena) -> bool:
        # A post with anything pending is dirty; this needs one command for each shard.
        return not OutboxState(arena.redis, arena.settings).dirty_posts()

    def tally(self, arena: Arena) -> tuple[Counter[int], Counter[int]]:
        return _tally(arena, "SELECT reaction, count(*) FROM reactions"), _tally(
            arena, "SELECT reaction, sum(count)::bigint FROM reaction_counts"
        )


def _tally(arena: Arena, sql: str) -> Counter[int]:
    found = arena.execute(f"{sql} WHERE reaction > 0 GROUP BY 1")
    return Counter({int(code): int(number) for code, number in found if number})
