"""Times a feed beside a bare pipeline of the same reads, and then with nothing cached."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from redis import Redis
from redis.connection import AbstractConnection
from sqlalchemy import event

from benchmarks.support.output import Show
from benchmarks.support.post_keys import cache_keys
from benchmarks.support.statistics import quantiles
from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.redis.connection import connect
from reactions.redis.keys import default_keys as keys

ROUNDS = 300
COLD_ROUNDS = 40


class Trips:
    """Counts round trips to a Redis: one for each pipeline, or command outside a pipeline."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self._port = port  # not to the broker, which is also a Redis
        self._class: Any = AbstractConnection
        self._original = self._class.send_packed_command

    def __enter__(self) -> Trips:
        original: Any = self._original

        def counting(connection: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
            self.sent += connection.port == self._port
            return original(connection, *args, **options)

        self._class.send_packed_command = counting
        return self

    def __exit__(self, *_: object) -> None:
        self._class.send_packed_command = self._original


def measure(
    settings: Settings, posts: Sequence[int], user: int, client: Redis, show: Show
) -> dict[str, Any]:
    """Time this feed for this user: warm beside the bare pipeline, then cold. Times are in µs."""
    figures: dict[str, Any] = {"posts": len(posts)}
    port = _port(client)
    with Reactions(settings) as reader:
        for _ in range(20):
            reader.summaries(posts, user)
        time.sleep(2)  # workers load what the reads requested
        bare = _bare(settings, posts, user)
        ours: list[float] = []
        theirs: list[float] = []
        for number in range(ROUNDS):
            ours.append(_timed(lambda: reader.summaries(posts, user)))
            theirs.append(_timed(bare))
            show("warm feeds", number + 1, ROUNDS)
        figures["warm"] = quantiles(ours)
        figures["bare_pipeline"] = quantiles(theirs)
        figures["ratio_of_medians"] = round(
            figures["warm"]["p50"] / figures["bare_pipeline"]["p50"], 3
        )
        with Trips(port) as trips:
            reader.summaries(posts, user)
            figures["warm_round_trips"] = trips.sent
        figures |= _cold(reader, client, posts, user, show)
    return figures


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e6


def _bare(settings: Settings, posts: Sequence[int], user: int) -> Callable[[], object]:
    """The same reads through redis-py alone, with prepared keys; the replies are not parsed."""
    client = connect(settings)
    field = str(user)
    names = [
        (
            keys.post_reaction_counts(post),
            keys.post_viral(post),
            keys.post_reactions(post),
            keys.post_pending(post),
            keys.post_claimed(post),
        )
        for post in posts
    ]
    wanted = [str(post) for post in posts]

    def call() -> object:
        with client.pipeline(transaction=False) as pipe:
            for counts, viral, reactions, pending, claimed in names:
                pipe.hgetall(counts)
                pipe.get(viral)
                pipe.hmget(reactions, ["0", field])
                pipe.hget(pending, field)
                pipe.hget(claimed, field)
            pipe.hmget(keys.user_reactions(user), wanted)
            return pipe.execute()

    return call


def _cold(
    reader: Reactions, client: Redis, posts: Sequence[int], user: int, show: Show
) -> dict[str, Any]:
    """Time reads with nothing of the feed in Redis; then with nothing of the user."""
    queries = [0]

    def asked(*_: Any) -> None:  # noqa: ANN401 - SQLAlchemy's event
        queries[0] += 1

    event.listen(reader._reads.reads().database.engine, "before_cursor_execute", asked)
    figures: dict[str, Any] = {}
    port = _port(client)
    for what in ("cold", "cold_user", "cold_reaction_of"):
        times: list[float] = []
        trips_of: list[int] = []
        queries_of: list[int] = []
        for number in range(COLD_ROUNDS):
            _forget(client, posts if what == "cold" else (), user)
            queries[0] = 0
            with Trips(port) as trips:
                if what == "cold_reaction_of":
                    times.append(_timed(lambda: reader.reaction_of(user, posts[0])))
                else:
                    times.append(_timed(lambda: reader.summaries(posts, user)))
            trips_of.append(trips.sent)
            queries_of.append(queries[0])
            show("cold reads", number + 1, COLD_ROUNDS)
        figures[what] = quantiles(times) | {
            "round_trips": sorted(trips_of)[COLD_ROUNDS // 2],
            "queries": sorted(queries_of)[COLD_ROUNDS // 2],
        }
    return figures


def _port(client: Redis) -> int:
    return int(client.get_connection_kwargs()["port"])


def _forget(client: Redis, posts: Sequence[int], user: int) -> None:
    names = [keys.user_reactions(user)]
    for post in posts:
        names += [name for part in cache_keys(client, post).values() for name in part]
        names.append(keys.post_loading(post))
    client.unlink(*names)
