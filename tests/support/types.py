"""The copy of the registry of reaction types, for tests that have no PostgreSQL."""

from __future__ import annotations

from redis import Redis, RedisCluster

from reactions.core.type_names import DEFAULT_TYPES, parse_types
from reactions.core.type_registry import ReactionType
from reactions.redis.type_copy import write_types


def write_default_types(client: Redis | RedisCluster, types: str = DEFAULT_TYPES) -> None:
    """Write the copy that ``reactions migrate`` writes for these types."""
    found = [ReactionType(code, name) for name, code in parse_types(types).items()]
    write_types(client, found)
