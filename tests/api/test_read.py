"""What a feed shows, what it costs, and what a process remembers of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event

from reactions.api import load_requests
from reactions.api.client import MAX_SUMMARIES, Reactions
from reactions.api.relay import Relay
from reactions.core.errors import InvalidArgument
from reactions.core.model import Summary, Tier
from reactions.core.settings import Settings
from reactions.redis import keys
from reactions.redis.user_cache import MAX_REACTIONS_PER_WRITE
from tests.support.engine import Engine, make_engine
from tests.support.reading import (
    FEED,
    PATIENCE_S,
    POST,
    USER,
    VIRAL,
    database_of,
    evict,
    feeds_of,
    make_regular,
    make_viral,
    react,
    traffic,
)
from tests.support.waiting import wait_until


def test_a_summary_says_everything_of_each_tier(small: Engine) -> None:
    make_viral(small, 1)
    make_regular(small, 2)
    react(small, 3, [1, 2], "love")
    react(small, 3, [3], "wow")
    react(small, 5, range(1, 12))
    small.reactions.delete_post(5)
    none = dict.fromkeys(small.settings.reaction_types, 0)
    expected = [
        Summary(1, none | {"like": 15}, 15, Tier.VIRAL, "like"),
        Summary(2, none | {"like": 8}, 8, Tier.REGULAR, "like"),
        Summary(3, none | {"love": 2, "wow": 1}, 3, Tier.REGULAR, "love"),
        Summary(4, none, 0, Tier.REGULAR, None),
        Summary(5, none, 0, Tier.DELETED, None),
    ]
    for _ in range(2):
        assert small.reactions.summaries(range(1, 6), 1) == expected
        assert [s.reaction for s in small.reactions.summaries(range(1, 6))] == [None] * 5
        assert [s.counts for s in small.reactions.summaries(range(1, 6))] == [
            s.counts for s in expected
        ]
    assert [small.reactions.counts(post) for post in range(1, 6)] == [s.counts for s in expected]


def test_the_answer_has_the_order_and_the_duplicates_of_the_question(engine: Engine) -> None:
    for post in (1, 2, 3):
        react(engine, post, range(1, post + 1))
    asked = [3, 1, 3, 2, 77, 3, 1]
    for _ in range(2):
        found = engine.reactions.summaries((post for post in asked), 1)
        assert [(s.post_id, s.total) for s in found] == [
            (post, {77: 0}.get(post, post)) for post in asked
        ]
        assert [s.reaction for s in found] == [None if p == 77 else "like" for p in asked]
    assert engine.reactions.summaries([]) == []


def test_a_post_is_viral_by_its_counts_also_before_it_is_drained(small: Engine) -> None:
    react(small, POST, range(1, VIRAL))
    assert small.reactions.summaries([POST])[0].tier is Tier.REGULAR
    react(small, POST, [VIRAL])
    assert small.reactions.summaries([POST])[0].tier is Tier.VIRAL
    small.drain()
    react(small, POST, [1], None)
    assert small.reactions.summaries([POST])[0].tier is Tier.VIRAL  # by the flag
    react(small, POST, [2, 3, 4], None)
    small.drain()
    assert small.reactions.summaries([POST])[0].tier is Tier.REGULAR


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([0],), "post_ids"),
        (([1, "2"],), "post_ids"),
        (([True],), "post_ids"),
        (("12",), "post_ids"),
        ((5,), "post_ids"),
        ((None,), "post_ids"),
        ((range(1, MAX_SUMMARIES + 2),), "post_ids"),
        ((itertools.count(1),), "post_ids"),
        (([1], 0), "user_id"),
        (([1], -1), "user_id"),
        (([1], True), "user_id"),
        (([1], "1"), "user_id"),
        (([1], 2**63), "user_id"),
    ],
)
def test_bad_arguments_of_a_feed_are_refused(arguments: tuple[Any, ...], name: str) -> None:
    with Reactions(Settings(redis_url="redis://127.0.0.1:1")) as nowhere:
        with pytest.raises(InvalidArgument) as error:
            nowhere.summaries(*arguments)
        assert error.value.argument == name


def test_as_many_posts_as_allowed(engine: Engine) -> None:
    """Several scripts look at them: of each post its own answer, in the order of the question."""
    posts = [1 + 77 * number % MAX_SUMMARIES for number in range(MAX_SUMMARIES)]
    for user in range(5):
        engine.reactions.react_many(
            (USER + user, post, "wow" if post % 2 else "sad") for post in posts if post % 5 >= user
        )
    expected = [(post, 1 + post % 5, "wow" if post % 2 else "sad") for post in posts]
    for drained in (False, True):
        if drained:
            engine.drain()
        for _ in range(2):
            found = engine.reactions.summaries(posts, USER)
            assert [(s.post_id, s.total, s.reaction) for s in found] == expected


@pytest.mark.parametrize("user", [None, USER])
def test_a_warm_feed_is_one_round_trip_and_no_query(small: Engine, user: int | None) -> None:
    """Of all tiers together, whether or not the user has reacted."""
    for post in FEED:
        react(small, post, range(1, 3 + 20 * (post % 7 == 0)))
    small.reactions.react_many((USER, post, "love") for post in FEED if post % 2)
    small.drain()
    small.loader.load([post for post in FEED if post % 3 == 0])
    for post in (5, 6, 7):
        small.reactions.delete_post(post)
    client = small.reactions
    first = client.summaries(FEED, user)
    with traffic(client) as seen:
        assert client.summaries(FEED, user) == first
    assert (seen.trips, seen.queries) == (1, [])
    tiers = {tier: sum(s.tier is tier for s in first) for tier in Tier}
    assert tiers == {Tier.REGULAR: 41, Tier.VIRAL: 6, Tier.DELETED: 3}
    if user:
        mine = [s.post_id for s in first if s.reaction == "love"]
        assert mine == [post for post in FEED if post % 2 and post not in (5, 7)]


def test_a_feed_without_a_summary_is_two_round_trips_and_no_query(small: Engine) -> None:
    """One post without a summary costs the second trip; the lookup writes its summary."""
    for post in FEED:
        react(small, post, range(1, 4))
    small.drain()
    client = small.reactions
    for user in (None, USER):
        first = client.summaries(FEED, user)
        small.client.delete(keys.post_summary(7))
        for trips in (2, 1):
            with traffic(client) as seen:
                assert client.summaries(FEED, user) == first
            assert (seen.trips, seen.queries) == (trips, [])


def test_a_cold_feed_is_two_queries_and_four_round_trips(engine: Engine) -> None:
    """Its summaries, the lookup, the fences, and the installs."""
    for post in FEED:
        react(engine, post, range(1, 4))
    engine.reactions.react_many((USER, post, "love") for post in FEED if post % 2)
    engine.drain()
    evict(engine)
    client = engine.reactions
    client.counts(99_999)  # the connections and the scripts
    with traffic(client) as seen:
        found = client.summaries(FEED, USER)
    assert len(seen.queries) == 2
    assert seen.trips <= 4
    assert [(s.total, s.reaction) for s in found] == [
        (4, "love") if post % 2 else (3, None) for post in FEED
    ]
    for trips in (2, 1):  # the next read writes the summaries
        with traffic(client) as seen:
            assert client.summaries(FEED, USER) == found  # negative answers are remembered too
        assert (seen.trips, seen.queries) == (trips, [])


def test_a_cold_feed_of_nobody_is_one_query(engine: Engine) -> None:
    client = engine.reactions
    client.counts(99_999)
    with traffic(client) as seen:
        client.summaries(FEED)
    assert len(seen.queries) == 1
    assert seen.trips <= 4


def test_a_feed_that_is_cold_in_part_asks_for_that_part(engine: Engine) -> None:
    for post in FEED:
        react(engine, post, range(1, 4))
    engine.drain()
    client = engine.reactions
    client.summaries(FEED[:40], USER)
    with traffic(client) as seen:
        client.summaries(FEED, USER)
    assert seen.queries == []  # the counts are there since the drain, the user since the first look
    evict(engine)
    client.summaries(FEED[:40], USER)
    with traffic(client) as seen:
        assert [s.total for s in client.summaries(FEED, USER)] == [3] * 50
    assert len(seen.queries) == 1
    assert seen.trips <= 4


def test_a_complete_hash_knows_who_did_not_react(small: Engine) -> None:
    make_regular(small, POST)
    client = small.reactions
    client.counts(POST)
    with traffic(client) as seen:
        assert client.reaction_of(123_456, POST) is None
        assert client.summaries([POST], 123_457)[0].reaction is None
    assert (seen.trips, seen.queries) == (4, [])  # the summary alone does not say it
    assert small.user_loader.load([123_456, 123_457]) == 2
    with traffic(client) as seen:
        assert client.reaction_of(123_456, POST) is None
        assert client.summaries([POST], 123_457)[0].reaction is None
    assert (seen.trips, seen.queries) == (2, [])


def test_none_is_an_answer_that_is_cached(engine: Engine) -> None:
    client = engine.reactions
    assert client.reaction_of(USER, POST) is None
    with traffic(client) as seen:
        assert client.reaction_of(USER, POST) is None
    assert (seen.trips, seen.queries) == (2, [])  # the counts are not cached, so no summary is
    assert engine.client.hgetall(keys.user_reactions(USER)) == {b"0": b"1"}
    with traffic(client) as seen:
        assert client.reaction_of(USER, POST + 1) is None  # nor did they react anywhere else
    assert seen.queries == []
    client.counts(POST)
    client.counts(POST)  # writes the summary
    with traffic(client) as seen:
        assert client.reaction_of(USER, POST) is None
    assert (seen.trips, seen.queries) == (1, [])


def test_a_reaction_is_one_query_and_four_round_trips_where_redis_does_not_know(
    engine: Engine,
) -> None:
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
    assert (seen.trips, seen.queries) == (2, [])  # the counts are not cached, so no summary is


def test_what_a_drain_wrote_is_remembered_of_cached_users(engine: Engine) -> None:
    """No reader ever has to ask for it."""
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


def test_nothing_is_remembered_of_a_user_who_is_not_cached(engine: Engine) -> None:
    """Most users who write are not read; the first read asks PostgreSQL, and caches the answer."""
    react(engine, POST, [USER], "wow")
    engine.drain()
    assert not engine.client.exists(keys.user_reactions(USER))
    client = engine.reactions
    client.counts(POST)
    for trips, queries in ((4, 1), (1, 0)):
        with traffic(client) as seen:
            assert client.reaction_of(USER, POST) == "wow"
        assert (seen.trips, len(seen.queries)) == (trips, queries)


def test_what_a_drain_wrote_is_remembered_of_many_users(engine: Engine) -> None:
    """Several scripts write them."""
    users = range(1, 2 * MAX_REACTIONS_PER_WRITE + 100)
    assert engine.user_loader.load(users) == len(users)
    react(engine, POST, [*users, 999_999], "wow")
    engine.drain()
    assert not engine.client.exists(keys.user_reactions(999_999))  # who is not cached
    with engine.client.pipeline(transaction=False) as pipe:
        for user in users:
            pipe.hget(keys.user_reactions(user), str(POST))
        code = str(engine.settings.reaction_types["wow"]).encode()
        assert pipe.execute() == [code] * len(users)


def test_concurrent_misses_of_a_cold_post_are_one_query(engine: Engine) -> None:
    react(engine, POST, range(1, 6))
    engine.drain()
    evict(engine)
    client = engine.reactions
    flying = feeds_of(client)._cold._flight._flying
    counts: list[str] = []

    def executing(_: Any, __: Any, statement: str, *___: Any) -> None:
        """Not before all others have joined."""
        counts.append(statement)
        waiters = flying[POST]._condition._waiters  # type: ignore[attr-defined]
        wait_until(lambda: len(waiters) == 15, what="fifteen threads to join the first")

    event.listen(database_of(client), "before_cursor_execute", executing)
    with ThreadPoolExecutor(16) as pool:
        found = [pool.submit(client.counts, POST) for _ in range(16)]
        assert [future.result(PATIENCE_S)["like"] for future in found] == [5] * 16
    assert len(counts) == 1
    assert flying == {}


@pytest.fixture
def patient(small: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Its relay gathers for so long, loads too, that a test can see what waits in it."""
    monkeypatch.setattr(Relay, "request_load", lambda relay, post: relay._posts.add(post))
    monkeypatch.setattr(Relay, "request_user_load", lambda relay, user: relay._users.add(user))
    made = make_engine(small.settings.model_copy(update={"wake_interval_s": 10.0}))
    yield made
    made.close()


def test_a_post_that_is_read_again_is_asked_to_be_loaded(patient: Engine) -> None:
    client, waiting = patient.reactions, patient.reactions._relay
    react(patient, POST, range(1, 4))
    patient.drain()
    evict(patient)
    client.summaries([POST], 101)
    assert waiting._posts == set()  # once is not often
    client.summaries([POST], 101)
    assert waiting._posts == set()  # Redis knew everything
    client.summaries([POST], 102)
    assert waiting._posts == {POST}
    waiting._posts.clear()
    client.summaries([POST], 103)
    client.reaction_of(104, POST)
    assert waiting._posts == set()  # it was asked for a moment ago


def test_a_viral_post_of_which_nothing_is_cached_is_asked_for_at_once(patient: Engine) -> None:
    """By its first read, whoever reads."""
    client, waiting = patient.reactions, patient.reactions._relay
    for post in (POST, POST + 1, POST + 2):
        react(patient, post, range(1, 13 if post > POST else 4))
    patient.drain()
    patient.client.flushall()
    client.counts(POST + 1)
    assert waiting._posts == {POST + 1}
    client.summaries([POST, POST + 1, POST + 2], 7)
    assert waiting._posts == {POST + 1, POST + 2}


def test_a_post_is_asked_for_again_when_that_was_lost(
    patient: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_requests, "LOAD_AGAIN_S", 0.05)
    client = patient.reactions
    react(patient, POST, range(1, 4))
    patient.drain()
    readers = itertools.count(1_000)

    def asked() -> bool:
        client.reaction_of(next(readers), POST)
        return POST in client._relay._posts

    assert asked()
    client._relay._posts.clear()
    wait_until(asked, what="the post to be asked for again")


def test_what_has_its_caches_is_not_asked_for(patient: Engine) -> None:
    make_regular(patient, 1)
    make_viral(patient, 2)
    client = patient.reactions
    for reader in (101, 102, 103):
        client.summaries([1, 2], reader)
    assert client._relay._posts == set()
    patient.client.delete(keys.post_recent(2), keys.post_reactions(2))
    client.summaries([1, 2], 104)
    assert client._relay._posts == {2}


def test_a_loaded_post_answers_readers_without_a_query(patient: Engine) -> None:
    """The way from a cold post to one that is read for nothing."""
    client = patient.reactions
    react(patient, POST, range(1, 4))
    patient.drain()
    evict(patient)
    for reader in (101, 102):
        client.summaries([POST], reader)
    assert patient.loader.load(sorted(client._relay._posts)) == 1
    for trips in (2, 1):  # the first read asks for the user to be loaded
        with traffic(client) as seen:
            assert client.summaries([POST], 103)[0].total == 3
        assert (seen.trips, seen.queries) == (trips, [])
        assert 103 in client._relay._users
        patient.user_loader.load(sorted(client._relay._users))


def test_a_user_whose_hash_has_no_mark_is_asked_for_once(
    patient: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it was lost: then a later read asks again."""
    monkeypatch.setattr(load_requests, "LOAD_AGAIN_S", 0.2)
    make_regular(patient, POST)
    with Reactions(patient.settings) as client:
        waiting = client._relay._users

        def asked() -> bool:
            client.summaries([POST], USER)
            return USER in waiting

        client.counts(POST)
        assert waiting == set()
        assert client.reaction_of(USER, POST) == "like"
        assert waiting == {USER}
        waiting.clear()
        assert not asked()  # a moment ago
        wait_until(asked, what="the user to be asked for again")
        waiting.clear()
        assert patient.user_loader.load([USER]) == 1
        feeds_of(client)._requests._users.clear()
        assert not asked()
        patient.client.hset(keys.user_reactions(USER), "0", "0")  # too many, but known
        assert not asked()
        patient.client.hdel(keys.user_reactions(USER), "0")
        assert asked()


def test_a_load_of_more_rows_than_it_reads_at_once_is_done_in_parts(small: Engine) -> None:
    """A load reads as many rows at once as a viral post has at least: here ten."""
    for post in (1, 2):
        react(small, post, range(1, 9))
    small.drain()
    assert small.loader.load([1, 2]) == 2
    assert all(found.complete for found in small.post_snapshots.snapshots([1, 2]))


@pytest.fixture
def remembering(small: Engine) -> Iterator[Reactions]:
    with Reactions(small.settings.model_copy(update={"local_cache_s": 30.0})) as client:
        yield client


def test_a_viral_post_may_be_shown_again_unasked(small: Engine, remembering: Reactions) -> None:
    make_viral(small, POST)
    make_regular(small, 2)
    first = remembering.summaries([POST, 2])
    with traffic(remembering) as seen:
        assert remembering.summaries([POST]) == first[:1]
        assert remembering.counts(POST) == first[0].counts
    assert (seen.trips, seen.queries) == (0, [])
    react(small, POST, [500])
    react(small, 2, [500])
    assert remembering.counts(POST) == first[0].counts
    assert remembering.counts(2)["like"] == 9  # a regular one is asked for each time
    with traffic(remembering) as seen:
        assert remembering.summaries([2, POST]) == [
            small.reactions.summaries([2])[0],
            first[0],
        ]
    assert seen.trips == 2  # of which one is the other client's


def test_a_user_always_asks(small: Engine, remembering: Reactions) -> None:
    make_viral(small, POST)
    remembering.counts(POST)
    react(small, POST, [500], "wow")
    (found,) = remembering.summaries([POST], 500)
    assert (found.reaction, found.total) == ("wow", 16)


def test_what_a_process_remembers_ends(small: Engine) -> None:
    make_viral(small, POST)
    settings = small.settings.model_copy(update={"local_cache_s": 0.05})
    with Reactions(settings) as client:
        assert client.counts(POST)["like"] == 15
        react(small, POST, [500])
        wait_until(lambda: client.counts(POST)["like"] == 16, what="the counts to be read again")


def test_a_process_remembers_nothing_unless_it_is_told_to(small: Engine) -> None:
    make_viral(small, POST)
    small.reactions.counts(POST)
    react(small, POST, [500])
    assert small.reactions.counts(POST)["like"] == 16
