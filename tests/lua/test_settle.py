"""settle.lua: what it writes, drops and gives back."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.pipeline import run_many
from reactions.redis.scripts import drain, writes
from reactions.redis.scripts.drain import (
    BECAME_VIRAL,
    LOAD_HASH,
    LOAD_SAMPLE,
    SettledPost,
)
from tests.lua.support import (
    LEASE,
    OTHER,
    POST,
    SHARD,
    TIERS_AT_100,
    VIRAL,
    acknowledge,
    claim,
    names,
    react,
    sample,
    settle,
)
from tests.support.loads import SingleLoads


def test_settling_writes_counts_absolutely_with_what_is_pending(redis: Redis) -> None:
    react(redis, 1, 1)
    claimed = claim(redis, "a")
    react(redis, 2, 2)
    react(redis, 1, 3)  # replaces what is claimed
    redis.hset(keys.post_reaction_counts(POST), mapping={"1": 999, "9": 5})  # drift of any kind
    assert acknowledge(redis, "a", claimed, {POST: {1: 1, 2: 0, 3: 0}})[:2] == [1, 1]
    counts = redis.hgetall(keys.post_reaction_counts(POST))
    assert counts == {b"1": b"0", b"2": b"1", b"3": b"1"}
    assert redis.pttl(keys.post_reaction_counts(POST)) > 0
    assert not redis.exists(keys.post_claimed(POST), keys.outbox_lease(SHARD))
    assert redis.zscore(keys.outbox_dirty(SHARD), str(POST)) == claimed[1]
    assert redis.hgetall(keys.outbox_lags(SHARD)) == {b"100": b"3"}


def test_settling_drops_the_hash_of_a_post_with_refused_rows(redis: Redis) -> None:
    redis.hset(keys.post_reactions(POST), mapping={"0": 1})
    react(redis, 1, 1)
    claimed = claim(redis, "a")
    post = SettledPost(POST, 1000, False, 1, {1: 0})
    drain.settle(keys, SHARD, "a", claimed[1], tiers=TIERS_AT_100, lags={}, posts=[post]).run(redis)
    assert not redis.exists(keys.post_reactions(POST))


def test_settling_announces_a_load_of_a_post_in_use(redis: Redis) -> None:
    """A regular post is in use when its counts were cached; a viral post always is."""
    for post in (POST, OTHER):
        react(redis, 1, 1, post=post)
    reply = acknowledge(redis, "a", claim(redis, "a"), {POST: {1: 1}, OTHER: {1: 100}})
    assert reply[3:] == [b"1142", BECAME_VIRAL, b"1142", LOAD_SAMPLE]
    for post in (POST, OTHER):
        react(redis, 2, 1, post=post)
    reply = acknowledge(redis, "b", claim(redis, "b"), {POST: {1: 2}, OTHER: {1: 101}})
    assert reply[3:] == [b"1042", LOAD_HASH, b"1142", LOAD_SAMPLE]
    assert redis.get(keys.post_loading(POST)) == b"b"
    assert 0 < redis.pttl(keys.post_loading(POST)) <= 1000
    redis.hset(keys.post_reactions(POST), mapping={"0": 1})
    react(redis, 3, 1)
    assert acknowledge(redis, "c", claim(redis, "c"), {POST: {1: 3}})[3:] == []


def test_settling_works_for_the_largest_batch(redis: Redis) -> None:
    """The batch has more values than Lua can unpack."""
    posts = [SHARD + 100 * number for number in range(1, 5_001)]
    counts = {post: {1: 1} for post in posts}
    for what in (0, LOAD_HASH):  # at the second time, all have counts but no hash
        calls = [writes.record(keys, 7, post, 1 + what, 10_000_000) for post in posts]
        run_many(redis, calls)
        token = f"t{what}"
        claimed = claim(redis, token, posts=5_000, rows=5_000)
        reply = acknowledge(redis, token, claimed, counts)
        assert reply[:3] == [1, 0, 0]
        expected = dict.fromkeys(posts, what) if what else {}
        assert dict(zip(map(int, reply[3::2]), reply[4::2], strict=True)) == expected


def test_settling_without_the_lease_changes_nothing(redis: Redis) -> None:
    react(redis, 1, 1)
    claimed = claim(redis, "a")
    redis.delete(keys.outbox_lease(SHARD))
    before = {key: redis.dump(key) for key in redis.keys()}
    assert acknowledge(redis, "a", claimed, {POST: {1: 1}}) == [0]
    assert drain.trim(keys, POST, "a", LEASE, [1]).run(redis) == 0
    assert drain.extend_lease(keys, SHARD, "a", LEASE).run(redis) == 0
    assert {key: redis.dump(key) for key in redis.keys()} == before


def test_changes_behind_a_taken_over_claim_keep_their_age(redis: Redis) -> None:
    """Erasures and tombstones wait until all older changes are durable."""
    react(redis, 1, 1)
    claim(redis, "a", lease_us=1)
    react(redis, 2, 2)  # behind it, and older than the next claim
    oldest = redis.zscore(keys.outbox_dirty(SHARD), "1042")
    taken = claim(redis, "b")
    assert [post[3] for post in taken[3:]] == [1]
    acknowledge(redis, "b", taken, {POST: {1: 1}})
    assert redis.zscore(keys.outbox_dirty(SHARD), "1042") == oldest
    fresh = claim(redis, "c")
    assert [post[3] for post in fresh[3:]] == [0]
    react(redis, 3, 1)
    acknowledge(redis, "c", fresh, {POST: {1: 1, 2: 1}})
    assert redis.zscore(keys.outbox_dirty(SHARD), "1042") == fresh[1]


def test_refused_rows_drop_the_sample_and_the_hyperloglog(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(user, 1) for user in range(1, 9)], ever=[1])
    assert settle(redis, {1: VIRAL}, drop=1) == LOAD_SAMPLE
    assert names(redis) == {"reaction_counts", "viral", "total_reactions", "loading"}


@pytest.mark.parametrize("drop", [0, 2])
def test_a_deleted_post_keeps_nothing(redis: Redis, small: SingleLoads, drop: int) -> None:
    """Redis knows of the deletion (0), or the database does (2)."""
    sample(small, [(user, 1) for user in range(1, 9)], ever=[1])
    if drop == 0:
        redis.sadd(keys.outbox_deleted(SHARD), POST)
    what = settle(redis, {1: VIRAL}, drop=drop, behind=[(5, 2)] if drop else [])
    assert what == 0
    left = set() if drop else {"reactions", "reactions:1", "recent", "uniques"}
    assert names(redis) - left == set()
    assert redis.sismember(keys.outbox_deleted(SHARD), str(POST))
    assert not redis.exists(keys.outbox_dirty(SHARD))


def test_settling_one_post_leaves_its_neighbour_alone(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(1, 1), (2, 2)], post=OTHER, ever=[1, 2])
    before = {key: redis.dump(key) for key in redis.keys(f"post:*:{OTHER}:*")}
    settle(redis, {1: VIRAL})
    settle(redis, {1: 1}, drop=2)
    assert {key: redis.dump(key) for key in redis.keys(f"post:*:{OTHER}:*")} == before
