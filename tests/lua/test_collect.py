"""collect.lua: the HyperLogLog of a load."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import loading
from tests.lua.support import (
    POST,
)


@pytest.mark.parametrize("after", [1, 2, 9])
def test_collect_refuses_after_a_part_was_lost(redis: Redis, after: int) -> None:
    """A HyperLogLog without that part would be too small for ever. The load runs again later."""
    parts = [loading.collect(keys, POST, "t", n == 0, 1000, [n, n + 100]) for n in range(10)]
    assert [call.run(redis) for call in parts[:after]] == [1] * after
    redis.delete(keys.post_loaded(POST, "t"))
    assert [call.run(redis) for call in parts[after:]] == [0] * (10 - after)
    assert not redis.exists(keys.post_loaded(POST, "t"))
