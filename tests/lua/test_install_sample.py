"""install_sample.lua: the caches of a viral post, from the database and what is pending."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from reactions.redis import buckets
from reactions.redis import cache_install as cache
from reactions.redis.keys import default_keys as keys
from reactions.redis.pipeline import Call
from reactions.redis.post_cache import PostCache
from reactions.redis.scripts import loading
from tests.lua.support import (
    ACCEPTED,
    POST,
    bucket_names,
    complete,
    entries,
    fields,
    lives,
    lookup,
    names,
    number,
    react,
    recent,
    sample,
    user_in,
)
from tests.support.loads import SingleLoads


def test_a_loaded_sample_is_overlaid_with_what_is_pending(redis: Redis, small: SingleLoads) -> None:
    """A removed, a replaced and a new reaction; the newest first, and at most four."""
    react(redis, 2, 0)
    react(redis, 5, 3)
    react(redis, 9, 4)
    sample(small, [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)], total=5)
    assert recent(redis) == [9, 5, 1, 3]
    assert entries(redis) == {9: 4, 5: 3, 1: 1, 3: 1}
    # The previous reactions of all three were unknown, so each adds one or nothing.
    assert number(redis, keys.post_total_reactions(POST)) == 5 + 2


def test_a_sample_of_pending_reactions_only(redis: Redis, small: SingleLoads) -> None:
    for user in range(1, 10):
        react(redis, user, 1)
    sample(small, [(77, 1)], total=1)
    assert recent(redis) == [9, 8, 7, 6]


def test_a_corrupt_pending_entry_does_not_break_a_sample(redis: Redis, small: SingleLoads) -> None:
    for user, value in (("1", "garbage"), ("2", "5"), ("3", "")):
        redis.hset(keys.post_pending(POST), user, value)
    react(redis, 4, 1)
    sample(small, [(1, 1), (2, 2)], total=2)
    assert recent(redis) == [4, 1, 2]


def test_the_hyperloglog_has_every_past_and_pending_user(
    redis: Redis, store: SingleLoads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_CHUNK", 10)  # several parts
    react(redis, 1_000_001, 1)
    react(redis, 5, 2)
    sample(store, [(5, 1)], ever=range(1, 101))
    assert redis.pfcount(keys.post_uniques(POST)) == 101
    assert lives(redis)["uniques"] > 0
    assert not [name for name in names(redis) if name.startswith("loading")]


def test_a_sample_is_installed_even_if_its_hyperloglog_is_lost(
    redis: Redis, store: SingleLoads, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = Call.run

    def lose_it(call: Call, client: Redis) -> Any:
        if call.script is loading.INSTALL_SAMPLE:
            assert client.delete(keys.post_loaded(POST, "t")) == 1
        return execute(call, client)

    monkeypatch.setattr(Call, "run", lose_it)
    sample(store, [(5, 1)], ever=range(1, 101))
    assert not redis.exists(keys.post_uniques(POST))
    assert recent(redis) == [5]


def test_an_earlier_hyperloglog_stays_if_no_other_was_loaded(
    redis: Redis, store: SingleLoads
) -> None:
    redis.pfadd(keys.post_uniques(POST), *range(50))
    sample(store, [(5, 1)])
    assert redis.pfcount(keys.post_uniques(POST)) == 50
    assert lives(redis)["uniques"] > 0


def test_a_loaded_hyperloglog_replaces_the_earlier_one(redis: Redis, store: SingleLoads) -> None:
    redis.pfadd(keys.post_uniques(POST), *range(1_000, 1_050))
    sample(store, [(5, 1)], ever=[1, 2, 3])
    assert redis.pfcount(keys.post_uniques(POST)) == 3


@pytest.mark.parametrize("reason", ["claimed", "another load", "too much is pending"])
def test_a_refused_sample_changes_nothing_and_leaves_nothing(
    redis: Redis, store: SingleLoads, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(store, {1: 1})
    assert store.fence(POST, "t")
    if reason == "claimed":
        redis.delete(keys.post_loading(POST))  # as a claim does
    elif reason == "another load":
        assert store.fence(POST, "u")
    else:
        monkeypatch.setattr(cache, "MAX_OVERLAY_ENTRIES", 2)
        for user in (1, 2, 3):
            react(redis, user, 2)
    before = {key: redis.dump(key) for key in redis.keys()}
    assert not store.install_sample(POST, "t", total=1, newest=[(1, 1)], ever=range(2_500))
    assert {key: redis.dump(key) for key in redis.keys()} == before


def test_a_sample_replaces_a_complete_hash(redis: Redis, small: SingleLoads) -> None:
    complete(small, dict.fromkeys(range(1, 30), 1))
    assert lives(redis).keys() == bucket_names(29)
    sample(small, [(3, 2), (2, 2)])
    assert entries(redis) == {3: 2, 2: 2}
    assert names(redis) == {"reactions", "reactions:1", "recent", "viral", "total_reactions"}
    assert all(life > 0 for life in lives(redis).values())


@pytest.mark.parametrize("before", ["sample", "hash"])
def test_a_sample_replaces_buckets_whose_first_is_lost(
    redis: Redis, small: SingleLoads, before: str
) -> None:
    """Only the first bucket says how many there are. The others must not come back."""
    one = user_in(1, 2)
    two = user_in(1, 2, one)
    three = user_in(1, 2, two)
    rows = [(one, 1), (two, 1), (three, 1), (user_in(0, 2), 1)]
    if before == "sample":
        sample(small, rows)
    else:
        complete(small, dict(rows))
    redis.delete(keys.post_reactions(POST))
    # Meanwhile two users removed their reactions and one changed it, in the database only.
    sample(small, [(1_000, 2), (three, 3)])
    assert entries(redis) == {1_000: 2, three: 3}
    assert lookup(redis, one)[2] == -1
    assert react(redis, two, 1).status == ACCEPTED


def test_a_sample_of_the_real_size(redis: Redis, store: SingleLoads, posts: PostCache) -> None:
    newest = [(user, 1 + user % 6) for user in range(50_000, 48_750, -1)]
    sample(store, newest, total=40_000)
    assert recent(redis) == [user for user, _ in newest[:1000]]
    assert entries(redis) == dict(newest[:1000])
    assert fields(redis, keys.post_reactions(POST))[0] == -buckets.count_for(1_000) < -1
    react(redis, 7, 1)
    assert recent(redis) == [7] + [user for user, _ in newest[:999]]
    assert posts.recent(POST, 1000) == [(7, 1), *newest[:999]]
