"""advance_erasure.lua: the steps of an erasure."""

from __future__ import annotations

from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import markers
from tests.lua.support import (
    FELLOW,
    SHARD,
    USER,
)


def test_an_erasure_moves_step_by_step(redis: Redis) -> None:
    key = keys.outbox_forgetting(SHARD)
    redis.hset(key, str(USER), "")
    assert markers.advance_erasure(keys, USER, "5|", "5|9").run(redis) == 0
    assert markers.advance_erasure(keys, USER, "", "5|").run(redis) == 1
    assert (
        markers.advance_erasure(keys, USER, "", "6|").run(redis) == 0
    )  # another worker was faster
    assert redis.hgetall(key) == {b"4242": b"5|"}
    assert markers.advance_erasure(keys, USER, "5|", "5|9").run(redis) == 1
    assert markers.advance_erasure(keys, USER, "5|9", "").run(redis) == 1
    assert not redis.exists(key)


def test_an_erasure_that_was_requested_again_starts_again(redis: Redis) -> None:
    key = keys.outbox_forgetting(SHARD)
    redis.hset(key, mapping={str(USER): "", str(FELLOW): "5|"})
    assert markers.advance_erasure(keys, USER, "5|9", "").run(redis) == 0
    assert redis.hgetall(key) == {b"4242": b"", b"4342": b"5|"}
    assert (
        markers.advance_erasure(keys, 1_042, "", "5|").run(redis) == 0
    )  # finished, or never requested
    assert redis.hlen(key) == 2
