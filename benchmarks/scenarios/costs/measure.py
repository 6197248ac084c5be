"""Measures the unit costs: fills posts, reacts, reads feeds; each with its processor time."""

from __future__ import annotations

import random
import time
from bisect import bisect
from collections.abc import Callable
from itertools import accumulate

from benchmarks.scenarios.costs.fleet import Servers
from reactions.api.client import Reactions

POSTS = 2_000
FIRST_POST = 1_000
READERS = 50
FEED = 20
REACTIONS = 0.1
"""Share of the operations of ``mix`` that are reactions; the others are feeds."""

FILL = 30
"""Reactions on each post before anything is measured, and once more to measure their bytes."""

_WEIGHTS = list(accumulate(1 / rank for rank in range(1, POSTS + 1)))


def post(play: random.Random) -> int:
    """A post by Zipf popularity."""
    return FIRST_POST + bisect(_WEIGHTS, play.random() * _WEIGHTS[-1])


def fill(client: Reactions, servers: Servers) -> dict[str, float]:
    """React on every post; returns the bytes of a post and of a reaction, in both stores."""
    posts = range(FIRST_POST, FIRST_POST + POSTS)
    for number in range(0, POSTS, 100):
        client.warm(posts[number : number + 100])
    _react_on_each(client, servers, 0, 1)
    empty = servers.memory()
    _react_on_each(client, servers, 1, 1 + FILL)
    each = (servers.memory() - empty) / (POSTS * FILL)
    play = random.Random(0)
    own = [(user, post(play), "wow") for user in range(1, 1 + READERS) for _ in range(FEED)]
    client.react_many(own)
    servers.settle()
    size = (
        "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
        " JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'"
    )
    return {
        "redis_bytes_per_reaction": each,
        "redis_bytes_per_post": max(0.0, empty / POSTS - each),
        "postgres_bytes_per_reaction": float(servers.ask(size)) / (POSTS * (1 + FILL)),
    }


def _react_on_each(client: Reactions, servers: Servers, first: int, end: int) -> None:
    """Reactions of many users, each on few posts."""
    for number in range(first, end):
        items = [
            (10_000 + (each * 7_919 + number * 104_729) % 100_000, each, "like")
            for each in range(FIRST_POST, FIRST_POST + POSTS)
        ]
        for begin in range(0, POSTS, 500):
            client.react_many(items[begin : begin + 500])
    servers.settle()


def reactions(client: Reactions, servers: Servers, seconds: float) -> dict[str, float]:
    """One thread reacts as fast as it can, as users who come back."""
    play = random.Random(1)
    wal = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
    written = servers.ask(wal)
    used = _used(
        servers, seconds, lambda: client.react(play.randrange(10**6, 10**9), post(play), "love")
    )
    return {
        "web_us_per_reaction": used["web"],
        "redis_us_per_reaction": used["redis"],
        "worker_us_per_reaction": used["workers"],
        "postgres_us_per_reaction": used["postgres"],
        "network_bytes_per_reaction": used["bytes"],
        "wal_bytes_per_reaction": (servers.ask(wal) - written) / used["calls"],
    }


def feeds(client: Reactions, servers: Servers, seconds: float) -> dict[str, float]:
    """Warm feeds by readers who come back."""
    play = random.Random(2)
    found = _warm_feeds(client, play)
    used = _used(
        servers, seconds, lambda: client.summaries(play.choice(found), play.randrange(1, READERS))
    )
    return {
        "web_us_per_feed": used["web"],
        "redis_us_per_feed": used["redis"],
        "network_bytes_per_feed": used["bytes"],
        "feed_posts": FEED,
    }


def _warm_feeds(client: Reactions, play: random.Random) -> list[list[int]]:
    """Feeds that every reader has read."""
    found = [[*{post(play) for _ in range(4 * FEED)}][:FEED] for _ in range(200)]
    for _ in range(2):
        for number, feed in enumerate(found):
            client.summaries(feed, 1 + number % READERS)
        time.sleep(0.5)  # workers load what was cold
    return found


def mix(client: Reactions, servers: Servers, seconds: float) -> dict[str, float]:
    """Feeds and reactions in turn; returns processor µs of each part for one operation."""
    play = random.Random(4)
    found = _warm_feeds(client, play)

    def call() -> object:
        if play.random() < REACTIONS:
            return client.react(play.randrange(10**6, 10**9), post(play), "love")
        return client.summaries(play.choice(found), play.randrange(1, READERS))

    return _used(servers, seconds, call)


def first_feeds(client: Reactions, servers: Servers, seconds: float) -> dict[str, float]:
    """Feeds of users whom Redis does not know."""
    play = random.Random(3)
    users = iter(range(2 * 10**9, 3 * 10**9))
    used = _used(
        servers,
        seconds,
        lambda: client.summaries([*{post(play) for _ in range(4 * FEED)}][:FEED], next(users)),
    )
    return {"postgres_us_per_first_feed": used["postgres"]}


def _used(servers: Servers, seconds: float, call: Callable[[], object]) -> dict[str, float]:
    """Processor µs and bytes of one call until everything is durable; idle costs are taken off."""
    began, idle = time.monotonic(), servers.cpu()
    time.sleep(min(2.0, seconds))
    rest = time.monotonic() - began
    before, bytes_before, mine = servers.cpu(), servers.network(), time.thread_time()
    began, calls = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        call()
        calls += 1
    web = time.thread_time() - mine
    servers.settle()
    took, after = time.monotonic() - began, servers.cpu()
    found = {
        name: max(0.0, after[name] - before[name] - (before[name] - idle[name]) * took / rest)
        for name in after
    }
    return {
        **{name: each * 1e6 / calls for name, each in found.items()},
        "web": web * 1e6 / calls,
        "bytes": (servers.network() - bytes_before) / calls,
        "calls": calls,
    }
