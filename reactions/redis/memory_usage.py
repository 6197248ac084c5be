"""What Redis's memory goes to, by shard: an estimate from a sample of the keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from redis import Redis

from reactions.core.constants import SHARDS
from reactions.redis.connection import Client, translated

STEP = 1_000
"""Keys of each node that one look takes, about."""

MAX_SAMPLED_KEYS = 50_000
"""Keys from which on the older half of the sample's weight goes: it follows what changes."""

_SHARD = re.compile(rb"[a-z]+:\{([0-9]{1,2})\}")


def nodes(client: Client) -> list[tuple[str, Redis]]:
    """The servers that hold keys, each with a name."""
    if isinstance(client, Redis):
        return [("redis", client)]
    primaries: list[Any] = client.get_primaries()  # type: ignore[no-untyped-call]
    return [(f"redis {node.name}", client.get_redis_connection(node)) for node in primaries]


class MemoryUsage:
    """Goes over the keys a step at a time, as SCAN does, and remembers what they took."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._cursors: dict[str, int] = {}
        self._bytes = [0.0] * SHARDS
        self._keys = 0.0

    def by_shard(self) -> list[float]:
        """Bytes of each shard: its share of the sample, of all memory that holds data.

        Raises:
            ReactionsUnavailable: a node failed.
        """
        held = 0.0
        with translated():
            for name, node in nodes(self._client):
                for shard, size in self._step(name, node):
                    self._bytes[shard] += size
                    self._keys += 1
                held += max(0, int(node.info("memory")["used_memory_dataset"]))
        if self._keys > MAX_SAMPLED_KEYS:
            self._keys /= 2
            self._bytes = [size / 2 for size in self._bytes]
        sampled = sum(self._bytes)
        return [held * size / sampled if sampled else 0.0 for size in self._bytes]

    def _step(self, name: str, node: Redis) -> Iterator[tuple[int, int]]:
        """(shard, bytes) of the next keys; three round trips at most."""
        reply: Any = node.scan(self._cursors.get(name, 0), count=STEP)
        self._cursors[name], found = reply
        ours = [(match, key) for key in found if (match := _SHARD.match(key))]
        with node.pipeline(transaction=False) as pipe:
            for _, key in ours:
                pipe.memory_usage(key)
            sizes = pipe.execute()
        for (match, _), size in zip(ours, sizes, strict=True):
            if size:  # it may have gone meanwhile
                yield int(match[1]), int(size)
