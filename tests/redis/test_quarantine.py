"""``Quarantine``: foreign cache keys are dropped, foreign outbox keys are renamed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reactions.core.settings import Settings
from reactions.redis.connection import Client
from reactions.redis.keys import Keys
from reactions.redis.keys import default_keys as keys
from reactions.redis.quarantine import CACHED, KEPT, OF_SHARD, SUFFIX, Quarantine
from reactions.redis.writes import RedisWrites

POST, SHARD = 1042, 42


def foreign(client: Client, key: str) -> None:
    client.delete(key)
    client.xadd(key, {"a": "b"})


@pytest.mark.parametrize("name", CACHED, ids=lambda name: name.__name__)
def test_a_foreign_cache_key_is_dropped(client: Client, name: Callable[[Keys, int], str]) -> None:
    foreign(client, name(keys, POST))
    (line,) = Quarantine(client, Settings()).isolate([], [POST])
    assert line.startswith(f"{name(keys, POST)} was a stream")
    assert client.dbsize() == 0


@pytest.mark.parametrize("name", KEPT, ids=lambda name: name.__name__)
def test_a_foreign_outbox_key_of_a_post_is_renamed(
    client: Client, name: Callable[[Keys, int], str]
) -> None:
    foreign(client, name(keys, POST))
    client.zadd(keys.outbox_dirty(SHARD), {str(POST): 1})  # the shard lists the post
    assert len(Quarantine(client, Settings()).isolate([SHARD])) == 1
    assert client.type(name(keys, POST) + SUFFIX) == b"stream"
    assert not client.exists(name(keys, POST))


@pytest.mark.parametrize("name", OF_SHARD, ids=lambda name: name.__name__)
def test_a_foreign_key_of_a_shard_is_found(
    client: Client, name: Callable[[Keys, int], str]
) -> None:
    foreign(client, name(keys, SHARD))
    assert len(Quarantine(client, Settings()).isolate_wrong_types()) == 1
    assert client.type(name(keys, SHARD) + SUFFIX) == b"stream"
    assert Quarantine(client, Settings()).isolate_wrong_types() == []


def test_entries_that_are_no_posts_or_numbers_are_removed(client: Client) -> None:
    client.zadd(keys.outbox_dirty(SHARD), {"abc": 1, str(POST): 2})
    client.hset(keys.outbox_lags(SHARD), mapping={"10": 1, "x": 2})
    assert len(Quarantine(client, Settings()).isolate([SHARD])) == 2
    assert client.zrange(keys.outbox_dirty(SHARD), 0, -1) == [str(POST).encode()]
    assert not client.exists(keys.outbox_lags(SHARD))


def test_valid_keys_are_left_alone(client: Client, redis_settings: Settings) -> None:
    RedisWrites(client, redis_settings).record(7, POST, 1)
    before = {key: client.dump(key) for key in client.keys("*")}
    assert Quarantine(client, Settings()).isolate(range(100), [POST]) == []
    assert {key: client.dump(key) for key in client.keys("*")} == before
