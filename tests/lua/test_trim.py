"""trim.lua: which rows of a claim it drops, and the lease."""

from __future__ import annotations

from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import drain
from tests.lua.support import (
    LEASE,
    POST,
    claim,
    lease_expiry,
    react,
)


def test_trim_drops_rows_and_extends_the_lease(redis: Redis) -> None:
    for user in range(1, 3001):
        react(redis, user, 1)
    claim(redis, "a", lease_us=1_000, inline=5)
    before = lease_expiry(redis)
    assert drain.trim(keys, POST, "a", LEASE, list(range(1, 2501))).run(redis) == 1
    assert redis.hlen(keys.post_claimed(POST)) == 500
    assert lease_expiry(redis) > before


def test_trim_keeps_one_row_for_settle(redis: Redis) -> None:
    """Without a claim, a drain that dies before it settles would leave outdated caches."""
    for user in (1, 2, 3):
        react(redis, user, 1)
    claim(redis, "a", inline=1)
    assert drain.trim(keys, POST, "a", LEASE, [1, 2, 3]).run(redis) == 1
    assert drain.trim(keys, POST, "a", LEASE, [1, 2, 3]).run(redis) == 1
    assert redis.hkeys(keys.post_claimed(POST)) == [b"3"]
