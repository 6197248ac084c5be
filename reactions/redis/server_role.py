"""Asks a server what it is: a primary or a replica, and alone, in a cluster, or a Sentinel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis import Redis

from reactions.core.errors import ReactionsUnavailable
from reactions.redis.connection import Client, execute, translated
from reactions.redis.connection_pool import condemn

REPLICA_ADVICE = (
    "redis_url leads to a replica, which refuses writes; let it name the primary,"
    " or a name that follows the primary"
)
"""What an operator does about a replica where the primary should be."""


def identity(client: Redis) -> Mapping[str, str]:
    """What a server says of itself, for example ``role`` and ``mode``. Every user may ask.

    Raises:
        RedisError: the server does not answer.
    """
    found: Any = execute(client, ("HELLO",))
    if not isinstance(found, dict):  # RESP2 has no maps
        found = dict(zip(found[::2], found[1::2], strict=True))
    return {_text(name): _text(value) for name, value in found.items()}


def check_primary(client: Client) -> None:
    """Check that Redis answers, and that the address names a primary. Cost: one round trip.

    If an open connection leads to a replica, the idle ones end, and a new one is asked.

    Raises:
        ReactionsUnavailable: Redis does not answer, or it is a replica.
    """
    with translated():
        if not isinstance(client, Redis):
            client.ping()  # redis-py follows the roles of a cluster's nodes
            return
        if not is_primary(client):
            condemn(client.connection_pool)
            if not is_primary(client):
                raise ReactionsUnavailable("redis", f"Redis refuses to serve: {REPLICA_ADVICE}")


def is_primary(client: Redis) -> bool:
    """Return whether the server at the other end is a primary.

    Raises:
        RedisError: the server does not answer.
    """
    return identity(client).get("role") == "master"


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
