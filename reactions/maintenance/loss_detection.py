"""The duty `loss_detection`: notices that Redis lost data, and makes it safe to go on.

Reads and writes continue during a recovery, because every cache is loaded under the fence. A loss
costs only the reactions that Redis held and PostgreSQL did not have yet.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial

from reactions.core.constants import MAX_ID, SHARDS
from reactions.core.settings import Settings
from reactions.maintenance.epochs import Epochs, Loss, RebuildPass, RedisEpoch, loss
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import WORKING_SET_US, DutyRuns, Run
from reactions.postgres.posts import Posts
from reactions.postgres.tables import TOUCHED_EVERY_US
from reactions.postgres.type_registry import TypeRegistry
from reactions.redis.cache_install import CacheInstall
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.erasure_requests import ErasureRequests
from reactions.redis.quarantine import Quarantine
from reactions.redis.type_copy import write_types
from reactions.redis.user_cache import UserCache

log = logging.getLogger(__name__)

PAGE = 1_000
"""Posts that one query selects, to mark them as deleted or to drop their caches."""

LEASE = timedelta(seconds=15)
"""The lease of a worker that stops reporting ends after this time."""


class LossDetection:
    """Compares the epochs of both stores."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._epochs = Epochs(client, database)
        self._clock = Clock(client, settings)
        self._requests = ErasureRequests(client)
        self._cache = CacheInstall(client, settings)
        self._users = UserCache(client, settings)
        self._quarantine = Quarantine(client)
        self._posts = Posts(database)
        self._duties = DutyRuns(database)
        self._registry = TypeRegistry(database)
        self._client = client

    def run(self) -> Run | None:
        """Compare the epochs, recover the shards that lost data, and write the next epochs.

        The run repairs what would be wrong. It asks the duty `rebuild` to load the caches again.

        Returns:
            The record of the run; None when nothing was lost, or another worker runs this duty.
        """
        with self._duties.run("loss_detection", LEASE, quiet=True) as run:
            if run is None:
                return None
            run.detail += self._quarantine.isolate_wrong_types()
            read, in_database = self._epochs.in_redis(), self._epochs.in_database()
            epochs = {shard: RedisEpoch.read(written) for shard, written in read.items()}
            losses = {
                shard: what
                for shard, epoch in epochs.items()
                if (what := loss(epoch, in_database.get(shard))) is not Loss.NONE
            }
            run.looked_at = SHARDS
            if losses:
                read |= self._write_first([shard for shard in losses if not read[shard]])
                self._recover(losses, epochs, run)
            # Last: when this worker dies before here, the next run recovers again.
            self._write_next(losses, read, epochs)
            return run if run.found else None

    def _write_first(self, shards: Sequence[int]) -> dict[int, str]:
        """Write an epoch with tick 0 to empty shards.

        It still counts as a loss, so a second loss during the recovery is noticed.
        """
        first = dict.fromkeys(shards, RedisEpoch(secrets.token_hex(8), 0))
        ours = self._epochs.replace(dict.fromkeys(shards, ""), first)
        return {shard: str(first[shard]) for shard in ours}

    def _write_next(
        self,
        losses: Mapping[int, Loss],
        read: Mapping[int, str],
        epochs: Mapping[int, RedisEpoch | None],
    ) -> None:
        """Add one tick, or begin a new incarnation after a loss.

        When the epoch of a shard changed since it was read, the next run handles that shard.
        """
        now = int(self._clock.now_us())
        incarnation = secrets.token_hex(8)
        following = {}
        for shard, before in epochs.items():
            if before and shard not in losses:
                following[shard] = RedisEpoch(before.incarnation, before.tick + 1, now)
            else:
                following[shard] = RedisEpoch(incarnation, 1, now)
        if losses:
            working_set = RebuildPass.begin(now, now - WORKING_SET_US)
            self._epochs.set_rebuild(list(losses), working_set)
        written = self._epochs.replace(read, following)
        self._epochs.note({shard: following[shard] for shard in written})

    def _recover(
        self, losses: Mapping[int, Loss], epochs: Mapping[int, RedisEpoch | None], run: Run
    ) -> None:
        """Do what cannot wait: raise versions, mark deleted posts, drop caches that are older."""
        kinds, shards = Counter(losses.values()), list(losses)
        log.critical("Redis lost data: %s; recovering", dict(kinds))
        run.found.update(kinds)
        self._clock.raise_clocks(shards, self._posts.newest_touched() + TOUCHED_EVERY_US)
        self._registry.publish(partial(write_types, self._client))
        after = 0
        while deleted := self._posts.deleted_in_shards(shards, after, PAGE):
            self._requests.mark_deleted(deleted)
            after = max(deleted)
        older = [shard for shard, what in losses.items() if what is Loss.OLDER]
        if older:
            since = min(epoch.at_us for shard in older if (epoch := epochs[shard]))
            run.detail.append(f"{self._drop_older(older, since)} posts dropped")
        run.repaired = len(shards)

    def _drop_older(self, shards: Sequence[int], since_us: int) -> int:
        """Drop the caches of posts that changed since the snapshot, and of all users."""
        dropped, before = 0, MAX_ID
        since = since_us - 2 * TOUCHED_EVERY_US
        while posts := self._posts.touched_before(before, since, shards, PAGE):
            for post_id in posts:
                self._cache.drop(post_id)
            dropped, before = dropped + len(posts), min(posts.values())
        # Drop the users of every shard: a user may have reacted to posts of any shard.
        self._users.drop_all()
        return dropped
