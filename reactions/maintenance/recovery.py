"""What makes it safe to go on after a store lost data; the duty `loss_detection` finds the loss."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from reactions.core.constants import MAX_ID, shard_of
from reactions.core.errors import TypesMismatch
from reactions.core.settings import Settings
from reactions.maintenance.epochs import Loss, RedisEpoch
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import Run
from reactions.postgres.posts import Posts
from reactions.postgres.tables import TOUCHED_EVERY_US
from reactions.postgres.type_registry import TypeRegistry
from reactions.redis.cache_install import CacheInstall
from reactions.redis.cached_ids import CachedIds
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.erasure_requests import ErasureRequests
from reactions.redis.keys import keys_of
from reactions.redis.type_copy import read_types, write_types
from reactions.redis.user_cache import UserCache

log = logging.getLogger(__name__)

PAGE = 1_000
"""Posts that one query selects, to mark them as deleted or to drop their caches."""

MAX_SKEW_US = 3600 * 1_000_000
"""How far (µs) the clocks of the nodes of a cluster may differ."""


class Recovery:
    """Does at once what would otherwise give wrong answers. Each step is safe to repeat.

    PostgreSQL is the truth about everything that is not pending. A cache holds neither the time of
    a reaction nor every user, so nothing of it is written back.
    """

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._clock = Clock(client, settings)
        self._keys = keys_of(settings.space)
        self._requests = ErasureRequests(client, settings)
        self._cache = CacheInstall(client, settings)
        self._cached = CachedIds(client, settings)
        self._users = UserCache(client, settings)
        self._posts = Posts(database)
        self._registry = TypeRegistry(database)
        self._client = client
        self._settings = settings

    def recover(
        self, losses: Mapping[int, Loss], epochs: Mapping[int, RedisEpoch | None], run: Run
    ) -> None:
        """Raise versions, mark deleted posts, and drop the caches that may be wrong.

        Args:
            losses: shard -> what was lost, for the shards that a store lost something of.
            epochs: shard -> what Redis has.
            run: gets what was found and done.
        """
        kinds, shards = Counter(losses.values()), list(losses)
        log.critical("%s; recovering", _in_words(kinds))
        run.found.update(kinds)
        of = {kind: [shard for shard, what in losses.items() if what is kind] for kind in kinds}
        if Loss.DATABASE in of:
            self._write_back_types()
            self._write_back_deletions(of[Loss.DATABASE], run)
        self._raise_clocks(shards)
        self._registry.publish(partial(write_types, self._client, self._keys))
        after = 0
        while deleted := self._posts.deleted_in_shards(shards, after, PAGE):
            self._requests.mark_deleted(deleted)
            after = max(deleted)
        dropped = 0
        if older := of.get(Loss.OLDER):
            since = min(epoch.at_us for shard in older if (epoch := epochs[shard]))
            dropped += self._drop_touched(older, since)
        if wrong := [*of.get(Loss.OTHER, ()), *of.get(Loss.DATABASE, ())]:
            dropped += self._drop_cached(set(wrong))
        if older or wrong:
            # The users of every shard: a user may have reacted to posts of any shard.
            self._users.drop_all()
            run.detail.append(f"{dropped} posts dropped")
        run.repaired = len(shards)

    def _raise_clocks(self, shards: Sequence[int]) -> None:
        """Let each shard give out only versions above those that PostgreSQL has of it."""
        newest = self._posts.newest_touched(int(self._clock.now_us()) - MAX_SKEW_US)
        self._clock.raise_clocks(
            {shard: newest[shard] + TOUCHED_EVERY_US for shard in shards if shard in newest}
        )

    def _drop_touched(self, shards: Sequence[int], since_us: int) -> int:
        """Drop the caches of posts that changed since the snapshot."""
        dropped, before = 0, MAX_ID
        since = since_us - 2 * TOUCHED_EVERY_US
        while posts := self._posts.touched_before(before, since, shards, PAGE):
            self._cache.drop_many(posts)
            dropped, before = dropped + len(posts), min(posts.values())
        return dropped

    def _drop_cached(self, shards: set[int]) -> int:
        """Drop every cached post of these shards: PostgreSQL may not know it at all."""
        dropped = 0
        for found in self._cached.posts():
            posts = [post_id for post_id in found if shard_of(post_id) in shards]
            self._cache.drop_many(posts, everything=True)
            dropped += len(posts)
        return dropped

    def _write_back_types(self) -> None:
        """Register the types that PostgreSQL lost, so that it accepts what is pending."""
        if copied := read_types(self._client, self._keys):
            self._registry.write_back(copied)
        if self._settings.names_types:
            try:
                self._registry.register(self._settings.reaction_types)
            except TypesMismatch as error:
                log.critical("%s", error)

    def _write_back_deletions(self, shards: Sequence[int], run: Run) -> None:
        """Request again the deletions that PostgreSQL lost: Redis keeps every deleted post."""
        again = 0
        for shard in shards:
            refusing = self._requests.deleted(shard)
            for start in range(0, len(refusing), PAGE):
                posts = refusing[start : start + PAGE]
                lost = set(posts) - self._posts.deleted(posts)
                self._requests.mark_deleted(dict.fromkeys(lost, False))
                again += len(lost)
        if again:
            run.detail.append(f"{again} deletions requested again")


def _in_words(kinds: Mapping[Loss, int]) -> str:
    """Name the store that lost data, and on how many shards."""
    counted = ", ".join(f"{kind} on {shards} shards" for kind, shards in kinds.items())
    if Loss.DATABASE not in kinds:
        return f"Redis lost data, or is another server: {counted}"
    return (
        "PostgreSQL may be in an earlier state than Redis, as after the restore of a dump or the"
        f" promotion of a standby: {counted}; what it lacks is lost, and the caches follow it"
    )
