"""``ClockReadings``: what the clocks of the shards tell about versions and about changes."""

from __future__ import annotations

import math

from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.core.shard_times import ROUNDED_US, ShardTimes
from reactions.redis.clock import Clock
from reactions.redis.clock_readings import ClockReading, ClockReadings
from reactions.redis.connection import Client
from reactions.redis.keys import default_keys as keys
from reactions.redis.writes import RedisWrites

NOW, HOUR = 1_700_000_000_000_000, 3_600_000_000
CLEAN = ClockReading(NOW - HOUR, NOW, math.inf, 0)
POST, SHARD = 1042, 42


def readings(odd: ClockReading) -> ClockReadings:
    """Every shard is clean and at the right time, except one."""
    return ClockReadings([odd if shard == SHARD else CLEAN for shard in range(SHARDS)])


def test_a_shard_as_redis_has_it(client: Client, redis_settings: Settings) -> None:
    clock = Clock(client, redis_settings)
    assert not clock.readings().ahead_us()
    writes = RedisWrites(client, redis_settings)
    writes.record(1, POST, 1)
    version = int(writes.record(1, POST + 100, 1).version)
    found = clock.readings()._shards[SHARD]
    assert found.oldest < found.newest <= found.version == version <= found.now
    assert clock.readings()._shards[7].oldest == math.inf
    client.set(keys.outbox_clock(SHARD), "9" * 17)  # react.lua ignores it, too
    assert clock.readings()._shards[SHARD].version == 0


def test_the_node_of_a_shard_is_ahead_of_the_others() -> None:
    fast = readings(ClockReading(NOW + HOUR - 5, NOW + HOUR, math.inf, 0))
    assert fast.bounds() == fast.times() == ShardTimes(NOW, {SHARD: NOW + HOUR})
    assert not fast.ahead_us()


def test_the_clock_was_set_back() -> None:
    past = readings(ClockReading(NOW + HOUR, NOW, NOW + HOUR, NOW + HOUR))
    assert past.ahead_us() == {SHARD: HOUR}
    assert past.bounds() == ShardTimes(NOW, {SHARD: NOW + HOUR})
    assert not past.times()  # the change may have come at any time


def test_what_came_before_a_time_is_durable() -> None:
    since = ShardTimes(NOW - 5, {SHARD: NOW + HOUR})
    busy = ClockReading(NOW, NOW, NOW - 4, NOW - 3)
    assert readings(CLEAN).quiet_before(since)
    assert not readings(busy).quiet_before(since)
    assert readings(busy).quiet_before(ShardTimes(NOW - 5))
    assert not readings(busy).quiet_before(ShardTimes(NOW - 4))


def test_a_time_that_the_clock_has_not_reached_again() -> None:
    assert readings(CLEAN).before(ShardTimes(NOW, {SHARD: NOW + HOUR}))
    assert not readings(CLEAN).before(ShardTimes(NOW + ROUNDED_US))
