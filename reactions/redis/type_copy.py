"""The copy of the registry of reaction types, which a process reads before its first reaction.

The layout of the keys is read and written with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from reactions.core.layout import check, parse
from reactions.core.type_registry import ReactionType, dump, load
from reactions.redis import keys
from reactions.redis.connection import Client, translated
from reactions.redis.layout import write_layout


def read_types(client: Client) -> tuple[ReactionType, ...] | None:
    """Return the copy; None if there is none that this version can read. One round trip.

    Raises:
        LayoutMismatch: this version does not work with the keys in Redis.
        ReactionsUnavailable: Redis.
    """
    with translated():  # MGET has nothing for a key of another type, which somebody else wrote
        found, layout = client.mget([keys.outbox_types(), keys.outbox_layout()])
    check(parse(layout))
    return load(found) if isinstance(found, bytes | str) else None


def write_types(client: Client, registered: Sequence[ReactionType]) -> None:
    """Write the copy, and the layout where there is none. Neither has a TTL.

    Raises:
        ReactionsUnavailable: Redis.
    """
    with translated():
        client.set(keys.outbox_types(), dump(registered))
    write_layout(client)
