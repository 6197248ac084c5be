"""Which transactions of PostgreSQL a standby must have before it answers for Redis.

A change leaves the outbox when PostgreSQL has committed it. The step that drops it notes the
transaction, for each shard. So a standby that has this transaction has every change of the shard
that the outbox no longer has.
"""

from __future__ import annotations

from collections.abc import Iterable

from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.redis.command_batch import CommandBatch
from reactions.redis.connection import Client, translated
from reactions.redis.keys import keys_of
from reactions.redis.pipeline import Command, run_all, run_many


class Committed:
    """Reads the notes of all shards.

    Every method raises ReactionsUnavailable when Redis cannot serve.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        self._cluster = settings.redis_cluster

    def of_all_shards(self) -> list[int]:
        """Return the transactions of all shards; empty if one is missing.

        One round trip for each node.
        """
        names = [self._keys.outbox_committed(shard) for shard in range(SHARDS)]
        if not self._cluster:
            return parse_committed(run_all(self._client, [Command(("MGET", *names))])[0])
        with translated():
            found = run_many(self._client, [Command(("GET", name)) for name in names])
        # A node that does not answer leaves its shards unknown.
        return parse_committed(one if isinstance(one, bytes) else None for one in found)

    def forget(self, shards: Iterable[int]) -> None:
        """Drop the notes of shards: one of the stores lost data. One round trip for each node."""
        with translated(), CommandBatch(self._client) as pipe:
            for shard in shards:
                pipe.unlink(self._keys.outbox_committed(shard))
            pipe.execute()

    def note_missing(self, transaction: int) -> None:
        """Note a committed transaction for the shards that have none. One round trip a node.

        What left the outbox before it was committed earlier; what leaves later notes its own.
        """
        with translated(), CommandBatch(self._client) as pipe:
            for shard in range(SHARDS):
                pipe.set(self._keys.outbox_committed(shard), transaction, nx=True)
            pipe.execute(raise_on_error=False)  # another run reaches the other nodes


def parse_committed(found: Iterable[bytes | None]) -> list[int]:
    """Return the noted transactions; empty if one is missing or is no number."""
    read = list(found)
    if not all(one is not None and one.isdigit() and len(one) < 20 for one in read):
        return []
    return sorted({int(one) for one in read if one is not None})
