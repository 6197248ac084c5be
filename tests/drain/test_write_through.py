"""Drains write durable reactions through to the caches of users."""

from __future__ import annotations

from reactions.redis.keys import default_keys as keys
from reactions.redis.user_cache import MAX_REACTIONS_PER_WRITE
from tests.support.engine import Engine
from tests.support.reading import (
    POST,
    USER,
    react,
    traffic,
)


def test_a_drain_writes_through_to_cached_users(engine: Engine) -> None:
    """Later reads need no query."""
    assert engine.user_loader.load([USER, USER + 1]) == 2
    react(engine, POST, [USER], "wow")
    react(engine, POST, [USER + 1], None)
    engine.drain()
    client = engine.reactions
    with traffic(client) as seen:
        assert client.reaction_of(USER, POST) == "wow"
    assert (seen.trips, seen.queries) == (2, [])  # the first read writes the summary
    with traffic(client) as seen:
        assert client.reaction_of(USER + 1, POST) is None
    assert (seen.trips, seen.queries) == (1, [])


def test_a_drain_writes_nothing_to_users_who_are_not_cached(engine: Engine) -> None:
    """The first read queries PostgreSQL, and caches the answer."""
    react(engine, POST, [USER], "wow")
    engine.drain()
    assert not engine.client.exists(keys.user_reactions(USER))
    client = engine.reactions
    client.counts(POST)
    for trips, queries in ((3, 1), (1, 0)):
        with traffic(client) as seen:
            assert client.reaction_of(USER, POST) == "wow"
        assert (seen.trips, len(seen.queries)) == (trips, queries)


def test_a_drain_writes_through_to_many_users(engine: Engine) -> None:
    """More users than one script accepts."""
    users = range(1, 2 * MAX_REACTIONS_PER_WRITE + 100)
    assert engine.user_loader.load(users) == len(users)
    react(engine, POST, [*users, 999_999], "wow")
    engine.drain()
    assert not engine.client.exists(keys.user_reactions(999_999))  # is not cached
    with engine.client.pipeline(transaction=False) as pipe:
        for user in users:
            pipe.hget(keys.user_reactions(user), str(POST))
        code = str(engine.settings.reaction_types["wow"]).encode()
        assert pipe.execute() == [code] * len(users)
