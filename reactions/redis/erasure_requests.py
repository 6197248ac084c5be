"""The posts and users whose rows are still to be erased from PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from redis.exceptions import RedisError

from reactions.core.constants import SHARDS, shard_of
from reactions.core.settings import Settings
from reactions.core.validate import is_id
from reactions.redis.command_batch import CommandBatch, Commands
from reactions.redis.connection import Client, is_outage, translated
from reactions.redis.keys import keys_of
from reactions.redis.scripts import markers

_TIMES = rb"([0-9]{1,16}(\+[0-9]{1,2}:[0-9]{1,16})*)?"
_STEP = re.compile(_TIMES + rb"(\|" + _TIMES + rb"){0,2}")
"""The step of a user's erasure, as ``maintenance.erase`` writes it."""


class ErasureRequests:
    """Reads and advances the erasures that ``delete_post`` and ``forget_user`` requested.

    Every method raises ReactionsUnavailable when Redis cannot serve.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)

    def mark_deleted(self, posts: Mapping[int, bool]) -> None:
        """Refuse reactions on these posts. One round trip for each node.

        Args:
            posts: post -> whether PostgreSQL has erased its rows. A post whose rows are still there
                becomes a request as well.
        """
        with translated(), CommandBatch(self._client) as pipe:
            for post_id, erased in posts.items():
                shard = shard_of(post_id)
                pipe.sadd(self._keys.outbox_deleted(shard), str(post_id))
                if not erased:
                    pipe.sadd(self._keys.outbox_deletions(shard), str(post_id))
            pipe.execute()

    def deleted(self, shard: int) -> list[int]:
        """Return the posts of a shard that refuse reactions. One round trip."""
        with translated():
            found: Any = Commands(self._client).smembers(self._keys.outbox_deleted(shard))
        return [int(post) for post in found if is_id(post)]

    def unfinished(self) -> tuple[list[int], dict[int, str]]:
        """Return the unfinished erasures. One round trip for each node.

        Those of a node that does not answer are left out, unless no node answers.

        Returns:
            The posts whose rows are still there; and user -> the step that the erasure has reached,
            "" before the first step.
        """
        with translated(), CommandBatch(self._client) as pipe:
            for shard in range(SHARDS):
                pipe.smembers(self._keys.outbox_deletions(shard))
                pipe.hgetall(self._keys.outbox_forgetting(shard))
            replies = pipe.execute(raise_on_error=False)
            failed = [reply for reply in replies if isinstance(reply, RedisError)]
            if failed and (len(failed) == len(replies) or not all(map(is_outage, failed))):
                raise failed[0]
        return (
            [int(p) for posts in replies[::2] if isinstance(posts, set) for p in posts if is_id(p)],
            {
                int(user): step.decode()
                for users in replies[1::2]
                if isinstance(users, dict)
                for user, step in users.items()
                if is_id(user) and _STEP.fullmatch(step)
            },
        )

    def confirm_erased(self, post_id: int) -> None:
        """Remove the request of a deleted post: its rows are erased. One round trip.

        The post continues to refuse reactions.
        """
        with translated():
            Commands(self._client).srem(
                self._keys.outbox_deletions(shard_of(post_id)), str(post_id)
            )

    def advance_erasure(self, user_id: int, step: str, following: str) -> bool:
        """Move a user's erasure from ``step`` to ``following``. One round trip.

        Args:
            following: "" to finish the erasure and remove the request.

        Returns:
            False if the user was forgotten again in the meantime: the erasure starts over.
        """
        return bool(markers.advance_erasure(self._keys, user_id, step, following).run(self._client))

    def start_over(self) -> None:
        """Let every erasure of a user that is under way begin again. No worker may run meanwhile.

        Two round trips for each node.
        """
        _, users = self.unfinished()
        with translated(), CommandBatch(self._client) as pipe:
            for user_id, step in users.items():
                if step:
                    pipe.hset(self._keys.outbox_forgetting(shard_of(user_id)), str(user_id), "")
            pipe.execute()
