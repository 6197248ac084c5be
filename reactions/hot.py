"""The hot path: one reaction, one script, one round trip; and the first step of a deletion."""

from __future__ import annotations

from collections.abc import Iterable

from redis.exceptions import RedisError

from reactions import keys, scripts
from reactions.client import Client, translated
from reactions.scripts import Reacted
from reactions.settings import Settings


class Hot:
    """What the write path asks of Redis, on one client."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._patience_us = int(settings.wake_patience_s * 1e6)

    def react(self, user_id: int, post_id: int, code: int) -> Reacted:
        """One script, one round trip. A code of 0 removes."""
        return Reacted(*scripts.react(user_id, post_id, code, self._patience_us).run(self._client))

    def react_many(self, items: Iterable[tuple[int, int, int]]) -> list[Reacted | RedisError]:
        """(user, post, code) each; one round trip for each Redis node, replies in order."""
        calls = [scripts.react(*item, self._patience_us) for item in items]
        with translated():
            replies = scripts.run_many(self._client, calls)
        return [reply if isinstance(reply, RedisError) else Reacted(*reply) for reply in replies]

    def delete_post(self, post_id: int) -> None:
        """Refuse reactions from now on, and note that the rows are to go. One round trip."""
        scripts.delete(post_id).run(self._client)

    def forget_user(self, user_id: int) -> None:
        """Note that the reactions of a user are to go. One round trip."""
        key = keys.outbox_forgetting(keys.shard_of(user_id))
        with translated():
            self._client.hset(key, str(user_id), "")
