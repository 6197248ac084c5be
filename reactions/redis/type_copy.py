"""The copy of the registry of reaction types, which a process reads before its first reaction."""

from __future__ import annotations

from collections.abc import Sequence

from reactions.core.errors import ScriptError
from reactions.core.type_registry import ReactionType, dump, load
from reactions.redis import keys
from reactions.redis.connection import Client, translated


def read_types(client: Client) -> tuple[ReactionType, ...] | None:
    """Return the copy; None if there is none that this version can read. One round trip.

    Raises:
        ReactionsUnavailable: Redis.
    """
    try:
        with translated():
            found = client.get(keys.outbox_types())
    except ScriptError:  # a key of another type, which somebody else wrote
        return None
    return load(found) if isinstance(found, bytes | str) else None


def write_types(client: Client, registered: Sequence[ReactionType]) -> None:
    """Write the copy. It has no TTL.

    Raises:
        ReactionsUnavailable: Redis.
    """
    with translated():
        client.set(keys.outbox_types(), dump(registered))
