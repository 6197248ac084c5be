"""Faults of a Redis Cluster that stores the reactions."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from benchmarks.support.cluster import command, is_complete, slots_of
from chaos.nemesis import MAX_PAUSE_S, Missed, Nemesis
from chaos.topology import ClusterStore
from chaos.waiting import wait_for
from reactions.demo.embedded import Valkey

FAILOVER_S = 30.0
"""The longest time until a replica has taken over, or a slot has moved."""


def _cluster(nemesis: Nemesis) -> ClusterStore:
    found = nemesis.system.store
    if not isinstance(found, ClusterStore):
        raise TypeError("this fault needs the topology cluster")
    return found


def _roles(cluster: ClusterStore) -> tuple[list[Valkey], list[Valkey]]:
    """The nodes that are primaries now, and the replicas that are in step."""
    primaries, replicas = [], []
    for node in cluster.nodes:
        role = command(node, "ROLE")
        if role[0] == b"master":
            primaries.append(node)
        elif role[3] == b"connected":
            replicas.append(node)
    return primaries, replicas


def _serves(cluster: ClusterStore) -> bool:
    """Whether every slot has a primary that answers, and every primary a replica in step."""
    try:
        primaries, replicas = _roles(cluster)
        return len(primaries) == len(replicas) == 3 and all(map(is_complete, cluster.nodes))
    except RedisError:  # a node is down
        return False


@contextmanager
def primary_killed(nemesis: Nemesis) -> Iterator[None]:
    """Kill a primary with SIGKILL; its replica takes over, or it is back before that."""
    cluster = _cluster(nemesis)
    victim = nemesis.chance.choice(_roles(cluster)[0])
    nemesis.system.losses.append(time.monotonic())
    victim.kill()
    nemesis.hold(0.2, 5)
    yield
    victim.start()
    wait_for(lambda: _serves(cluster), FAILOVER_S, "the cluster serves again")


@contextmanager
def primary_paused(nemesis: Nemesis) -> Iterator[None]:
    """Stop a primary for seconds; its replica may take over meanwhile."""
    cluster = _cluster(nemesis)
    victim = nemesis.chance.choice(_roles(cluster)[0])
    nemesis.system.losses.append(time.monotonic())
    victim.signal(signal.SIGSTOP)
    nemesis.hold(0.5, MAX_PAUSE_S)
    victim.signal(signal.SIGCONT)
    yield
    wait_for(lambda: _serves(cluster), FAILOVER_S, "the cluster serves again")


@contextmanager
def failover_planned(nemesis: Nemesis) -> Iterator[None]:
    """Let a replica take over from its primary, as before a restart of that server."""
    cluster = _cluster(nemesis)
    replicas = _roles(cluster)[1]
    if not replicas:
        raise Missed
    chosen = nemesis.chance.choice(replicas)
    command(chosen, "CLUSTER", "FAILOVER")
    yield
    wait_for(lambda: command(chosen, "ROLE")[0] == b"master", FAILOVER_S, "the replica took over")
    wait_for(lambda: _serves(cluster), FAILOVER_S, "the cluster serves again")


@contextmanager
def slot_moved(nemesis: Nemesis) -> Iterator[None]:
    """Move the slot of a shard to another primary with CLUSTER MIGRATESLOTS."""
    cluster = _cluster(nemesis)
    primaries = _roles(cluster)[0]
    shard = f"{{{nemesis.chance.randrange(100)}}}"
    slot = int(command(primaries[0], "CLUSTER", "KEYSLOT", shard))
    port = slots_of(primaries)[slot]
    source = next(node for node in primaries if node.port == port)
    target = nemesis.chance.choice([node for node in primaries if node is not source])
    name = command(target, "CLUSTER MYID").decode()
    command(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", name)
    yield
    wait_for(lambda: slots_of([target]).get(slot) == target.port, FAILOVER_S, "the slot has moved")
