"""The layout of the keys, as Redis holds it. A process reads it with the copy of the types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from reactions.core.errors import ReactionsUnavailable
from reactions.core.layout import CURRENT, Layout, check, parse
from reactions.redis.connection import Client, execute, is_cluster, translated
from reactions.redis.keys import default_keys
from reactions.redis.pipeline import Command, run_all

Answer = TypeVar("Answer")

COPIES = (0, 2, 3)
"""Shards with a copy on a cluster, one in each third of the slots: a process that starts while a
node is down finds another one."""


def copies(client: Client) -> Sequence[int]:
    """Return the shards that have the layout and the types."""
    return COPIES if is_cluster(client) else COPIES[:1]


def read_copy(client: Client, read: Callable[[int], Answer]) -> Answer:
    """Call a function with the shard of a copy; with that of another copy if Redis fails.

    Raises:
        ReactionsUnavailable: Redis; on a cluster, each node that has a copy.
    """
    failures: list[ReactionsUnavailable] = []
    for shard in copies(client):
        try:
            with translated():
                return read(shard)
        except ReactionsUnavailable as error:
            failures.append(error)
    raise failures[0]


def read_layout(client: Client) -> Layout | None:
    """Return the layout; None if there is none that can be read. One round trip.

    Raises:
        ReactionsUnavailable: Redis; on a cluster, each node that has a copy.
    """

    def read(shard: int) -> Layout | None:  # MGET has nothing for a key of another type
        return parse(execute(client, ("MGET", default_keys.outbox_layout(shard)))[0])

    return read_copy(client, read)


def check_layout(client: Client) -> None:
    """Check that this version works with the keys. One round trip.

    Raises:
        LayoutMismatch: it does not.
        ReactionsUnavailable: Redis.
    """
    check(read_layout(client))


def layout_commands(client: Client) -> list[Command]:
    """Write the layout of this version where there is none: an older worker lowers nothing."""
    return [
        Command(("SET", default_keys.outbox_layout(s), str(CURRENT), "NX")) for s in copies(client)
    ]


def raise_layout(client: Client) -> None:
    """Raise the layout to that of this version, for ``reactions migrate``. It is never lowered.

    Raises:
        LayoutMismatch: this version does not work with the keys.
        ReactionsUnavailable: Redis; a copy on another node of a cluster may be written.
    """
    found = read_layout(client) or CURRENT
    check(found)
    raised = str(Layout(max(found.number, CURRENT.number), max(found.oldest, CURRENT.oldest)))
    run_all(
        client, [Command(("SET", default_keys.outbox_layout(s), raised)) for s in copies(client)]
    )
