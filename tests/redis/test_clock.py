"""``Clock``: versions are never given out twice, whatever the server's clock does."""

from __future__ import annotations

from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.keys import default_keys as keys
from reactions.redis.writes import RedisWrites

POST = 1042


def test_now_is_the_time_of_the_server(client: Client, redis_settings: Settings) -> None:
    clock = Clock(client, redis_settings)
    first, second = clock.now_us(), clock.now_us()
    assert 1.7e15 < first <= second < first + 60e6


def test_a_bound_lies_between_the_versions_before_and_after_it(
    client: Client, redis_settings: Settings
) -> None:
    clock, writes = Clock(client, redis_settings), RedisWrites(client, redis_settings)
    ahead = 2**52  # as after a step of the server's clock back
    client.set(keys.outbox_clock(7), ahead)
    before = [int(writes.record(1, post, 1).version) for post in range(100, 200)]
    bounds = clock.bound_versions()
    after = [int(writes.record(2, post, 1).version) for post in range(100, 200)]
    assert all(before[shard] <= bounds.of(shard) < after[shard] for shard in range(SHARDS))
    assert bounds.of(7) == ahead + 1


def test_a_shard_that_is_ahead_moves_no_other(client: Client, redis_settings: Settings) -> None:
    clock = Clock(client, redis_settings)
    ahead = int(clock.now_us()) + 3_600_000_000
    client.set(keys.outbox_clock(7), ahead)
    bounds = clock.bound_versions()
    assert (dict(bounds.ahead), bounds.highest) == ({7: ahead}, ahead)
    assert bounds.lowest <= clock.now_us()
    assert set(clock.readings().ahead_us()) == {7}


def test_a_raised_clock_gives_out_later_versions_only(
    client: Client, redis_settings: Settings
) -> None:
    clock, writes = Clock(client, redis_settings), RedisWrites(client, redis_settings)
    ahead = int(clock.now_us()) + 10**9
    clock.raise_clocks(dict.fromkeys(range(SHARDS), ahead))
    assert int(writes.record(1, POST, 1).version) > ahead
    clock.raise_clocks(dict.fromkeys(range(SHARDS), ahead - 10))  # a lower version changes nothing
    assert int(writes.record(2, POST, 1).version) > ahead
