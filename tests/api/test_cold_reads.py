"""``ColdReads``: what a cold post or user costs, and what is cached afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import event, text

from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine
from tests.support.reading import (
    FEED,
    PATIENCE_S,
    POST,
    USER,
    database_of,
    evict,
    feeds_of,
    react,
    traffic,
)
from tests.support.waiting import wait_until


def test_a_cold_feed_is_two_queries_and_four_round_trips(engine: Engine) -> None:
    """The round trips are: summaries, lookup, fences and installs."""
    for post in FEED:
        react(engine, post, range(1, 4))
    engine.reactions.react_many((USER, post, "love") for post in FEED if post % 2)
    engine.drain()
    evict(engine)
    client = engine.reactions
    client.counts(99_999)  # opens the connections, and loads the scripts
    with traffic(client) as seen:
        found = client.summaries(FEED, USER)
    assert len(seen.queries) == 2
    assert seen.trips <= 4
    assert [(s.total, s.reaction) for s in found] == [
        (4, "love") if post % 2 else (3, None) for post in FEED
    ]
    for trips in (2, 1):  # the next read writes the summaries
        with traffic(client) as seen:
            assert client.summaries(FEED, USER) == found  # missing reactions are cached too
        assert (seen.trips, seen.queries) == (trips, [])


def test_a_cold_feed_without_a_user_is_one_query(engine: Engine) -> None:
    client = engine.reactions
    client.counts(99_999)
    with traffic(client) as seen:
        client.summaries(FEED)
    assert len(seen.queries) == 1
    assert seen.trips <= 4


def test_a_partly_cold_feed_queries_only_the_cold_posts(engine: Engine) -> None:
    for post in FEED:
        react(engine, post, range(1, 4))
    engine.drain()
    client = engine.reactions
    client.summaries(FEED[:40], USER)
    with traffic(client) as seen:
        client.summaries(FEED, USER)
    assert seen.queries == []  # a drain cached the counts, the first read cached the user
    evict(engine)
    client.summaries(FEED[:40], USER)
    with traffic(client) as seen:
        assert [s.total for s in client.summaries(FEED, USER)] == [3] * 50
    assert len(seen.queries) == 1
    assert seen.trips <= 4


def test_a_missing_reaction_is_cached(engine: Engine) -> None:
    client = engine.reactions
    assert client.reaction_of(USER, POST) is None
    with traffic(client) as seen:
        assert client.reaction_of(USER, POST) is None
    assert (seen.trips, seen.queries) == (2, [])  # without counts there is no summary
    assert engine.client.hgetall(keys.user_reactions(USER)) == {b"0": b"1"}
    with traffic(client) as seen:
        assert (
            client.reaction_of(USER, POST + 1) is None
        )  # the mark says that the user has no other reactions
    assert seen.queries == []
    client.counts(POST)
    client.counts(POST)  # writes the summary
    with traffic(client) as seen:
        assert client.reaction_of(USER, POST) is None
    assert (seen.trips, seen.queries) == (1, [])


def test_an_unknown_reaction_is_one_query_and_four_round_trips(engine: Engine) -> None:
    react(engine, POST, [USER], "wow")
    engine.drain()
    evict(engine)
    client = engine.reactions
    client.counts(99_999)
    with traffic(client) as seen:
        assert client.reaction_of(USER, POST) == "wow"
    assert len(seen.queries) == 1
    assert seen.trips <= 4
    with traffic(client) as seen:
        assert client.reaction_of(USER, POST) == "wow"
    assert (seen.trips, seen.queries) == (2, [])  # without counts there is no summary


def test_counts_are_four_round_trips_and_one_query_then_two_then_one(engine: Engine) -> None:
    react(engine, POST, range(1, 6))
    engine.drain()
    evict(engine)
    client = engine.reactions
    client.counts(99_999)
    for trips, queries in ((4, 1), (2, 0), (1, 0)):  # the second one writes the summary
        with traffic(client) as seen:
            assert client.counts(POST)["like"] == 5
        assert (seen.trips, len(seen.queries)) == (trips, queries)


def test_concurrent_misses_of_a_cold_post_are_one_query(engine: Engine) -> None:
    react(engine, POST, range(1, 6))
    engine.drain()
    evict(engine)
    client = engine.reactions
    flying = feeds_of(client)._cold._flight._flying
    counts: list[str] = []

    def executing(_: Any, __: Any, statement: str, *___: Any) -> None:
        """Wait until all other threads have joined."""
        counts.append(statement)
        waiters = flying[POST]._condition._waiters  # type: ignore[attr-defined]
        wait_until(lambda: len(waiters) == 15, what="fifteen threads to join the first")

    event.listen(database_of(client), "before_cursor_execute", executing)
    with ThreadPoolExecutor(16) as pool:
        found = [pool.submit(client.counts, POST) for _ in range(16)]
        assert [future.result(PATIENCE_S)["like"] for future in found] == [5] * 16
    assert len(counts) == 1
    assert flying == {}


def test_cold_counts_are_read_once_and_cached(engine: Engine) -> None:
    react(engine, POST, range(1, 6))
    engine.drain()
    engine.client.delete(keys.post_reaction_counts(POST))
    assert engine.reactions.counts(POST)["like"] == 5
    engine.database.close()
    with engine.database.engine.begin() as connection:
        connection.execute(text("UPDATE reaction_counts SET count = 0"))
    assert engine.reactions.counts(POST)["like"] == 5
