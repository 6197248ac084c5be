"""server_role.py: what only reads hears of no error, so it asks for the role."""

from __future__ import annotations

import pytest
from redis import Redis, RedisCluster

from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.ops.metrics import StoresCollector
from reactions.redis.connection import Client, connect, execute
from reactions.redis.server_role import check_primary, identity
from tests.redis.replication import demoted
from tests.support.engine import Engine


def connection_of(client: Client) -> int:
    return int(execute(client, ("CLIENT", "ID")))


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_a_server_says_what_it_is(valkey: Valkey, protocol: str) -> None:
    with connect(Settings(redis_url=f"{valkey.url}?protocol={protocol}")) as client:
        assert isinstance(client, Redis)
        found = identity(client)
        assert (found["role"], found["mode"]) == ("master", "standalone")


def test_readiness_leaves_a_replica(engine: Engine) -> None:
    with connect(engine.settings) as client:
        check_primary(client)
        before = connection_of(client)
        with demoted(engine.settings), pytest.raises(ReactionsUnavailable, match="to a replica"):
            check_primary(client)
        assert connection_of(client) != before
        check_primary(client)


def test_the_exporter_leaves_a_replica(engine: Engine) -> None:
    with connect(engine.settings) as client:
        collector = StoresCollector(client, engine.database, engine.settings)

        def is_primary() -> float:
            families = {family.name: family for family in collector.collect()}
            return float(families["reactions_redis_primary"].samples[0].value)

        assert is_primary() == 1
        before = connection_of(client)
        with demoted(engine.settings):
            assert is_primary() == 0
        assert connection_of(client) != before
        assert is_primary() == 1


@pytest.mark.slow
def test_a_cluster_is_asked_for_an_answer_only(cluster: list[Valkey]) -> None:
    with connect(Settings(redis_url=cluster[0].url, redis_cluster=True)) as client:
        assert isinstance(client, RedisCluster)
        check_primary(client)
