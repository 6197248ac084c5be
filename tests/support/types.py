"""The registry of reaction types and its copy, and processes that are configured with types."""

from __future__ import annotations

from functools import partial

from redis import Redis, RedisCluster

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.core.type_names import DEFAULT_TYPES, parse_types
from reactions.core.type_registry import ReactionType
from reactions.postgres.type_registry import TypeRegistry
from reactions.redis.keys import default_keys as keys
from reactions.redis.type_copy import write_types
from tests.support.engine import Engine


def write_default_types(client: Redis | RedisCluster, types: str = DEFAULT_TYPES) -> None:
    """Write the copy that ``reactions migrate`` writes for these types."""
    found = [ReactionType(code, name) for name, code in parse_types(types).items()]
    write_types(client, keys, found)


def publish(engine: Engine, registry: TypeRegistry) -> None:
    registry.publish(partial(write_types, engine.client, keys))


def configured(settings: Settings, types: str) -> Reactions:
    named = Settings(reaction_types=types).reaction_types
    return Reactions(settings.model_copy(update={"reaction_types": named}))
