"""cluster_slots.py: one node says which node has which slot, and only what changed is noted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import RedisCluster

from benchmarks.support.cluster import command
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis.cluster_slots import learn_owners, node_of, slot_of
from reactions.redis.connection import connect

pytestmark = pytest.mark.slow


@pytest.fixture
def client(cluster: list[Valkey]) -> Iterator[RedisCluster]:
    with connect(Settings(redis_url=cluster[0].url, redis_cluster=True)) as client:
        assert isinstance(client, RedisCluster)
        yield client


def port_of(client: RedisCluster, slot: int) -> int:
    node = node_of(client, slot)
    assert node is not None
    return int(node.connection_pool.connection_kwargs["port"])


def test_owners_are_learnt_from_a_node_that_did_not_fail(
    client: RedisCluster, cluster: list[Valkey]
) -> None:
    slot = next(
        slot
        for shard in range(100)
        if port_of(client, slot := slot_of(f"{{{shard}}}")) == cluster[0].port
    )
    name = command(cluster[1], "CLUSTER MYID").decode()
    for node in cluster:
        command(node, "CLUSTER", "SETSLOT", slot, "NODE", name)
    failed: Any = node_of(client, slot)
    cluster[0].kill()
    learn_owners(client, [], [failed], time.monotonic() - 1)  # too late to ask anybody
    assert port_of(client, slot) == cluster[0].port
    learn_owners(client, [], [failed], time.monotonic() + 5)
    assert port_of(client, slot) == cluster[1].port


def test_a_slot_without_a_node_has_none(client: RedisCluster) -> None:
    client.nodes_manager.slots_cache.pop(7)
    assert node_of(client, 7) is None
    learn_owners(client, [7], [], time.monotonic() + 5)
    assert node_of(client, 7) is not None
