"""The copy of the registry of reaction types, which a process reads before its first reaction.

The layout of the keys is read and written with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from reactions.core.layout import check, parse
from reactions.core.type_registry import ReactionType, dump, load
from reactions.redis.connection import Client, execute
from reactions.redis.keys import Keys
from reactions.redis.layout import copies, layout_commands, read_copy
from reactions.redis.pipeline import Command, run_all


def read_types(client: Client, keys: Keys) -> tuple[ReactionType, ...] | None:
    """Return the copy; None if there is none that this version can read. One round trip.

    Raises:
        LayoutMismatch: this version does not work with the keys in Redis.
        ReactionsUnavailable: Redis; on a cluster, each node that has a copy.
    """

    def read(shard: int) -> tuple[object, object]:
        # MGET has nothing for a key of another type, which somebody else wrote.
        words = ("MGET", keys.outbox_types(shard), keys.outbox_layout(shard))
        types, layout = execute(client, words)
        return types, layout

    found, layout = read_copy(client, read)
    check(parse(layout))
    return load(found) if isinstance(found, bytes | str) else None


def write_types(client: Client, keys: Keys, registered: Sequence[ReactionType]) -> None:
    """Write the copy, on a cluster to several nodes, and the layout where there is none.

    Neither has a TTL.

    Raises:
        ReactionsUnavailable: Redis; a copy on another node of a cluster may be written.
    """
    text = dump(registered)
    types = [Command(("SET", keys.outbox_types(s), text)) for s in copies(client)]
    run_all(client, [*types, *layout_commands(client)])
