"""command_batch.py: redis-py's methods and types, in one round trip to each node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.exceptions import RedisError, ResponseError

from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis.command_batch import CommandBatch, Commands
from reactions.redis.connection import Client, connect, is_outage
from reactions.redis.keys import default_keys as keys

SHARDS = range(100)


def fill(client: Client) -> None:
    with CommandBatch(client) as batch:
        for shard in SHARDS:
            batch.zadd(keys.outbox_dirty(shard), {str(shard): 5})
            batch.sadd(keys.outbox_deleted(shard), "7")
            batch.hset(keys.outbox_lags(shard), "1", "2")
        batch.execute()


def check(client: Client) -> None:
    with CommandBatch(client) as batch:
        for shard in SHARDS:
            batch.zrange(keys.outbox_dirty(shard), 0, 0, withscores=True)
            batch.smembers(keys.outbox_deleted(shard))
            batch.hgetall(keys.outbox_lags(shard))
            batch.hgetall(keys.outbox_forgetting(shard))
            batch.type(keys.outbox_lags(shard))
        found = batch.execute()
        assert batch.execute() == []
    dirty, deleted, lags, none, kinds = (found[start::5] for start in range(5))
    assert [[(post, score)] for ((post, score),) in dirty] == [
        [(str(shard).encode(), 5.0)] for shard in SHARDS
    ]
    assert deleted == [{b"7"}] * 100
    assert lags == [{b"1": b"2"}] * 100
    assert none == [{}] * 100
    assert kinds == [b"hash"] * 100


@pytest.fixture(params=["2", "3"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def single(redis_url: str, protocol: str) -> Iterator[Client]:
    with connect(Settings(redis_url=f"{redis_url}?protocol={protocol}")) as client:
        yield client


def test_the_types_are_those_of_redis_py(single: Client) -> None:
    fill(single)
    check(single)


def test_the_first_error_is_raised_unless_errors_are_wanted(single: Client) -> None:
    fill(single)
    with CommandBatch(single) as batch:
        batch.get(keys.outbox_lags(1))
        batch.get(keys.outbox_wake(1))
        with pytest.raises(ResponseError):
            batch.execute()
        batch.get(keys.outbox_lags(1))
        batch.get(keys.outbox_wake(1))
        failed, found = batch.execute(raise_on_error=False)
    assert isinstance(failed, RedisError)
    assert found is None


def test_a_command_may_be_sent_at_once(single: Client) -> None:
    fill(single)
    commands, key = Commands(single), keys.outbox_lags(7)
    assert commands.hgetall(key) == {b"1": b"2"}
    assert commands.hscan(key, 0, count=5) == (0, {b"1": b"2"})
    assert commands.zscore(keys.outbox_dirty(7), "7") == 5.0
    assert commands.zscore(keys.outbox_dirty(7), "8") is None
    assert commands.zrange(keys.outbox_dirty(7), 0, -1) == [b"7"]
    assert commands.smembers(keys.outbox_deleted(7)) == {b"7"}
    assert commands.exists(key) == 1
    assert commands.unlink(key) == 1
    with pytest.raises(ResponseError):
        commands.hgetall(keys.outbox_dirty(7))


@pytest.mark.slow
def test_a_node_that_is_gone_fails_its_own_commands(cluster: list[Valkey]) -> None:
    with connect(Settings(redis_url=cluster[1].url, redis_cluster=True)) as client:
        fill(client)
        check(client)
        cluster[0].kill()
        with CommandBatch(client) as batch:
            for shard in SHARDS:
                batch.smembers(keys.outbox_deleted(shard))
            found = batch.execute(raise_on_error=False)
    assert 0 < sum(map(is_outage, found)) < 100
    assert all(reply == {b"7"} for reply in found if not is_outage(reply))
