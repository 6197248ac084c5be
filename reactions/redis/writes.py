"""The writes of the web tier: reactions, and requests to delete a post or forget a user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from redis.exceptions import RedisError

from reactions.core.constants import shard_of
from reactions.core.settings import Settings
from reactions.redis.connection import Client, execute, translated
from reactions.redis.keys import keys_of
from reactions.redis.pipeline import run_many
from reactions.redis.replicas import run_confirmed
from reactions.redis.scripts import writes
from reactions.redis.scripts.writes import ReactReply


class RedisWrites:
    """Records reactions and requests erasures.

    Every method raises ReactionsUnavailable when Redis cannot serve.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        self._patience_us = int(settings.wake_patience_s * 1e6)
        self._replica_wait_s = settings.replica_wait_s

    def record(self, user_id: int, post_id: int, code: int) -> ReactReply:
        """Record a reaction; code 0 removes the user's reaction. One script, one round trip."""
        return ReactReply(
            *writes.record(self._keys, user_id, post_id, code, self._patience_us).run(self._client)
        )

    def record_many(self, items: Iterable[tuple[int, int, int]]) -> list[ReactReply | RedisError]:
        """Record (user, post, code) items. One round trip for each node.

        Returns:
            The reply to each item, in order; the error of each item that failed.
        """
        calls = [writes.record(self._keys, *item, self._patience_us) for item in items]
        with translated():
            replies = run_many(self._client, calls)
        return [reply if isinstance(reply, RedisError) else ReactReply(*reply) for reply in replies]

    def record_confirmed(
        self, items: Sequence[tuple[int, int, int]], wanted: int
    ) -> list[tuple[ReactReply | RedisError, int]]:
        """Record items as ``record_many`` does, and wait until replicas have them.

        The wait ends after replica_timeout_s. On a cluster, the nodes follow one after the other.

        Args:
            wanted: how many replicas to wait for.

        Returns:
            The reply to each item, and the number of replicas that have it.
        """
        calls = [
            (
                writes.record(self._keys, *item, self._patience_us),
                self._keys.outbox_confirmed(shard_of(item[1])),
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
        """Refuse reactions to a post, and request the erasure of its rows. One round trip."""
        writes.delete(self._keys, post_id).run(self._client)

    def forget_user(self, user_id: int) -> None:
        """Request the erasure of a user's rows. One round trip."""
        key = self._keys.outbox_forgetting(shard_of(user_id))
        with translated():
            execute(self._client, ("HSET", key, str(user_id), ""))
