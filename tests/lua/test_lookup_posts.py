"""lookup_posts.lua: what a read finds, and which TTLs it renews."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.redis import buckets
from reactions.redis.buckets import bucket_of
from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import lookups, writes
from tests.lua.support import (
    COLD_MS,
    OTHER,
    POST,
    REGULAR_MS,
    VIRAL,
    VIRAL_KEYS,
    VIRAL_MS,
    bucket_names,
    complete,
    key_of,
    lives,
    lookup,
    react,
    sample,
    settle,
    shorten,
)
from tests.support.loads import SingleLoads


def test_a_lookup_of_a_cold_post_finds_nothing_and_leaves_nothing(redis: Redis) -> None:
    assert lookup(redis, 1) == (0, 0, -1, {})
    assert lookup(redis) == (0, 0, -1, {})
    assert redis.dbsize() == 0


def test_a_lookup_of_a_regular_post(redis: Redis, small: SingleLoads) -> None:
    settle(redis, {1: 3, 2: 2})
    assert lookup(redis, 1) == (0, 0, -1, {1: 3, 2: 2})
    complete(small, {1: 1, 2: 2, 3: 1, 4: 1, 5: 2})
    for user, code in {1: 1, 2: 2, 5: 2, 6: 0, 77: 0}.items():
        assert lookup(redis, user) == (0, buckets.count_for(5), code, {1: 3, 2: 2})
    assert lookup(redis, 0)[2] == -1


def test_a_lookup_prefers_the_outbox(redis: Redis, small: SingleLoads) -> None:
    complete(small, {1: 1, 2: 1, 3: 1})
    redis.hset(keys.post_claimed(POST), mapping={"1": "2:5", "2": "2:5", "9": "0:5"})
    redis.hset(keys.post_pending(POST), mapping={"1": "3:6", "3": "0:6"})
    assert [lookup(redis, user)[2] for user in (1, 2, 3, 9)] == [3, 2, 0, 0]
    redis.delete(keys.post_reactions(POST))
    assert [lookup(redis, user)[2] for user in (1, 2, 3, 9, 10)] == [3, 2, 0, 0, -1]


def test_a_lookup_of_a_viral_post(redis: Redis, small: SingleLoads) -> None:
    settle(redis, {1: VIRAL})
    assert lookup(redis, 1) == (1, 0, -1, {1: VIRAL})
    sample(small, [(2, 3), (1, 2)], total=VIRAL)
    assert lookup(redis, 1) == (1, -2, 2, {1: VIRAL})
    assert lookup(redis, 2) == (1, -2, 3, {1: VIRAL})
    assert lookup(redis, 3) == (1, -2, -1, {1: VIRAL})


@pytest.mark.parametrize("viral", [False, True])
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lookup_does_not_trust_a_lost_bucket(
    redis: Redis, small: SingleLoads, viral: bool, lost: int
) -> None:
    if viral:
        sample(small, [(1, 1), (2, 2), (3, 3)])
    else:
        complete(small, {1: 1, 2: 2, 3: 3})
    redis.delete(keys.bucket(keys.post_reactions(POST), lost))
    found = {user: lookup(redis, user)[2] for user in (1, 2, 3)}
    known = {user: user if lost and not bucket_of(user, 2) else -1 for user in (1, 2, 3)}
    assert found == known
    assert set(known.values()) > {-1} or not lost


def test_a_lookup_of_a_deleted_post(redis: Redis, small: SingleLoads) -> None:
    complete(small, {1: 1})
    writes.delete(keys, POST).run(redis)
    assert lookup(redis, 1) == (2, 0, 0, {})


def test_a_lookup_survives_a_corrupt_entry(redis: Redis, small: SingleLoads) -> None:
    complete(small, {1: 1})
    redis.hset(keys.post_pending(POST), "1", "garbage")
    assert lookup(redis, 1)[2] == 1


def test_a_lookup_renews_what_is_past_half_its_ttl(redis: Redis, small: SingleLoads) -> None:
    """It also writes the summary, which lives for a quarter of that TTL."""

    def check(everything: set[str], life: int) -> None:
        assert set(lives(redis)) == everything
        for left in (life // 2 + 5_000, life // 2 - 5_000):
            for what in everything:
                redis.pexpire(key_of(what), left)
            redis.pexpire(key_of("summary"), 1_000)
            lookup(redis, 1)
            renewed = life if left < life // 2 else left
            assert lives(redis) == dict.fromkeys(everything, renewed) | {"summary": life // 4}

    settle(redis, {1: 5})
    check({"reaction_counts"}, COLD_MS)
    complete(small, dict.fromkeys(range(1, 6), 1))
    check({"reaction_counts"} | bucket_names(5), REGULAR_MS)
    sample(small, [(2, 3), (1, 2)], total=VIRAL, ever=[1])
    check(VIRAL_KEYS | {"reaction_counts", "reactions", "reactions:1"}, VIRAL_MS)


def test_a_lookup_renews_the_ttl_when_the_counts_are_lost(redis: Redis, small: SingleLoads) -> None:
    complete(small, dict.fromkeys(range(1, 6), 1))
    shorten(redis)
    lookup(redis)
    assert lives(redis) == dict.fromkeys(bucket_names(5), REGULAR_MS)  # and no summary


def test_a_lookup_of_many_posts_replies_for_each(redis: Redis, small: SingleLoads) -> None:
    """The posts are of every tier, and each gets its own summary and its own share of a TTL."""
    deleted, pending, unknown = POST + 200, POST + 300, POST + 400
    complete(small, {1: 1, 2: 2})
    settle(redis, {1: 1, 2: 1})
    settle(redis, {1: VIRAL}, post=OTHER)
    react(redis, 1, 5, post=pending)
    writes.delete(keys, deleted).run(redis)
    for post in (POST, OTHER):
        shorten(redis, post)
    posts, shares = [OTHER, deleted, unknown, POST, pending], [900, 800, 700, 600, 500]
    assert lookups.lookup_posts(
        keys, posts, 1, shares, cold_ms=COLD_MS, regular_ms=REGULAR_MS, viral_ms=VIRAL_MS
    ).run(redis) == [
        [1, 0, -1, b"1", str(VIRAL).encode()],
        [2, 0, 0],
        [0, 0, -1],
        [0, 1, 1, b"1", b"1", b"2", b"1"],
        [0, 0, 5],
    ]
    viral = {"reaction_counts", "viral", "total_reactions"}
    for post, share, summary, names_of_it in (
        (POST, REGULAR_MS * 600 // 1000, b"0,1,1,2,1", {"reaction_counts"} | bucket_names(2)),
        (OTHER, VIRAL_MS * 900 // 1000, b"1,1,%d" % VIRAL, viral),
        (deleted, COLD_MS * 800 // 1000, b"2,", set[str]()),
    ):
        assert redis.get(keys.post_summary(post)) == summary
        life = dict.fromkeys(names_of_it, share) | {"summary": share // 4}
        assert lives(redis, post) == life
    assert not redis.exists(keys.post_summary(unknown), keys.post_summary(pending))
