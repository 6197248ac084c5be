"""set_clock_back.lua: what is pending moves from the future to now, in its order."""

from __future__ import annotations

from typing import Any

from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import markers, writes
from tests.lua.support import FELLOW, FOREVER, LEASE, OTHER, POST, SHARD, USER

HOUR_US = 3_600_000_000


def now_us(redis: Redis) -> int:
    seconds, micros = redis.time()
    return int(seconds) * 1_000_000 + int(micros)


def version_at(redis: Redis, key: str, user: int) -> int:
    found: Any = redis.hget(key, str(user))
    return int(found.partition(b":")[2])


def test_changes_keep_their_order_and_are_newer_than_every_row(redis: Redis) -> None:
    now = now_us(redis)
    redis.hset(keys.post_pending(OTHER), str(USER), f"2:{now - 5}")  # from before the mishap
    redis.zadd(keys.outbox_dirty(SHARD), {str(OTHER): 1})
    redis.set(keys.outbox_clock(SHARD), now + HOUR_US)
    writes.record(keys, USER, POST, 1, 10).run(redis)
    writes.record(keys, FELLOW, OTHER, 3, 10).run(redis)
    redis.rename(keys.post_pending(POST), keys.post_claimed(POST))
    writes.record(keys, USER, POST, 4, 10).run(redis)
    newest = now_us(redis)
    assert markers.set_clock_back(keys, SHARD, newest, LEASE).run(redis) == [1, 4]
    moved = [
        version_at(redis, keys.post_pending(OTHER), USER),
        version_at(redis, keys.post_claimed(POST), USER),
        version_at(redis, keys.post_pending(OTHER), FELLOW),
        version_at(redis, keys.post_pending(POST), USER),
    ]
    assert (
        newest
        < moved[0]
        < moved[1]
        < moved[2]
        < moved[3]
        == int(redis.get(keys.outbox_clock(SHARD)) or 0)
    )
    assert moved[3] <= now_us(redis)
    assert redis.hget(keys.post_pending(POST), str(USER)) == f"4:{moved[3]}".encode()
    following = writes.record(keys, USER, POST, 5, 10).run(redis)[2]
    assert moved[3] < following <= now_us(redis)


def test_a_clean_shard_goes_on_from_now(redis: Redis) -> None:
    now = now_us(redis)
    redis.set(keys.outbox_clock(SHARD), now + HOUR_US)
    assert markers.set_clock_back(keys, SHARD, now, LEASE).run(redis) == [1, 0]
    assert now <= int(redis.get(keys.outbox_clock(SHARD)) or 0) <= now_us(redis)


def test_nothing_moves_while_a_drain_has_the_shard(redis: Redis) -> None:
    now = now_us(redis)
    redis.set(keys.outbox_clock(SHARD), now + HOUR_US)
    writes.record(keys, USER, POST, 1, 10).run(redis)
    redis.set(keys.outbox_lease(SHARD), f"t|{now + LEASE // 2}|0")
    before = redis.hgetall(keys.post_pending(POST)), redis.get(keys.outbox_clock(SHARD))
    assert markers.set_clock_back(keys, SHARD, now, LEASE).run(redis) == [0]
    assert before == (redis.hgetall(keys.post_pending(POST)), redis.get(keys.outbox_clock(SHARD)))
    redis.set(keys.outbox_lease(SHARD), f"t|{FOREVER}|0")  # from before the clock stepped back
    assert markers.set_clock_back(keys, SHARD, now, LEASE).run(redis) == [1, 1]
