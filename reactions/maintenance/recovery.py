"""After a loss of Redis: notices it, keeps what must not be wrong from being wrong, and rebuilds.

Reads and writes go on meanwhile: every cache is loaded under the fence. What Redis
held of reactions that were not in PostgreSQL yet is lost; nothing else is.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

from reactions.core.constants import MAX_ID, SHARDS
from reactions.core.settings import Settings
from reactions.drain.cache_loader import CacheLoader
from reactions.maintenance.epochs import Epochs, Loss, Rebuild, RedisEpoch, loss
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import WORKING_SET_US, DutyRuns, Run
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from reactions.postgres.tables import TOUCHED_EVERY_US
from reactions.redis.cache_install import CacheInstall
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.erasure_requests import ErasureRequests
from reactions.redis.post_snapshots import PostSnapshots
from reactions.redis.quarantine import Quarantine
from reactions.redis.user_cache import UserCache

log = logging.getLogger(__name__)

CHUNK = 50
"""Posts loaded together. Between two chunks PostgreSQL gets as much time off as the last one took,
so a rebuild takes at most half of one connection."""

BUDGET_S = 4.0
"""How long one call rebuilds: below the interval of its task, so it never takes a worker over."""

PAGE = 1_000
"""Posts marked as deleted, or dropped, after one query."""

AGAIN_US = 2_000_000
"""After a pass that took longer than this, another one loads what was touched meanwhile."""

WATCH_LEASE = timedelta(seconds=15)
"""How long a watch is left to a worker that says nothing more."""


class Recovery:
    """Watches over Redis."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._epochs = Epochs(client, database)
        self._clock = Clock(client, settings)
        self._requests = ErasureRequests(client)
        self._cache = CacheInstall(client, settings)
        self._snapshots = PostSnapshots(client)
        self._users = UserCache(client, settings)
        self._quarantine = Quarantine(client)
        self._posts = Posts(database)
        self._loader = CacheLoader(self._cache, Queries(database), settings)
        self._duties = DutyRuns(database)

    def watch(self) -> Run | None:
        """Compare the marks; recover what is lost, and mark anew. None when nothing was lost.

        What is to be loaded again is left to ``rebuild``.
        """
        with self._duties.run("watch", WATCH_LEASE, quiet=True) as run:
            if run is None:
                return None
            run.detail += self._quarantine.isolate_wrong_types()
            read, in_database = self._epochs.in_redis(), self._epochs.in_database()
            marks = {shard: RedisEpoch.read(written) for shard, written in read.items()}
            losses = {
                shard: what
                for shard, mark in marks.items()
                if (what := loss(mark, in_database.get(shard))) is not Loss.NONE
            }
            run.looked_at = SHARDS
            if losses:
                read |= self._mark_first([shard for shard in losses if not read[shard]])
                self._recover(losses, marks, run)
            self._mark(losses, read, marks)  # last: a recovery that died before is done again
            return run if run.found else None

    def _mark_first(self, shards: Sequence[int]) -> dict[int, str]:
        """Mark empty shards, with what is a loss still, so that another one is seen meanwhile."""
        first = dict.fromkeys(shards, RedisEpoch(secrets.token_hex(8), 0))
        ours = self._epochs.replace(dict.fromkeys(shards, ""), first)
        return {shard: str(first[shard]) for shard in ours}

    def _mark(
        self,
        losses: Mapping[int, Loss],
        read: Mapping[int, str],
        marks: Mapping[int, RedisEpoch | None],
    ) -> None:
        """One tick further, or anew; a shard whose mark is gone by now is left to the next look."""
        now = int(self._clock.now_us())
        incarnation = secrets.token_hex(8)
        following = {}
        for shard, before in marks.items():
            if before and shard not in losses:
                following[shard] = RedisEpoch(before.incarnation, before.tick + 1, now)
            else:
                following[shard] = RedisEpoch(incarnation, 1, now)
        if losses:
            self._epochs.set_rebuild(list(losses), self._pass(now - WORKING_SET_US))
        marked = self._epochs.replace(read, following)
        self._epochs.note({shard: following[shard] for shard in marked})

    def _recover(
        self, losses: Mapping[int, Loss], marks: Mapping[int, RedisEpoch | None], run: Run
    ) -> None:
        """What cannot wait: versions, marks of deleted posts, and caches that are older."""
        kinds, shards = Counter(losses.values()), list(losses)
        log.critical("Redis lost data: %s; recovering", dict(kinds))
        run.found.update(kinds)
        self._clock.raise_clocks(shards, self._posts.newest_touched() + TOUCHED_EVERY_US)
        after = 0
        while deleted := self._posts.deleted_in_shards(shards, after, PAGE):
            self._requests.mark_deleted(deleted)
            after = max(deleted)
        older = [shard for shard, what in losses.items() if what is Loss.OLDER]
        if older:
            since = min(mark.at_us for shard in older if (mark := marks[shard]))
            run.detail.append(f"{self._drop_older(older, since)} posts dropped")
        run.repaired = len(shards)

    def _drop_older(self, shards: Sequence[int], since_us: int) -> int:
        """Drop what is cached of posts touched since the snapshot, and of all users."""
        dropped, before = 0, MAX_ID
        since = since_us - 2 * TOUCHED_EVERY_US
        while posts := self._posts.touched_before(before, since, shards, PAGE):
            for post_id in posts:
                self._cache.drop(post_id)
            dropped, before = dropped + len(posts), min(posts.values())
        # A user's shard says nothing of the posts: those of any shard may have changed since.
        self._users.drop_all()
        return dropped

    def rebuild(self, budget_s: float = BUDGET_S) -> Run | None:
        """Go on loading the working set, the most recently active posts first.

        None when nothing is to be loaded, or another worker is at it.
        """
        if not self._epochs.to_rebuild():
            return None
        deadline = time.monotonic() + budget_s
        with self._duties.run("rebuild") as run:
            while run is not None and (shards := self._epochs.to_rebuild()):
                began = time.monotonic()
                self._rebuild_some(shards, run)
                if time.monotonic() > deadline:
                    break
                time.sleep(time.monotonic() - began)
            return run

    def _rebuild_some(self, asked: Mapping[int, Rebuild], run: Run) -> None:
        """The next posts of the shards that are furthest back."""
        this = max(asked.values())
        shards = [shard for shard, rebuild in asked.items() if rebuild == this]
        posts = self._posts.touched_before(this.before, this.down_to, shards, CHUNK)
        run.repaired += self._loader.load(self._snapshots.lacking(list(posts)))
        run.looked_at += len(posts)
        if posts:
            following = this._replace(before=min(posts.values()))
        elif self._clock.now_us() - this.began > AGAIN_US:
            # Those touched meanwhile were lifted out of the way of this pass.
            following = self._pass(this.began - 2 * TOUCHED_EVERY_US)
        else:
            following = Rebuild(0, 0, 0)
        self._epochs.set_rebuild(shards, following, this)

    def _pass(self, down_to: int) -> Rebuild:
        now = int(self._clock.now_us())
        # A change that a drain notes may be ahead of the clock.
        return Rebuild(now + TOUCHED_EVERY_US, down_to, now)

    def unfinished(self) -> bool:
        """Whether something is yet to be loaded."""
        return bool(self._epochs.to_rebuild())

    def load(self, post_ids: Sequence[int]) -> int:
        """Load these posts, whatever was lost; how many were cached."""
        return sum(
            self._loader.load(post_ids[start : start + CHUNK])
            for start in range(0, len(post_ids), CHUNK)
        )

    def ask_for_rebuild(self) -> None:
        """Have ``rebuild`` load again everything that was active lately."""
        self.watch()  # without marks there is nowhere to note it
        down_to = int(self._clock.now_us()) - WORKING_SET_US
        self._epochs.set_rebuild(range(SHARDS), self._pass(down_to))
