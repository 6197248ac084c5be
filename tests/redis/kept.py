"""Clients whose connections have a name, and what the server knows of these connections."""

from __future__ import annotations

from typing import Any

from redis import Redis

from reactions.core.settings import Settings
from reactions.redis.connection import connect, execute
from tests.support.waiting import patience, wait_until

NAME = "kept"


def open_client(url: str, *options: str) -> Redis:
    """A client of one server; ``options`` are those of redis_url, as ``name=value``."""
    before, _, more = url.partition("?")
    query = "&".join([f"client_name={NAME}", *options, *filter(None, [more])])
    client = connect(Settings(redis_url=f"{before}?{query}", redis_timeout_s=patience(0.5)))
    assert isinstance(client, Redis)
    return client


def identity(client: Redis) -> int:
    """The number that the server gave to the connection of this call."""
    return int(execute(client, ("CLIENT", "ID")))


def connections(admin: Redis) -> set[int]:
    """The open connections of such clients, as the server sees them."""
    found: Any = admin.client_list()
    return {int(each["id"]) for each in found if each["name"] == NAME}


def only_open(admin: Redis, expected: set[int]) -> None:
    """Check that the server has exactly these connections: it may see the end of others late."""
    wait_until(lambda: connections(admin) == expected, what=f"only {expected} are open")
