"""Each script against a real Valkey, a real Redis, and a Valkey that is a cluster of one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis import buckets
from reactions.redis.post_cache import PostCache
from reactions.redis.scripts import drain, loading, writes
from tests.support.loads import SingleLoads
from tests.support.servers import running_redis

ALSO = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("redis", "cluster")]


@pytest.fixture(scope="session", params=["valkey", *ALSO])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Valkey]:
    with running_redis(tmp_path_factory.mktemp(request.param), request.param) as running:
        yield running


@pytest.fixture
def redis(server: Valkey) -> Iterator[Redis]:
    """An empty server. On the cluster of one, a key outside the slot of a script fails."""
    with Redis(port=server.port) as client:
        client.flushall()
        client.script_flush()
        yield client


@pytest.fixture
def redis_settings(server: Valkey) -> Settings:
    return Settings(redis_url=server.url, redis_cluster=server.name == "cluster")


@pytest.fixture
def store(redis: Redis, redis_settings: Settings) -> SingleLoads:
    return SingleLoads(redis, redis_settings)


@pytest.fixture
def posts(redis: Redis, redis_settings: Settings) -> PostCache:
    return PostCache(redis, redis_settings)


@pytest.fixture
def small(store: SingleLoads, monkeypatch: pytest.MonkeyPatch) -> SingleLoads:
    """Samples of four users in two buckets."""
    for module in (drain, loading, writes):
        monkeypatch.setattr(module, "SAMPLE_SIZE", 4)
    monkeypatch.setattr(buckets, "FILL", 2)
    return store
