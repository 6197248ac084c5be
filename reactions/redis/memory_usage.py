"""Estimates how much of Redis's memory each shard uses, from a sample of the keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from redis import Redis

from reactions.core.constants import SHARDS
from reactions.redis.connection import Client, translated

KEYS_PER_STEP = 1_000
"""Keys of each node that one reading samples, about."""

MAX_SAMPLED_KEYS = 50_000
"""Above this size, the sample's weight is halved, so that newer keys count more than older ones."""

_SHARD = re.compile(rb"[a-z]+:\{([0-9]{1,2})\}")


def nodes(client: Client) -> list[tuple[str, Redis]]:
    """Return the servers that hold keys, each with a name."""
    if isinstance(client, Redis):
        return [("redis", client)]
    primaries: list[Any] = client.get_primaries()  # type: ignore[no-untyped-call]
    return [(f"redis {node.name}", client.get_redis_connection(node)) for node in primaries]


class MemoryUsage:
    """Samples the keys with SCAN, one step at each reading, and sums up their sizes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._cursors: dict[str, int] = {}
        self._bytes = [0.0] * SHARDS
        self._keys = 0.0

    def by_shard(self) -> list[float]:
        """Estimate the bytes that each shard uses, by shard number.

        A shard's share of the sample is taken as its share of all memory that holds data. Four
        round trips for each node.

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
        """Yield (shard, bytes) of the next keys."""
        reply: Any = node.scan(self._cursors.get(name, 0), count=KEYS_PER_STEP)
        self._cursors[name], found = reply
        ours = [(match, key) for key in found if (match := _SHARD.match(key))]
        with node.pipeline(transaction=False) as pipe:
            for _, key in ours:
                pipe.memory_usage(key)
            sizes = pipe.execute()
        for (match, _), size in zip(ours, sizes, strict=True):
            if size:  # None if the key has expired in the meantime
                yield int(match[1]), int(size)
