"""What reads need from the cached state of posts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reactions.core.constants import shard_of
from reactions.core.settings import Settings
from reactions.redis.command_batch import CommandBatch
from reactions.redis.committed import parse_committed
from reactions.redis.connection import Client, readable, translated
from reactions.redis.keys import keys_of
from reactions.redis.pipeline import Call, Command, run_all
from reactions.redis.replies import PostLookup, pairs, parse_lookups
from reactions.redis.scripts import lookups
from reactions.redis.ttl import Ttl

MAX_POSTS_PER_LOOKUP = 50
"""Posts per lookup script. 50 posts keep the server busy for about half a millisecond."""


class LookupCalls(NamedTuple):
    """Calls that look up groups of posts; ``parse_lookups`` reads their replies."""

    groups: Sequence[Sequence[int]]
    """The posts of each call."""
    calls: Sequence[Call]


class PostCache:
    """Reads the cached state of posts.

    Every method raises ReactionsUnavailable when Redis cannot serve.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        self._ttl = Ttl(settings)
        self._cluster = settings.redis_cluster

    def lookup_calls(self, post_ids: Sequence[int], user_id: int = 0) -> LookupCalls:
        """Build the calls that look up posts. This method sends nothing.

        A single server needs one call for each MAX_POSTS_PER_LOOKUP posts; a cluster needs at
        least one call for each shard.

        Args:
            user_id: also look up this user's reaction to each post; 0 for no user.
        """
        shards: dict[int, list[int]] = {}
        for post_id in post_ids:
            shards.setdefault(shard_of(post_id) if self._cluster else 0, []).append(post_id)
        groups = [
            posts[start : start + MAX_POSTS_PER_LOOKUP]
            for posts in shards.values()
            for start in range(0, len(posts), MAX_POSTS_PER_LOOKUP)
        ]
        ttl = self._ttl
        calls = [
            lookups.lookup_posts(
                self._keys,
                group,
                user_id,
                [ttl.share() for _ in group],
                cold_ms=ttl.cold,
                regular_ms=ttl.regular,
                viral_ms=ttl.viral,
                stamped=self._cluster,
            )
            for group in groups
        ]
        return LookupCalls(groups, calls)

    def lookup(self, post_id: int) -> PostLookup:
        """Return what Redis knows about one post. One round trip."""
        groups, (call,) = self.lookup_calls([post_id])
        return parse_lookups(groups, [call.run(self._client)])[post_id]

    def recent(self, post_id: int, most: int) -> list[tuple[int, int]] | None:
        """Return the newest (user, code) pairs of a viral post, newest first. One round trip.

        Returns:
            At most ``most`` pairs; None if the post has no cached sample.
        """
        flat = lookups.recent(self._keys, post_id, most).run(self._client)
        return None if len(flat) == 1 else list(pairs(flat).items())

    def pending(self, post_id: int, most: int) -> dict[int, tuple[int, int]] | None:
        """Return the changes that the database may lack. Two round trips.

        Returns:
            user -> (code, version); None if the post has more than ``most`` such changes.
        """
        return self.pending_and_committed(post_id, most)[0]

    def pending_and_committed(
        self, post_id: int, most: int
    ) -> tuple[dict[int, tuple[int, int]] | None, list[int]]:
        """Return the changes that the database may lack, and where all others are. Two round trips.

        Returns:
            What ``pending`` returns; and the transactions of PostgreSQL after which a standby has
            every other change, empty if that is not known.
        """
        names = self._keys.post_pending(post_id), self._keys.post_claimed(post_id)
        with translated(), CommandBatch(self._client) as pipe:
            for name in names:
                pipe.hlen(name)
            if sum(pipe.execute()) > most:
                return None, []
            for name in names:
                pipe.hgetall(name)
            pipe.get(
                self._keys.outbox_committed(shard_of(post_id))
            )  # after what has not left the outbox
            pending, claimed, committed = pipe.execute()
        found = {}
        for user, entry in {**claimed, **pending}.items():
            code, _, version = entry.partition(b":")
            if user.isdigit() and code.isdigit() and version.isdigit():
                with readable():
                    found[int(user)] = int(code), int(version)
        return found, parse_committed([committed])

    def changed(self, post_id: int, user_ids: Sequence[int]) -> set[int]:
        """Return those of these users who have a change of this post in the outbox.

        One round trip.
        """
        if not user_ids:
            return set()
        with translated(), CommandBatch(self._client) as pipe:
            for name in (self._keys.post_pending(post_id), self._keys.post_claimed(post_id)):
                pipe.hmget(name, [str(user_id) for user_id in user_ids])
            pending, claimed = pipe.execute()
        return {
            user_id
            for user_id, *entries in zip(user_ids, pending, claimed, strict=True)
            if any(entries)
        }

    def uniques(self, post_id: int) -> int | None:
        """Estimate how many users ever reacted to a viral post. One round trip.

        Returns:
            0 for a deleted post; None if the post has no cached HyperLogLog.
        """
        return self.uniques_and_committed(post_id)[0]

    def uniques_and_committed(self, post_id: int) -> tuple[int | None, list[int]]:
        """Return what ``uniques`` does, and transactions as ``pending_and_committed`` does."""
        commands: list[Call | Command] = [
            Command(("SISMEMBER", self._keys.outbox_deleted(shard_of(post_id)), post_id)),
            Command(("PFCOUNT", self._keys.post_uniques(post_id))),
            Command(("GET", self._keys.outbox_committed(shard_of(post_id)))),
        ]
        deleted, found, committed = run_all(self._client, commands)
        # PFCOUNT answers 0 for a missing key; every existing HyperLogLog counts at least one user.
        return (0 if deleted else int(found) or None), parse_committed([committed])

    def deleted(self, post_ids: Sequence[int]) -> set[int]:
        """Return those of these posts that are deleted. One round trip for each node."""
        with translated(), CommandBatch(self._client) as pipe:
            for post_id in post_ids:
                pipe.sismember(self._keys.outbox_deleted(shard_of(post_id)), str(post_id))
            return {post for post, gone in zip(post_ids, pipe.execute(), strict=True) if gone}
