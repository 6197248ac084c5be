"""The keys that Redis holds of one post."""

from __future__ import annotations

from typing import Any

from redis import Redis

from reactions.core.constants import shard_of
from reactions.redis import buckets
from reactions.redis.keys import default_keys as keys


def cache_keys(client: Redis, post_id: int) -> dict[str, list[str]]:
    """The keys of a post that may expire, by the last part of their name; some may be missing."""
    first = keys.post_reactions(post_id)
    mark: Any = client.hget(first, str(buckets.MARK))
    return {
        "reactions": [keys.bucket(first, n) for n in range(max(1, abs(int(mark or 1))))],
        "reaction_counts": [keys.post_reaction_counts(post_id)],
        "viral": [keys.post_viral(post_id)],
        "total_reactions": [keys.post_total_reactions(post_id)],
        "recent": [keys.post_recent(post_id)],
        "uniques": [keys.post_uniques(post_id)],
    }


def cache_memory(client: Redis, post_id: int) -> dict[str, int]:
    """Bytes (MEMORY USAGE) of each of the ``cache_keys``; all buckets count as one."""
    return {
        part: sum(memory_usage(client, name) for name in names)
        for part, names in cache_keys(client, post_id).items()
    }


def memory_of_post(client: Redis, post_id: int) -> int:
    """Bytes (MEMORY USAGE) of all keys of a post; it scans the whole server."""
    names = client.scan_iter(f"{keys.post_prefix(shard_of(post_id))}{post_id}:*", count=1_000)
    return sum(memory_usage(client, name) for name in names)


def memory_usage(client: Redis, name: str | bytes) -> int:
    """Bytes of one key, all its elements counted; 0 for a missing key."""
    usage: Any = client.memory_usage(name, samples=0)
    return int(usage or 0)


def used_memory(info: Any) -> int:  # noqa: ANN401 - redis-py does not say what info() returns
    """Bytes in use by ``INFO memory``, without the buffers of clients and of the file."""
    return int(info["used_memory"] - info["mem_clients_normal"] - info.get("mem_aof_buffer", 0))


def delete_matching(client: Redis, pattern: str, batch: int = 5_000) -> None:
    """Delete all keys that match, a batch at a time."""
    names: list[bytes] = []
    for name in client.scan_iter(match=pattern, count=batch):
        names.append(name)
        if len(names) == batch:
            client.unlink(*names)
            names = []
    if names:
        client.unlink(*names)
