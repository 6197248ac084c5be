"""``Feeds``: what a feed shows, what it costs, and the local cache."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from reactions.api.client import MAX_SUMMARIES, Reactions
from reactions.core.errors import InvalidArgument
from reactions.core.model import Summary, Tier
from reactions.core.settings import Settings
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine
from tests.support.reading import (
    FEED,
    POST,
    USER,
    VIRAL,
    make_regular,
    make_viral,
    react,
    traffic,
    without_database,
)
from tests.support.waiting import wait_until


def test_summaries_of_each_tier(small: Engine) -> None:
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


def test_summaries_keep_the_order_and_the_duplicates_of_the_request(engine: Engine) -> None:
    for post in (1, 2, 3):
        react(engine, post, range(1, post + 1))
    requested = [3, 1, 3, 2, 77, 3, 1]
    for _ in range(2):
        found = engine.reactions.summaries((post for post in requested), 1)
        assert [(s.post_id, s.total) for s in found] == [
            (post, {77: 0}.get(post, post)) for post in requested
        ]
        assert [s.reaction for s in found] == [None if p == 77 else "like" for p in requested]
    assert engine.reactions.summaries([]) == []


def test_the_counts_make_a_post_viral_before_it_is_drained(small: Engine) -> None:
    react(small, POST, range(1, VIRAL))
    assert small.reactions.summaries([POST])[0].tier is Tier.REGULAR
    react(small, POST, [VIRAL])
    assert small.reactions.summaries([POST])[0].tier is Tier.VIRAL
    small.drain()
    react(small, POST, [1], None)
    assert small.reactions.summaries([POST])[0].tier is Tier.VIRAL  # the flag is set
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
def test_bad_arguments_for_a_feed_are_refused(arguments: tuple[Any, ...], name: str) -> None:
    with Reactions(Settings(redis_url="redis://127.0.0.1:1")) as nowhere:
        with pytest.raises(InvalidArgument) as error:
            nowhere.summaries(*arguments)
        assert error.value.argument == name


def test_the_largest_feed(engine: Engine) -> None:
    """Several scripts look up the posts; each post gets its own answer, in the requested order."""
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
    """With posts of all tiers, and with posts that the user did and did not react to."""
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
    """A post without a summary costs a second round trip. The lookup writes its summary."""
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


def test_a_complete_hash_proves_that_a_user_did_not_react(small: Engine) -> None:
    make_regular(small, POST)
    client = small.reactions
    client.counts(POST)
    with without_database(small.settings) as alone:  # a summary does not say who reacted
        assert alone.reaction_of(123_456, POST) is None
        assert alone.summaries([POST], 123_457)[0].reaction is None
        assert alone.summaries([POST], 1)[0].reaction == "like"
    assert small.user_loader.load([123_456, 123_457]) == 2
    with traffic(client) as seen:
        assert client.reaction_of(123_456, POST) is None
        assert client.summaries([POST], 123_457)[0].reaction is None
    assert (seen.trips, seen.queries) == (2, [])


@pytest.fixture
def caching(small: Engine) -> Iterator[Reactions]:
    with Reactions(small.settings.model_copy(update={"local_cache_s": 30.0})) as client:
        yield client


def test_counts_of_a_viral_post_come_from_the_local_cache(
    small: Engine, caching: Reactions
) -> None:
    make_viral(small, POST)
    make_regular(small, 2)
    first = caching.summaries([POST, 2])
    with traffic(caching) as seen:
        assert caching.summaries([POST]) == first[:1]
        assert caching.counts(POST) == first[0].counts
    assert (seen.trips, seen.queries) == (0, [])
    react(small, POST, [500])
    react(small, 2, [500])
    assert caching.counts(POST) == first[0].counts
    assert caching.counts(2)["like"] == 9  # regular posts are not in the local cache
    with traffic(caching) as seen:
        assert caching.summaries([2, POST]) == [
            small.reactions.summaries([2])[0],
            first[0],
        ]
    assert seen.trips == 2  # one of them by the other client


def test_a_read_with_a_user_skips_the_local_cache(small: Engine, caching: Reactions) -> None:
    make_viral(small, POST)
    caching.counts(POST)
    react(small, POST, [500], "wow")
    (found,) = caching.summaries([POST], 500)
    assert (found.reaction, found.total) == ("wow", 16)


def test_the_local_cache_expires(small: Engine) -> None:
    make_viral(small, POST)
    settings = small.settings.model_copy(update={"local_cache_s": 0.05})
    with Reactions(settings) as client:
        assert client.counts(POST)["like"] == 15
        react(small, POST, [500])
        wait_until(lambda: client.counts(POST)["like"] == 16, what="the counts to be read again")


def test_the_local_cache_is_off_by_default(small: Engine) -> None:
    make_viral(small, POST)
    small.reactions.counts(POST)
    react(small, POST, [500])
    assert small.reactions.counts(POST)["like"] == 16


def test_a_count_below_zero_is_shown_as_zero(engine: Engine) -> None:
    engine.client.hset(keys.post_reaction_counts(POST), "1", -3)
    assert engine.reactions.counts(POST)["like"] == 0
