"""Asks a server what it is: a primary or a replica, and alone, in a cluster, or a Sentinel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis import Redis

from reactions.core.errors import ReactionsUnavailable
from reactions.redis.advice import REPLICA_ADVICE, SENTINEL_ADVICE
from reactions.redis.connection import Client, execute, translated
from reactions.redis.connection_pool import condemn


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
                check_kind(client)
                remedy = REPLICA_ADVICE.format(url="redis_url")
                raise ReactionsUnavailable("redis", "Redis refuses to serve", remedy)


def check_kind(client: Redis, url: str = "redis_url", node: str = "") -> None:
    """Check that the server is no Sentinel and, with ``node``, no node of a cluster.

    Args:
        url: the name of the setting with the address.
        node: what to do if it is a node of a cluster.

    Raises:
        ReactionsUnavailable: it is.
        RedisError: the server does not answer.
    """
    mode = identity(client).get("mode")
    if mode == "sentinel":
        raise ReactionsUnavailable("redis", "a Sentinel", SENTINEL_ADVICE.format(url=url))
    if mode == "cluster" and node:
        raise ReactionsUnavailable("redis", "a node of a cluster", node.format(url=url))


def is_primary(client: Redis) -> bool:
    """Return whether the server at the other end is a primary.

    Raises:
        RedisError: the server does not answer.
    """
    return identity(client).get("role") == "master"


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
