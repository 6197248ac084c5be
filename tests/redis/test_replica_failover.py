"""``react(..., replicas=n)`` while a primary fails: acknowledged reactions survive."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisCluster
from redis.exceptions import RedisError

from reactions import (
    NotReplicated,
    Reactions,
    ReactionsUnavailable,
    Status,
)
from reactions.demo.embedded import Valkey
from tests.redis.replication import AT_ONCE, POST, Pair, in_step, running_pair, settings_for
from tests.support.engine import make_engine
from tests.support.servers import cluster_options, own_all_slots
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(params=["valkey", "redis"])
def doomed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """A pair that the test may destroy."""
    with running_pair(tmp_path, request.param) as pair:
        yield pair


def test_a_primary_that_is_demoted_during_the_wait(doomed: Pair) -> None:
    doomed.pause()
    with Redis(port=doomed.primary.port) as primary:

        def demote() -> None:
            wait_until(lambda: primary.info("clients")["blocked_clients"] == 1)
            primary.replicaof("127.0.0.1", str(doomed.replica.port))

        thread = threading.Thread(target=demote)
        thread.start()
        with pytest.raises(ReactionsUnavailable, match="UNBLOCKED"):
            doomed.client.react(1, POST, "like", replicas=1)
        thread.join()


@dataclass
class Load:
    """Reacts until the primary is gone.

    Attributes:
        kept: users whose reaction was acknowledged with a replica.
        risked: users whose reaction was acknowledged without one.
        refused: calls that raised NotReplicated.
    """

    kept: set[int] = field(default_factory=set)
    risked: set[int] = field(default_factory=set)
    refused: int = 0

    def run(self, client: Reactions) -> None:
        user = 1
        while True:
            try:
                client.react(user, POST, "like", replicas=1)
                self.kept.add(user)
            except NotReplicated:
                self.refused += 1
            except ReactionsUnavailable:
                return
            try:
                client.react(user + 1, POST, "like")
                self.risked.add(user + 1)
            except ReactionsUnavailable:
                return
            user += 2


def test_replicated_reactions_outlive_the_primary(doomed: Pair, database_url: str) -> None:
    """Under load, the replica is cut off and promoted, and the primary dies with its disk."""
    load = Load()
    fast = settings_for(doomed.primary, replica_timeout_s=0.02)
    with Reactions(fast) as client:
        thread = threading.Thread(target=load.run, args=(client,))
        thread.start()
        wait_until(lambda: len(load.kept) > 200)
        doomed.promote()  # as in a partition: the primary keeps serving
        wait_until(lambda: load.refused > 10)
        doomed.lose_primary()
        thread.join()
    held = doomed.pending()
    assert load.kept <= held
    assert len(load.risked - held) >= 10
    engine = make_engine(settings_for(doomed.replica, database_url=database_url))
    engine.drain()
    assert engine.queries.counts([POST])[POST] == {1: len(held)}
    assert engine.verify().holds
    engine.close()


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[tuple[Valkey, Valkey]]:
    """A cluster of one primary with one replica."""
    nodes = []
    for name in ("primary", "replica"):
        options = {**cluster_options(), **AT_ONCE, "cluster-replica-validity-factor": "0"}
        nodes.append((Valkey(tmp_path, name, options=options), options["cluster-port"]))
    (primary, bus), (replica, _) = nodes
    try:
        primary.start()
        replica.start()
        own_all_slots(primary)
        with Redis(port=replica.port) as client:
            client.execute_command("CLUSTER MEET", "127.0.0.1", primary.port, bus)
            with Redis(port=primary.port) as other:
                name = other.execute_command("CLUSTER MYID")
            wait_until(lambda: _knows(client, name), what="the nodes to meet")
            client.execute_command("CLUSTER REPLICATE", name)
        wait_until(lambda: in_step(replica), what="the replica to be in step")
        yield primary, replica
    finally:
        replica.stop()
        primary.stop()


def _knows(client: Any, name: bytes) -> bool:
    try:
        client.execute_command("CLUSTER COUNT-FAILURE-REPORTS", name)
    except RedisError:
        return False
    return True


def is_primary(server: Valkey) -> bool:
    with Redis(port=server.port) as client:
        return bool(client.info("replication")["role"] == "master")


def fail_over(primary: Valkey, successor: Valkey) -> None:
    """Request a failover, again if the servers gave up, which they do after five seconds."""
    asked = -math.inf
    with Redis(port=successor.port) as client:

        def done() -> bool:
            nonlocal asked
            if is_primary(successor):
                return not is_primary(primary) and serves(successor)
            if time.monotonic() - asked > 6:
                client.execute_command("CLUSTER FAILOVER")
                asked = time.monotonic()
            return False

        wait_until(done, 60, "a failover")
    wait_until(lambda: in_step(primary), what="the old primary to follow")


def serves(node: Valkey) -> bool:
    with Redis(port=node.port) as client:
        return bool(client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")


def test_a_cluster_keeps_replicated_reactions_through_failovers(
    shard: tuple[Valkey, Valkey], database_url: str
) -> None:
    """A client that knows the old primary is redirected to the new one."""
    primary, replica = shard
    settings = settings_for(primary, redis_cluster=True, database_url=database_url)
    with Reactions(settings) as client:
        assert isinstance(client._client, RedisCluster)
        assert len(client.react_many([(1, p, "like") for p in range(1, 201)], replicas=1)) == 200
        fail_over(primary, replica)
        assert client.react(2, POST, "like", replicas=1).status is Status.ACCEPTED
        assert client.react_many([(2, POST, "like")], replicas=1)[0].status is Status.UNCHANGED
        replica.kill()
        with Redis(port=primary.port) as heir:
            heir.execute_command("CLUSTER FAILOVER TAKEOVER")
        wait_until(lambda: is_primary(primary) and serves(primary), what="the takeover")
        with pytest.raises(NotReplicated, match="0 of 1"):
            client.react(3, POST, "like", replicas=1)
    engine = make_engine(settings)
    engine.drain()
    assert engine.queries.counts([POST])[POST] == {1: 2}
    assert engine.verify().reactions == 202
    engine.close()
