"""Options that a Redis or Valkey server needs for this engine."""

from __future__ import annotations

from collections.abc import Mapping

from reactions.core.settings import Settings
from reactions.redis.connection import Client, translated

VALKEY_OPTIONS: Mapping[str, str] = {
    "appendonly": "yes",  # what react() returned from survives a crash of the server ...
    "appendfsync": "everysec",  # ... but for the last second
    "save": "",  # the append-only file is enough
    # The outbox has no TTL, so it is never evicted; caches have one, and may be.
    "maxmemory-policy": "volatile-lru",
    # A small post's hash stays a listpack, 12 bytes a reaction instead of 50.
    "hash-max-listpack-entries": "512",
    "hash-max-listpack-value": "64",
}
"""Every option of the data server that is not the default, on purpose."""


BROKER_OPTIONS: Mapping[str, str] = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",  # queues have no TTL and must not be evicted
}


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
