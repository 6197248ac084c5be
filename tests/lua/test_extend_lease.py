"""extend_lease.lua: a lease that lasts longer."""

from __future__ import annotations

from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import drain
from tests.lua.support import (
    LEASE,
    POST,
    SHARD,
    claim,
    react,
    rows,
)


def test_only_the_owner_of_an_extended_lease_can_claim(redis: Redis) -> None:
    react(redis, 1, 1)
    claim(redis, "a", lease_us=1)
    assert drain.extend_lease(keys, SHARD, "a", LEASE).run(redis) == 1
    assert claim(redis, "b") == [0]
    assert rows(claim(redis, "c", previous="a")) == {POST: {1: 1}}
