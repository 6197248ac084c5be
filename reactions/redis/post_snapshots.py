"""What duties and operators check about the caches of posts."""

from __future__ import annotations

from collections.abc import Sequence

from reactions.core.settings import Settings
from reactions.redis import buckets
from reactions.redis.connection import Client
from reactions.redis.keys import keys_of
from reactions.redis.pipeline import Command, run_all
from reactions.redis.replies import Growth, Snapshot, growth, snapshot
from reactions.redis.scripts import loading


class PostSnapshots:
    """Reads everything that Redis has about posts.

    Every method takes one round trip for each node, and raises ReactionsUnavailable when Redis
    cannot serve.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)

    def snapshots(self, post_ids: Sequence[int], token: str = "") -> list[Snapshot]:
        """Return a consistent snapshot of each post, in order. O(what the post has in Redis).

        Args:
            token: of the fence that tells the caller whether a claim came in between. The
                snapshot removes this fence.
        """
        calls = [loading.snapshot(self._keys, post_id, token) for post_id in post_ids]
        return [snapshot(reply) for reply in run_all(self._client, calls)]

    def growths(self, post_ids: Sequence[int]) -> dict[int, Growth]:
        """Return the growth of each post whose growth is watched."""
        calls = [Command(("GET", self._keys.post_rate(post_id))) for post_id in post_ids]
        replies = run_all(self._client, calls)
        return {
            post_id: growth(reply)
            for post_id, reply in zip(post_ids, replies, strict=True)
            if reply is not None
        }

    def lacking(self, post_ids: Sequence[int]) -> list[int]:
        """Return the posts that lack cached counts, or have neither a hash nor a sample."""
        calls = [
            command
            for post_id in post_ids
            for command in (
                Command(("HEXISTS", self._keys.post_reactions(post_id), buckets.MARK)),
                Command(("EXISTS", self._keys.post_reaction_counts(post_id))),
            )
        ]
        replies = run_all(self._client, calls)
        return [
            post_id
            for post_id, marked, counted in zip(post_ids, replies[::2], replies[1::2], strict=True)
            if not (marked and counted)
        ]
