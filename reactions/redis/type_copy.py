"""The copy of the registry of reaction types, which a process reads before its first reaction."""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis

from reactions.core.errors import ReactionsUnavailable, ScriptError
from reactions.core.type_registry import ReactionType, dump, load
from reactions.redis import keys
from reactions.redis.connection import Client, execute, translated
from reactions.redis.pipeline import Command, run_all

COPIES = (0, 2, 3)
"""Shards with a copy on a cluster, one in each third of the slots: a process that starts while a
node is down finds another one."""


def read_types(client: Client) -> tuple[ReactionType, ...] | None:
    """Return the copy; None if there is none that this version can read. One round trip.

    Raises:
        ReactionsUnavailable: Redis; on a cluster, each node that has a copy.
    """
    failures: list[ReactionsUnavailable] = []
    for shard in _shards(client):
        try:
            with translated():
                found = execute(client, ("GET", keys.outbox_types(shard)))
        except ScriptError:  # a key of another type, which somebody else wrote
            return None
        except ReactionsUnavailable as error:
            failures.append(error)
        else:
            return load(found) if isinstance(found, bytes | str) else None
    raise failures[0]


def write_types(client: Client, registered: Sequence[ReactionType]) -> None:
    """Write the copy, on a cluster to several nodes. It has no TTL.

    Raises:
        ReactionsUnavailable: Redis; a copy on another node of a cluster may be written.
    """
    text = dump(registered)
    run_all(client, [Command(("SET", keys.outbox_types(s), text)) for s in _shards(client)])


def _shards(client: Client) -> Sequence[int]:
    return COPIES[:1] if isinstance(client, Redis) else COPIES
