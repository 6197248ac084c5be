"""settle.lua with include/tiers.lua: the tier of a post, and what its caches lack."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.redis.buckets import FULL
from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import drain
from reactions.redis.scripts.drain import (
    BECAME_REGULAR,
    BECAME_VIRAL,
    LOAD_HASH,
    LOAD_SAMPLE,
    SettledPost,
)
from tests.lua.support import (
    COLD_MS,
    CREATED,
    HOT_MS,
    LEASE,
    LOW,
    OTHER,
    POST,
    REGULAR_MS,
    REMOVED,
    SHARD,
    TIERS,
    UNCHANGED,
    VIRAL,
    VIRAL_KEYS,
    VIRAL_MS,
    bucket_names,
    complete,
    entries,
    key_of,
    lives,
    names,
    number,
    react,
    sample,
    settle,
    settled,
    shorten,
)
from tests.support.loads import SingleLoads
from tests.support.waiting import wait_until


def test_a_post_is_viral_from_the_threshold_on(redis: Redis) -> None:
    assert settle(redis, {1: VIRAL - 1}) == 0
    assert not redis.exists(keys.post_viral(POST), keys.post_total_reactions(POST))
    assert settle(redis, {1: VIRAL - 4, 2: 4}) == LOAD_SAMPLE
    assert redis.get(keys.post_viral(POST)) == b"1"
    assert number(redis, keys.post_total_reactions(POST)) == VIRAL


def test_what_is_pending_counts_towards_the_threshold_and_the_total(redis: Redis) -> None:
    assert settle(redis, {1: VIRAL - 2}, behind=[(1, 1)]) == 0
    assert settle(redis, {1: VIRAL - 2}, behind=[(2, 1), (3, 2)]) == LOAD_SAMPLE
    assert number(redis, keys.post_total_reactions(POST)) == VIRAL
    settle(redis, {1: VIRAL + 5}, behind=[(2, 0), (3, 1)])
    assert number(redis, keys.post_total_reactions(POST)) == VIRAL + 4


def test_between_the_low_mark_and_the_threshold_a_post_keeps_its_tier(
    redis: Redis, small: SingleLoads
) -> None:
    assert settle(redis, {1: LOW}) == 0
    assert not redis.exists(keys.post_viral(POST))
    settle(redis, {1: VIRAL})
    sample(small, [(user, 1) for user in range(1, 9)], total=VIRAL, ever=[1])
    assert settle(redis, {1: LOW}) == 0
    assert names(redis) >= VIRAL_KEYS
    assert number(redis, keys.post_total_reactions(POST)) == LOW


@pytest.mark.parametrize("lost", [(), ("viral",), ("recent", "uniques"), ("total_reactions",)])
def test_below_the_low_mark_a_post_is_regular_again(
    redis: Redis, small: SingleLoads, lost: tuple[str, ...]
) -> None:
    settle(redis, {1: VIRAL})
    sample(small, [(user, 1) for user in range(1, 9)], total=VIRAL, ever=[1])
    assert names(redis) == VIRAL_KEYS | {"reaction_counts", "reactions", "reactions:1"}
    for what in lost:
        redis.delete(key_of(what))
    assert settle(redis, {1: LOW - 1}) == LOAD_HASH
    assert names(redis) == {"reaction_counts", "loading"}
    assert lives(redis) == {"reaction_counts": COLD_MS}


def test_a_demoted_post_with_a_complete_hash_keeps_it(redis: Redis, store: SingleLoads) -> None:
    complete(store, {1: 1})
    redis.set(keys.post_viral(POST), 1, px=1000)
    assert settle(redis, {1: LOW - 1}) == 0
    assert names(redis) == {"reaction_counts", "reactions"}


def test_settle_reports_a_change_of_tier(redis: Redis, small: SingleLoads) -> None:
    assert settled(redis, {1: VIRAL - 1}) == set()
    assert settled(redis, {1: VIRAL}) == {BECAME_VIRAL, LOAD_SAMPLE}
    assert settled(redis, {1: LOW}) == {LOAD_SAMPLE}
    sample(small, [(user, 1) for user in range(1, LOW + 1)], total=LOW)
    assert settled(redis, {1: VIRAL}) == set()
    assert settled(redis, {1: LOW - 1}) == {BECAME_REGULAR, LOAD_HASH}


def test_a_post_that_lost_all_caches_is_cold(redis: Redis) -> None:
    settle(redis, {1: VIRAL})
    redis.flushall()
    assert settle(redis, {1: LOW}) == 0
    assert names(redis) == {"reaction_counts"}


def test_a_promoted_post_keeps_its_complete_hash_until_the_sample_is_there(
    redis: Redis, store: SingleLoads
) -> None:
    complete(store, {1: 1, 2: 2})
    assert settle(redis, {1: VIRAL}) == LOAD_SAMPLE
    assert names(redis) == {"reaction_counts", "reactions", "viral", "loading"}
    assert entries(redis) == {1: 1, 2: 2}
    assert react(redis, 1, 1).status == UNCHANGED  # it still knows every user
    assert react(redis, 3, 1).status == CREATED


@pytest.mark.parametrize("share", [1000, 900, 500])
def test_every_tier_has_its_own_ttl(redis: Redis, small: SingleLoads, share: int) -> None:
    def life(ms: int) -> int:
        return ms * share // 1000

    settle(redis, {1: 1}, share=share)
    assert lives(redis) == {"reaction_counts": life(COLD_MS)}
    settle(redis, {1: 1}, share=share, hot=True)
    assert lives(redis) == {"reaction_counts": life(HOT_MS)}

    redis.flushall()
    complete(small, dict.fromkeys(range(1, 6), 1))
    everything = {"reaction_counts"} | bucket_names(5)
    assert len(everything) > 3
    settle(redis, {1: 5}, share=share)
    assert lives(redis) == dict.fromkeys(everything, life(REGULAR_MS))
    settle(redis, {1: 5}, share=share, hot=True)
    assert lives(redis) == dict.fromkeys(everything, life(HOT_MS))

    redis.flushall()
    sample(small, [(user, 1) for user in range(1, 9)], ever=[1])
    shorten(redis)
    assert settle(redis, {1: VIRAL}, share=share, hot=True) == 0
    everything = VIRAL_KEYS | {"reaction_counts", "reactions", "reactions:1"}
    assert lives(redis) == dict.fromkeys(everything, life(VIRAL_MS))


def test_a_ttl_that_rounds_to_zero_still_ends(redis: Redis, small: SingleLoads) -> None:
    """A TTL of 0 would be no TTL, so the script never rounds to 0."""
    complete(small, dict.fromkeys(range(1, 6), 1))
    settle(redis, {1: 1}, share=0)
    wait_until(lambda: not names(redis), what="a TTL of a millisecond to end")


def test_a_promoted_hash_gets_the_ttl_of_a_viral_post(redis: Redis, small: SingleLoads) -> None:
    complete(small, dict.fromkeys(range(1, 6), 1))
    settle(redis, {1: VIRAL})
    everything = {"reaction_counts", "viral"} | bucket_names(5)
    assert lives(redis) == dict.fromkeys(everything, VIRAL_MS)


def test_a_post_is_loaded_when_it_is_used_again(redis: Redis) -> None:
    assert settle(redis, {1: 1}) == 0
    assert settle(redis, {1: 1}) == LOAD_HASH
    assert settle(redis, {1: 1}, post=OTHER) == 0


@pytest.mark.parametrize("lost", ["reactions", "reactions:1", "reactions:2"])
def test_a_hash_that_lost_a_bucket_is_loaded_again(
    redis: Redis, small: SingleLoads, lost: str
) -> None:
    complete(small, dict.fromkeys(range(1, 6), 1))
    assert settle(redis, {1: 5}) == 0
    redis.delete(key_of(lost))
    assert settle(redis, {1: 5}) == LOAD_HASH


@pytest.mark.parametrize("lost", ["reactions", "reactions:1", "recent"])
def test_a_sample_that_lost_a_part_is_loaded_again(
    redis: Redis, small: SingleLoads, lost: str
) -> None:
    sample(small, [(user, 1) for user in range(1, 9)])
    assert settle(redis, {1: VIRAL}) == 0
    redis.delete(key_of(lost))
    assert settle(redis, {1: VIRAL}) == LOAD_SAMPLE


def test_a_sample_that_shrank_is_loaded_again(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(user, 1) for user in range(1, 9)])
    assert settle(redis, {1: VIRAL}) == 0
    assert react(redis, 1, 0).status == REMOVED
    assert settle(redis, {1: VIRAL - 1}) == LOAD_SAMPLE


def test_a_sample_of_every_user_is_long_enough(redis: Redis, store: SingleLoads) -> None:
    """The threshold can be lower than the size of a sample."""
    sample(store, [(user, 1) for user in range(1, VIRAL + 1)])
    assert settle(redis, {1: VIRAL}) == 0
    assert settle(redis, {1: VIRAL + 1}) == LOAD_SAMPLE


@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_hash_grows_when_it_is_too_full(redis: Redis, size: int) -> None:
    for at in range(size):
        key = keys.bucket(keys.post_reactions(POST), at)
        redis.hset(key, mapping={"0": 1 if at else size})
    tiers = TIERS._replace(threshold=1_000_000, low=900_000)
    for total, what in ((size * FULL, []), (size * FULL + 1, [b"1042", drain.GROW_HASH])):
        react(redis, total, 1)
        claimed = drain.claim(
            keys, SHARD, "c", "", lease_us=LEASE, longest_us=LEASE, posts=9, rows=9, inline=9
        ).run(redis)
        posts = [SettledPost(POST, 1000, False, 0, {1: total})]
        reply = drain.settle(keys, SHARD, "c", claimed[1], tiers=tiers, lags={}, posts=posts).run(
            redis
        )
        assert reply[3:] == what
    assert not redis.exists(keys.post_loading(POST))
