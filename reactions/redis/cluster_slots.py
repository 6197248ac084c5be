"""Which node of a cluster has which slot, as this process knows it, and how it learns of changes.

redis-py asks all nodes again, one after the other, whenever one of them fails. Here, one node that
answers is asked, in a bounded time, and only what changed is noted.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from redis import Redis, RedisCluster
from redis.crc import key_slot
from redis.exceptions import MovedError, RedisClusterException, RedisError

from reactions.core.constants import SHARDS
from reactions.redis.node_pipeline import NodePipeline
from reactions.redis.wire import Argument, pack

_SLOTS = (pack(("CLUSTER", "SLOTS")),)

MAX_ASKED = 2
"""Nodes that one call asks for the owners of slots."""


class Owner(NamedTuple):
    """The address of a primary."""

    host: str
    port: int


def slot_of(key: Argument) -> int:
    """Return the slot of a key. Those of the hundred shards are remembered."""
    if isinstance(key, str):
        tag = key[key.find("{") + 1 : key.find("}")]
        slot = _OF_SHARD.get(tag)
        if slot is not None:
            return slot
    return int(key_slot(key if isinstance(key, bytes) else str(key).encode()))


_OF_SHARD = {str(shard): key_slot(str(shard).encode()) for shard in range(SHARDS)}
"""The number of a shard, as the braces of its keys have it -> its slot."""


def shard_slot(shard: int) -> int:
    """Return the slot of a shard, 0 to 99."""
    return _OF_SHARD[str(shard)]


def node_of(client: RedisCluster, slot: int) -> Redis | None:
    """Return the client of the primary that has a slot; None if no node is known to have it."""
    nodes: Any = client.nodes_manager.slots_cache.get(slot)
    return client.get_redis_connection(nodes[0]) if nodes else None


def node_at(client: RedisCluster, host: str, port: int) -> Redis:
    """Return the client of the node at an address that a reply named."""
    manager: Any = client.nodes_manager
    found = manager.get_node(host, port)
    if found is None:  # redis-py makes nodes where it notes that a slot moved
        from redis.cluster import ClusterNode

        found = ClusterNode(host, port, "primary")  # type: ignore[no-untyped-call]
        manager.nodes_cache[found.name] = found
    return client.get_redis_connection(found)


def note_moved(client: RedisCluster, slot: int, owner: Owner) -> None:
    """Note that a node has a slot now."""
    manager: Any = client.nodes_manager
    manager.slots_cache.setdefault(slot, [])
    if manager.slots_cache[slot]:
        manager.move_slot(MovedError(f"{slot} {owner.host}:{owner.port}"))
    else:
        node_at(client, *owner)
        manager.slots_cache[slot] = [manager.get_node(*owner)]


def learn_owners(
    client: RedisCluster, slots: Iterable[int], failed: Iterable[Redis], until: float
) -> None:
    """Ask a node that has not failed for the owners of these slots, and of all shards.

    Takes one round trip to one node; to a second one if the first does not answer.

    Args:
        until: a time of ``time.monotonic`` after which no node is asked.
    """
    wanted = {*slots, *_OF_SHARD.values()}
    for slot, owner in _owners(client, {id(node) for node in failed}, until):
        if slot in wanted:
            known: Any = client.nodes_manager.slots_cache.get(slot)
            if not known or (known[0].host, known[0].port) != owner:
                note_moved(client, slot, owner)


def _owners(client: RedisCluster, failed: set[int], until: float) -> Iterator[tuple[int, Owner]]:
    """Slot -> owner, as the first node that answers says."""
    nodes: list[Any] = client.get_nodes()  # type: ignore[no-untyped-call]
    asked = 0
    for node in nodes:
        connection = client.get_redis_connection(node)
        if id(connection) in failed:
            continue
        if asked == MAX_ASKED or time.monotonic() >= until:
            return
        reply = _ask(connection)
        asked += 1
        if reply is not None:
            with contextlib.suppress(ValueError, TypeError, IndexError, RedisClusterException):
                for first, last, primary, *_ in reply:
                    host = _text(primary[0]) or node.host
                    for slot in range(int(first), int(last) + 1):
                        yield slot, Owner(host, int(primary[1]))
            return


def _ask(node: Redis) -> Any:  # noqa: ANN401 - a reply of the server
    pipeline = NodePipeline(node)
    pipeline.places.append(0)
    try:
        pipeline.send(_SLOTS)
        found = pipeline.read(late=False)
    finally:
        pipeline.close()
    return None if not found or isinstance(found[0], RedisError) else found[0]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
