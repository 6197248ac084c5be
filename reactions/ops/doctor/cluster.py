"""Redis Cluster: primaries that are down, open slots, replicas, the spread of shards, options."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from redis import Redis, RedisCluster

from reactions.core.constants import SHARDS
from reactions.ops.doctor.findings import Finding, Findings, State, guarded
from reactions.redis.cluster_slots import shard_slot
from reactions.redis.connection import FAILURES, Client, execute

UNEVEN = 2.0
"""Shards of the fullest node, as a multiple of the average, from which on there is a warning."""

MAX_NAMED = 5
"""Nodes or slots that a finding names."""


class Option(NamedTuple):
    """An option of a primary."""

    name: str
    bad: tuple[str, ...]
    """The values that lose availability or data."""
    remedy: str


OPTIONS = {
    "coverage": Option(
        "cluster-require-full-coverage",
        ("yes",),
        "CONFIG SET cluster-require-full-coverage no: otherwise all nodes refuse to serve while one"
        " primary is down",
    ),
    "min replicas": Option(
        "min-replicas-to-write",
        ("", "0"),
        "CONFIG SET min-replicas-to-write 1: otherwise a primary that is cut off accepts reactions"
        " that its successor never gets",
    ),
}


@dataclass(frozen=True, slots=True)
class Node:
    """A line of CLUSTER NODES.

    Attributes:
        name: its id.
        address: host and port.
        flags: for example ``master``, ``fail`` and ``fail?``.
        follows: the id of its primary; "-" for a primary.
        slots: the ranges that it has, first and last.
        open: the slots that are on their way to another node or from one, as the node writes them.
    """

    name: str
    address: str
    flags: frozenset[str]
    follows: str
    slots: tuple[tuple[int, int], ...]
    open: tuple[str, ...]

    @property
    def down(self) -> bool:
        return not self.flags.isdisjoint({"fail", "fail?", "noaddr"})


def check_cluster(client: Client) -> Findings:
    """Check what only a cluster has. A single server has nothing to check here."""
    if isinstance(client, RedisCluster):
        yield from guarded("cluster", partial(_examine, client))


def _examine(client: RedisCluster) -> Findings:
    asked: list[Any] = client.get_nodes()  # type: ignore[no-untyped-call]
    listed: list[Node] = []
    still_open: set[str] = set()
    silent: set[str] = set()
    for node in asked:
        connection = client.get_redis_connection(node)
        try:
            seen = read_nodes(execute(connection, ("CLUSTER", "NODES")))
        except FAILURES:
            silent.add(node.name)
            continue
        listed = listed or seen
        # Each node tells of its own open slots only.
        still_open |= {slot for each in seen if "myself" in each.flags for slot in each.open}
    if not listed:
        yield Finding("cluster", State.FAILURE, "no node answers", "start the nodes")
        return
    primaries = [node for node in listed if "master" in node.flags and node.slots]
    yield _primaries(primaries, silent)
    yield _slots(primaries, still_open)
    yield _replicas(primaries, listed)
    yield _spread(primaries)
    for node in asked:
        if node.name not in silent and node.server_type == "primary":
            name, connection = f"redis {node.name}", client.get_redis_connection(node)
            for check, option in OPTIONS.items():
                check = f"{name} {check}"
                yield from guarded(check, partial(check_option, check, option, connection))


def read_nodes(reply: Any) -> list[Node]:  # noqa: ANN401 - a reply of the server
    """Read the reply to CLUSTER NODES."""
    text = reply.decode() if isinstance(reply, bytes) else str(reply)
    found = []
    for line in text.splitlines():
        name, address, flags, follows, *rest = line.split()
        ranges = rest[4:]
        found.append(
            Node(
                name,
                address.partition("@")[0],
                frozenset(flags.split(",")),
                follows,
                tuple(_range(part) for part in ranges if not part.startswith("[")),
                tuple(part.strip("[]") for part in ranges if part.startswith("[")),
            )
        )
    return found


def _range(part: str) -> tuple[int, int]:
    first, _, last = part.partition("-")
    return int(first), int(last or first)


def _primaries(primaries: list[Node], silent: set[str]) -> Finding:
    down = [node.address for node in primaries if node.down or node.address in silent]
    if not down:
        return Finding("cluster primaries", State.OK, f"{len(primaries)} answer")
    return Finding(
        "cluster primaries",
        State.FAILURE,
        f"{len(down)} of {len(primaries)} do not answer: {', '.join(down[:MAX_NAMED])}",
        "start it, or let a replica take over: CLUSTER FAILOVER TAKEOVER on the replica; without a"
        " replica, its shards answer again when it is back",
    )


def _slots(primaries: list[Node], still_open: set[str]) -> Finding:
    covered = sum(last - first + 1 for node in primaries for first, last in node.slots)
    if covered < 16_384:
        remedy = "valkey-cli --cluster fix, on a node of the cluster"
        found = f"{16_384 - covered} slots have no node"
        return Finding("cluster slots", State.FAILURE, found, remedy)
    if not still_open:
        return Finding("cluster slots", State.OK, "all have a node, and none is open")
    named = ", ".join(sorted(still_open)[:MAX_NAMED])
    return Finding(
        "cluster slots",
        State.FAILURE,
        f"{len(still_open)} are open, and scripts of their shards fail: {named}",
        "finish the move, or end it with CLUSTER SETSLOT <slot> STABLE on both nodes; move slots"
        " with CLUSTER MIGRATESLOTS, as docs/runbook.md says",
    )


def _replicas(primaries: list[Node], listed: list[Node]) -> Finding:
    behind = Counter(node.follows for node in listed if "slave" in node.flags and not node.down)
    alone = [node.address for node in primaries if not behind[node.name]]
    if not alone:
        return Finding("cluster replicas", State.OK, "each primary has one")
    return Finding(
        "cluster replicas",
        State.WARNING,
        f"{len(alone)} of {len(primaries)} primaries have none: {', '.join(alone[:MAX_NAMED])}",
        "add a replica to each: while a primary without one is down, its shards do not answer",
    )


def _spread(primaries: list[Node]) -> Finding:
    shards: Counter[str] = Counter()
    for shard in range(SHARDS):
        slot = shard_slot(shard)
        for node in primaries:
            shards[node.address] += any(first <= slot <= last for first, last in node.slots)
    most, least = max(shards.values()), min(shards.values())
    found = f"{most} at most and {least} at least, of {SHARDS} on {len(shards)} nodes"
    if most <= UNEVEN * SHARDS / len(shards):
        return Finding("cluster shards", State.OK, found)
    return Finding(
        "cluster shards",
        State.WARNING,
        found,
        "move the slots of some shards with CLUSTER MIGRATESLOTS; docs/topologies.md has the slot"
        " of each shard",
    )


def check_option(check: str, wanted: Option, node: Redis) -> Iterator[Finding]:
    """Check an option of a primary that has replicas."""
    options: Any = node.config_get(wanted.name)
    value = str(options.get(wanted.name, ""))
    if value in wanted.bad:
        yield Finding(check, State.WARNING, f"{wanted.name} is {value or 'not set'}", wanted.remedy)
    else:
        yield Finding(check, State.OK, f"{wanted.name} {value}")
