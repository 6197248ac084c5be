"""The hot path: one reaction, one script, one round trip; and the first step of a deletion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from redis.exceptions import RedisError

from reactions.core.constants import shard_of
from reactions.core.settings import Settings
from reactions.redis import keys
from reactions.redis.connection import Client, translated
from reactions.redis.pipeline import run_many
from reactions.redis.replicas import run_confirmed
from reactions.redis.scripts import writes
from reactions.redis.scripts.writes import ReactReply


class RedisWrites:
    """What the write path asks of Redis, on one client."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._patience_us = int(settings.wake_patience_s * 1e6)
        self._replica_wait_s = settings.replica_wait_s

    def record(self, user_id: int, post_id: int, code: int) -> ReactReply:
        """One script, one round trip. A code of 0 removes."""
        return ReactReply(
            *writes.record(user_id, post_id, code, self._patience_us).run(self._client)
        )

    def record_many(self, items: Iterable[tuple[int, int, int]]) -> list[ReactReply | RedisError]:
        """(user, post, code) each; one round trip for each Redis node, replies in order."""
        calls = [writes.record(*item, self._patience_us) for item in items]
        with translated():
            replies = run_many(self._client, calls)
        return [reply if isinstance(reply, RedisError) else ReactReply(*reply) for reply in replies]

    def record_confirmed(
        self, items: Sequence[tuple[int, int, int]], wanted: int
    ) -> list[tuple[ReactReply | RedisError, int]]:
        """As ``record_many``, each reply with how many replicas have it, of ``wanted``.

        Waits for them for replica_wait_s at most; on a cluster, nodes are asked one by one.
        """
        calls = [
            (
                writes.record(*item, self._patience_us),
                keys.outbox_confirmed(shard_of(item[1])),
            )
            for item in items
        ]
        with translated():
            answers = run_confirmed(self._client, calls, wanted, self._replica_wait_s)
        return [
            (reply if isinstance(reply, RedisError) else ReactReply(*reply), confirmed)
            for reply, confirmed in answers
        ]

    def delete_post(self, post_id: int) -> None:
        """Refuse reactions from now on, and note that the rows are to go. One round trip."""
        writes.delete(post_id).run(self._client)

    def forget_user(self, user_id: int) -> None:
        """Note that the reactions of a user are to go. One round trip."""
        key = keys.outbox_forgetting(shard_of(user_id))
        with translated():
            self._client.hset(key, str(user_id), "")
