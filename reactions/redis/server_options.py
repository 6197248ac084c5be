"""The options that the Redis or Valkey servers need."""

from __future__ import annotations

from collections.abc import Mapping

from reactions.core.settings import Settings
from reactions.redis.connection import Client, translated

VALKEY_OPTIONS: Mapping[str, str] = {
    "appendonly": "yes",  # acknowledged reactions survive a crash of the server ...
    "appendfsync": "everysec",  # ... except those of the last second
    "save": "",  # no snapshots: the append-only file suffices
    # Caches have a TTL and may be evicted. The outbox has none, so it is never evicted.
    "maxmemory-policy": "volatile-lru",
    # A bucket stays a listpack: 12 bytes a reaction instead of 50.
    "hash-max-listpack-entries": "512",
    "hash-max-listpack-value": "64",
}
"""The options of the data server that differ from the defaults."""


BROKER_OPTIONS: Mapping[str, str] = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",  # queues must not be evicted
}
"""The options of the broker that differ from the defaults."""


def eviction_policies(client: Client, settings: Settings) -> set[str]:
    """Return the maxmemory-policy of every primary. One round trip for each node.

    Raises:
        ReactionsUnavailable: Redis cannot serve.
    """
    with translated():
        if settings.redis_cluster:
            info = client.info("memory", target_nodes="primaries")
            nodes = info.values() if "maxmemory_policy" not in info else [info]
        else:
            nodes = [client.info("memory")]
    return {str(node["maxmemory_policy"]) for node in nodes}
