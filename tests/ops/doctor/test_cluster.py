"""cluster.py: each fault of a Redis Cluster is a finding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import RedisCluster

from benchmarks.support.cluster import command, is_complete, running_cluster, slots_of
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.ops.doctor.cluster import check_cluster, read_nodes
from reactions.ops.doctor.findings import Finding, State
from reactions.redis.connection import connect, execute
from tests.support.waiting import wait_until

TEXT = """\
aa1 127.0.0.1:7001@17001,name myself,master - 0 0 3 connected 0-99 200 [300->-bb2]
bb2 127.0.0.1:7002@17002 master,fail - 0 0 2 disconnected 301-16383
cc3 127.0.0.1:7003@17003 slave aa1 0 0 3 connected
"""


def test_the_reply_of_a_node_is_read() -> None:
    first, second, third = read_nodes(TEXT.encode())
    assert (first.name, first.address) == ("aa1", "127.0.0.1:7001")
    assert first.slots == ((0, 99), (200, 200))
    assert first.open == ("300->-bb2",)
    assert [node.down for node in (first, second, third)] == [False, True, False]
    assert third.follows == "aa1"


@contextmanager
def findings(node: Valkey) -> Iterator[dict[str, Finding]]:
    settings = Settings(redis_url=node.url, redis_cluster=True, redis_timeout_s=5)
    with connect(settings) as client:
        assert isinstance(client, RedisCluster)
        yield {finding.check: finding for finding in check_cluster(client)}


def test_a_single_server_has_nothing_to_check(redis_url: str) -> None:
    with connect(Settings(redis_url=redis_url)) as client:
        assert list(check_cluster(client)) == []


def seen_down(node: Valkey, address: str) -> bool:
    """Whether a node knows that another one does not answer."""
    with connect(Settings(redis_url=node.url)) as client:
        seen = read_nodes(execute(client, ("CLUSTER", "NODES")))
    return any(each.down for each in seen if each.address == address)


@pytest.mark.slow
def test_each_fault_is_found(tmp_path: Path) -> None:
    with running_cluster(tmp_path, 3, 1) as nodes:
        with findings(nodes[0]) as found:
            options = f"redis 127.0.0.1:{nodes[0].port}"
            for check in ("primaries", "slots", "replicas", "shards"):
                assert found[f"cluster {check}"].state is State.OK, found
            assert "36 at most and 30 at least" in found["cluster shards"].found
            assert found[f"{options} coverage"].state is State.OK
            assert found[f"{options} min replicas"].state is State.WARNING
        for node in nodes:
            command(node, "CONFIG", "SET", "min-replicas-to-write", 1)
            command(node, "CONFIG", "SET", "cluster-require-full-coverage", "yes")
        nodes[4].kill()
        names = [command(node, "CLUSTER MYID").decode() for node in nodes[:2]]
        command(nodes[1], "CLUSTER", "SETSLOT", 7, "IMPORTING", names[0])
        command(nodes[0], "CLUSTER", "SETSLOT", 7, "MIGRATING", names[1])
        with findings(nodes[0]) as found:
            assert found[f"{options} min replicas"].state is State.OK
            assert "no: otherwise all nodes refuse" in found[f"{options} coverage"].remedy
            assert found["cluster slots"].state is State.FAILURE
            assert "7->-" in found["cluster slots"].found
        command(nodes[1], "CLUSTER", "SETSLOT", 7, "STABLE")
        command(nodes[0], "CLUSTER", "SETSLOT", 7, "STABLE")
        nodes[1].kill()
        wait_until(lambda: not is_complete(nodes[0]), what="the others to notice")
        lost = [f"127.0.0.1:{nodes[at].port}" for at in (1, 4)]
        wait_until(lambda: all(seen_down(nodes[0], each) for each in lost), what="both are lost")
        with findings(nodes[0]) as found:
            assert found["cluster primaries"].state is State.FAILURE
            assert f"127.0.0.1:{nodes[1].port}" in found["cluster primaries"].found
            assert f"127.0.0.1:{nodes[1].port}" in found["cluster replicas"].found


@pytest.mark.slow
def test_uneven_shards_are_found(tmp_path: Path) -> None:
    """All slots of the second node go to the third; the second has one slot and no shard."""
    with running_cluster(tmp_path, 3) as nodes:
        first, end = 5_461, 10_922
        name = command(nodes[2], "CLUSTER MYID").decode()
        words = ["SLOTSRANGE", first + 1, end - 1, "NODE", name]
        command(nodes[1], "CLUSTER", "MIGRATESLOTS", *words)
        wait_until(lambda: slots_of(nodes)[end - 1] == nodes[2].port, what="the slots to move")
        with findings(nodes[0]) as found:
            assert found["cluster shards"].state is State.WARNING
            assert "and 0 at least" in found["cluster shards"].found
            assert found["cluster replicas"].state is State.WARNING
