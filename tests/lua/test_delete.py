"""delete.lua: what a deletion drops, keeps and notes."""

from __future__ import annotations

from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import writes
from tests.lua.support import (
    OTHER,
    POST,
    SHARD,
    VIRAL,
    complete,
    names,
    react,
    sample,
    settle,
)
from tests.support.loads import SingleLoads


def test_a_deletion_drops_everything_except_a_claim(redis: Redis, small: SingleLoads) -> None:
    react(redis, 1, 1)
    settle(redis, {1: VIRAL})
    sample(small, [(user, 1) for user in range(1, 9)], ever=[1])
    redis.hset(keys.post_claimed(POST), "1", "1:5")
    react(redis, 2, 2)
    small.fence_call(POST, "t").run(redis)
    react(redis, 5, 1, OTHER)
    assert writes.delete(keys, POST).run(redis) == 1
    assert names(redis) == {"claimed"}
    assert redis.smembers(keys.outbox_deleted(SHARD)) == {b"1042"}
    assert redis.smembers(keys.outbox_deletions(SHARD)) == {b"1042"}
    assert redis.zrange(keys.outbox_dirty(SHARD), 0, -1) == [b"1042", b"1142"]
    assert names(redis, OTHER) == {"pending", "delta"}


def test_a_deleted_post_without_a_claim_is_clean(redis: Redis, small: SingleLoads) -> None:
    complete(small, dict.fromkeys(range(1, 9), 1))
    react(redis, 2, 2)
    writes.delete(keys, POST).run(redis)
    assert names(redis) == set()
    assert not redis.exists(keys.outbox_dirty(SHARD))


def test_a_second_deletion_does_not_start_again(redis: Redis) -> None:
    assert writes.delete(keys, POST).run(redis) == 1
    redis.srem(keys.outbox_deletions(SHARD), POST)  # the rows are gone
    assert writes.delete(keys, POST).run(redis) == 0
    assert not redis.exists(keys.outbox_deletions(SHARD))
