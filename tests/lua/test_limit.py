"""limit.lua: which writes pass, how long the others wait, and when the key expires."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import writes
from tests.support.waiting import wait_until

USER, OTHER = 1017, 1117
EACH, AHEAD = 60_000_000, 180_000_000  # one write a minute, a burst of three: longer than any test


def limit(redis: Redis, user: int = USER, each: int = EACH, ahead: int = AHEAD) -> int:
    return int(writes.limit(keys, user, each, ahead).run(redis))


def test_a_burst_passes_and_the_next_one_waits_for_its_turn(redis: Redis) -> None:
    assert [limit(redis) for _ in range(3)] == [0, 0, 0]
    first, second = limit(redis), limit(redis)
    assert 0 < second <= first <= EACH, "what is refused takes nothing up"
    assert limit(redis, OTHER) == 0


def test_a_write_passes_again_once_its_wait_is_over(redis: Redis) -> None:
    each = 20_000
    while limit(redis, each=each, ahead=each) == 0:
        pass
    wait_until(lambda: limit(redis, each=each, ahead=each) == 0)


def test_the_key_lives_as_long_as_time_is_taken_up(redis: Redis) -> None:
    limit(redis)
    limit(redis)
    assert 0 < redis.pttl(keys.user_allowance(USER)) <= 2 * EACH / 1000
    limit(redis, OTHER, 1, 1)
    wait_until(lambda: not redis.exists(keys.user_allowance(OTHER)))


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "-inf", "-5", "9" * 30])
def test_a_value_that_no_limit_writes_is_ignored(redis: Redis, value: str) -> None:
    """A value from before the clock stepped back is ignored, too."""
    redis.set(keys.user_allowance(USER), value)
    assert limit(redis) == 0
    assert 0 < redis.pttl(keys.user_allowance(USER)) <= EACH / 1000
