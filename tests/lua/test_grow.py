"""grow.lua: a complete hash that gets more buckets."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.core.settings import Settings
from reactions.redis import buckets
from reactions.redis.buckets import bucket_of
from reactions.redis.keys import default_keys as keys
from reactions.redis.pipeline import run_many
from reactions.redis.post_snapshots import PostSnapshots
from reactions.redis.scripts import drain, loading, writes
from tests.lua.support import (
    ACCEPTED,
    OTHER,
    POST,
    UNCHANGED,
    bucket_names,
    complete,
    entries,
    fields,
    key_of,
    lives,
    react,
    sample,
    settle,
    user_in,
)
from tests.support.loads import SingleLoads


def grow(redis: Redis, fill: int, most: int = 100, post: int = POST) -> int:
    call = loading.GROW.call((keys.post_reactions(post),), (fill, most))
    return int(call.run(redis))


@pytest.mark.parametrize("number_of", [1, 5, 37, 200])
@pytest.mark.parametrize("full", [2, 3, 10])
def test_a_hash_grows_until_no_bucket_is_too_full(
    redis: Redis, store: SingleLoads, number_of: int, full: int
) -> None:
    rows = {user: 1 + user % 6 for user in range(7, 7 * number_of + 1, 7)}
    complete(store, rows)
    while grow(redis, full, most=7):
        assert entries(redis) == rows  # complete after every step
    assert entries(redis) == rows
    size = fields(redis, keys.post_reactions(POST))[0]
    assert size & (size - 1) == 0
    assert len(rows) <= size * full
    assert size == 1 or size // 2 * full < len(rows) + size // 2  # no more buckets than needed


def test_an_interrupted_growth_continues(redis: Redis, store: SingleLoads) -> None:
    """Its buckets are not equally full, so the average of all does not matter."""
    rows = dict.fromkeys(range(1, 101), 1)
    complete(store, rows)
    assert grow(redis, 5, most=4) == 1
    assert fields(redis, keys.post_reactions(POST))[0] == 5
    assert settle(redis, {1: 5}) == drain.GROW_HASH
    assert grow(redis, 100_000) == 0
    assert fields(redis, keys.post_reactions(POST))[0] == 8
    assert entries(redis) == rows
    assert settle(redis, {1: 5}) == 0


def test_growing_divides_at_most_the_given_number_of_buckets(
    redis: Redis, store: SingleLoads
) -> None:
    complete(store, dict.fromkeys(range(1, 101), 1))
    sizes = []
    for _ in range(4):
        assert grow(redis, 1, most=3) == 1
        sizes.append(fields(redis, keys.post_reactions(POST))[0])
    assert sizes == [4, 7, 10, 13]


def test_the_library_grows_a_hash_in_steps(redis: Redis, store: SingleLoads) -> None:
    rows = dict.fromkeys(range(1, 5_001), 1)
    complete(store, dict.fromkeys(range(1, 301), 1))
    run_many(redis, [writes.record(keys, user, POST, 1, 1) for user in range(301, 5_001)])
    assert entries(redis) == rows
    assert fields(redis, keys.post_reactions(POST))[0] == 1
    store.grow([POST, OTHER])
    assert entries(redis) == rows
    size = fields(redis, keys.post_reactions(POST))[0]
    assert size == 16
    assert react(redis, 4_999, 1).status == UNCHANGED


def test_a_hash_that_grows_little_by_little_stays_in_listpacks(
    redis: Redis, store: SingleLoads
) -> None:
    complete(store, {1: 1})
    for first in range(2, 2_502, 100):
        calls = [writes.record(keys, user, POST, 1, 1) for user in range(first, first + 100)]
        run_many(redis, calls)
        store.grow([POST])
    assert entries(redis) == dict.fromkeys(range(1, 2_502), 1)
    assert fields(redis, keys.post_reactions(POST))[0] == 8
    kinds = {redis.object("encoding", key_of(what)) for what in bucket_names(2_001)}
    assert kinds == {b"listpack"}


def test_a_burst_between_two_drains_leaves_only_listpacks(redis: Redis, store: SingleLoads) -> None:
    """A bucket that became a hash table stays one, with three times the memory."""
    complete(store, {1: 1})
    run_many(redis, [writes.record(keys, user, POST, 1, 1) for user in range(2, 2_001)])
    assert redis.object("encoding", keys.post_reactions(POST)) == b"hashtable"
    store.grow([POST])
    assert entries(redis) == dict.fromkeys(range(1, 2_001), 1)
    kinds = {redis.object("encoding", key_of(what)) for what in bucket_names(2_000)}
    assert kinds == {b"listpack"}


def test_new_buckets_live_as_long_as_the_first(redis: Redis, small: SingleLoads) -> None:
    complete(small, dict.fromkeys(range(1, 6), 1))
    before = set(lives(redis))
    for what in before:
        redis.pexpire(key_of(what), 50_000)
    grow(redis, 1)
    found = lives(redis)
    assert set(found) > before
    assert set(found.values()) == {50_000}


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_a_hash_with_a_lost_bucket_stays_incomplete(
    redis: Redis, small: SingleLoads, lost: int
) -> None:
    rows = dict.fromkeys(range(1, 9), 1)
    complete(small, rows)
    assert fields(redis, keys.post_reactions(POST))[0] == 4
    redis.delete(keys.bucket(keys.post_reactions(POST), lost))
    grow(redis, 1)
    (found,) = PostSnapshots(redis, Settings()).snapshots([POST])
    assert not found.complete
    gone = [user for user in rows if bucket_of(user, 4) == lost]
    assert gone
    for user in gone:
        # A missing entry does not mean that there is no reaction.
        assert react(redis, user, 2).status == ACCEPTED


def test_growing_overwrites_buckets_of_an_earlier_hash(redis: Redis, small: SingleLoads) -> None:
    rows = dict.fromkeys(range(1, 6), 1)
    complete(small, rows)
    for at in range(buckets.count_for(5), 20):
        redis.hset(keys.bucket(keys.post_reactions(POST), at), mapping={"0": 1, "77": 3, "1": 4})
    grow(redis, 1)
    assert fields(redis, keys.post_reactions(POST))[0] >= 8
    assert entries(redis) == rows


def test_a_sample_or_nothing_does_not_grow(redis: Redis, small: SingleLoads) -> None:
    assert grow(redis, 1) == 0
    sample(small, [(user, 1) for user in range(1, 9)])
    before = {key: redis.dump(key) for key in redis.keys()}
    assert grow(redis, 1) == 0
    redis.hset(keys.post_reactions(OTHER), mapping={"5": 1})  # without its mark
    assert grow(redis, 1, post=OTHER) == 0
    redis.delete(keys.post_reactions(OTHER))
    assert {key: redis.dump(key) for key in redis.keys()} == before


def test_a_bucket_with_very_many_entries_is_divided_completely(redis: Redis) -> None:
    """Chosen ids can all fall into one bucket; a Lua call takes a few thousand arguments."""
    homes = [user_in(at, 2) for at in range(2)]
    rows = {buckets.PRIME * number + homes[number % 2]: 1 for number in range(1, 20_001)}
    first = keys.post_reactions(POST)
    redis.hset(first, items=["0", 1, *(part for user in rows for part in (user, 1))])
    redis.pexpire(first, 50_000)
    assert grow(redis, 15_000) == 0
    assert entries(redis) == rows
    assert [redis.hlen(keys.bucket(first, at)) for at in range(2)] == [10_001, 10_001]
    assert PostSnapshots(redis, Settings()).snapshots([POST])[0].complete
