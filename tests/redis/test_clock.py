"""``Clock``: versions are never given out twice, whatever the server's clock does."""

from __future__ import annotations

from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.redis import keys
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.writes import RedisWrites

POST = 1042


def test_now_is_the_time_of_the_server(client: Client, redis_settings: Settings) -> None:
    clock = Clock(client, redis_settings)
    first, second = clock.now_us(), clock.now_us()
    assert 1.7e15 < first <= second < first + 60e6


def test_the_newest_version_is_not_older_than_any_given_out(
    client: Client, redis_settings: Settings
) -> None:
    clock, writes = Clock(client, redis_settings), RedisWrites(client, redis_settings)
    version = int(writes.record(1, POST, 1).version)
    assert clock.newest_version() >= version
    ahead = 2**52  # as after a step of the server's clock back
    client.set(keys.outbox_clock(7), ahead)
    assert clock.newest_version() == ahead


def test_a_raised_clock_gives_out_later_versions_only(
    client: Client, redis_settings: Settings
) -> None:
    clock, writes = Clock(client, redis_settings), RedisWrites(client, redis_settings)
    ahead = int(clock.now_us()) + 10**9
    clock.raise_clocks(dict.fromkeys(range(SHARDS), ahead))
    assert int(writes.record(1, POST, 1).version) > ahead
    clock.raise_clocks(dict.fromkeys(range(SHARDS), ahead - 10))  # a lower version changes nothing
    assert int(writes.record(2, POST, 1).version) > ahead
