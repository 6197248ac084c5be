"""An empty Redis for the tests of one module, a cluster of three nodes, and TTLs by tier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis.connection import Client, connect
from tests.redis.lives import with_lives
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.reading import shrink
from tests.support.servers import cluster_options
from tests.support.waiting import wait_until

NODES = 3


@pytest.fixture
def redis_settings(redis_url: str) -> Settings:
    return Settings(redis_url=redis_url, broker_url=DEAD_BROKER, lease_s=5.0, viral_threshold=10)


@pytest.fixture
def client(redis_settings: Settings) -> Iterator[Client]:
    with connect(redis_settings) as client:
        yield client


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Valkey]]:
    """Three primaries that share the slots."""
    with ExitStack() as stack:
        nodes: list[Valkey] = []
        buses: list[str] = []
        for number in range(NODES):
            options = cluster_options()
            node = Valkey(tmp_path, f"node{number}", options=options)
            node.start()
            stack.callback(node.stop)
            nodes.append(node)
            buses.append(options["cluster-port"])
        for number, node in enumerate(nodes):
            with Redis(port=node.port) as client:
                first, last = 16384 * number // NODES, 16384 * (number + 1) // NODES - 1
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0].port, buses[0])
        wait_until(lambda: all(map(_formed, nodes)), what="the cluster to form")
        yield nodes


def _formed(node: Valkey) -> bool:
    with Redis(port=node.port) as client:
        info = client.execute_command("CLUSTER INFO")
        return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == NODES


@pytest.fixture
def timed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Each tier has a TTL of its own; 15 reactions are viral; samples of five, buckets of four."""
    shrink(monkeypatch, 5, 4, 8)
    made = make_engine(with_lives(engine.settings))
    yield made
    made.close()
