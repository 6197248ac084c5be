"""After a loss of Redis: notices it, keeps what must not be wrong from being wrong, and rebuilds.

Reads and writes go on meanwhile, and are right: every cache is loaded under the fence. What Redis
held of reactions that were not in PostgreSQL yet is lost; nothing else is.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Sequence

from reactions.cache import Cache
from reactions.client import Client
from reactions.database import Database
from reactions.duties import Duties, Run
from reactions.load import Loader
from reactions.marks import Loss, Mark, Marks, loss
from reactions.outbox import Outbox
from reactions.queries import Queries
from reactions.settings import SHARDS, Settings
from reactions.tables import TOUCHED_EVERY_US
from reactions.users import Users

log = logging.getLogger(__name__)

CHUNK = 50
"""Posts loaded together. Between two chunks PostgreSQL gets as much time off as the last one took,
so a rebuild takes at most half of one connection."""

WORKING_SET_US = 24 * 3600 * 1_000_000
"""What was reacted on within this time before the loss is rebuilt: the life of a cache key."""


class Recovery:
    """Watches over Redis."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._marks = Marks(client, database)
        self._outbox = Outbox(client, settings)
        self._cache = Cache(client, settings)
        self._users = Users(client, settings)
        self._queries = Queries(database)
        self._loader = Loader(self._cache, self._queries, settings)
        self._duties = Duties(database)

    def watch(self) -> Run | None:
        """Compare the marks; recover what is lost, and mark anew. None when nothing was lost."""
        in_redis, in_database = self._marks.in_redis(), self._marks.in_database()
        losses = {shard: loss(in_redis[shard], in_database.get(shard)) for shard in range(SHARDS)}
        lost = [shard for shard, what in losses.items() if what is not Loss.NONE]
        run = self._recover(losses, in_redis) if lost else None
        if lost and run is None:
            return None  # another worker is at it
        now = int(self._outbox.now_us())
        incarnation = secrets.token_hex(8)
        following = {}
        for shard in range(SHARDS):
            before = in_redis[shard] if losses[shard] is Loss.NONE else None
            following[shard] = (
                Mark(before.incarnation, before.tick + 1, now)
                if before
                else Mark(incarnation, 1, now)
            )
        self._marks.write(following)
        if run is not None:
            self._rebuild(lost, now, run)
        return run

    def _recover(self, losses: dict[int, Loss], in_redis: dict[int, Mark | None]) -> Run | None:
        """What cannot wait: marks of deleted posts, versions, and caches that are older."""
        with self._duties.run("recover") as run:
            if run is None:
                return None
            kinds = Counter(what for what in losses.values() if what is not Loss.NONE)
            shards = [shard for shard, what in losses.items() if what is not Loss.NONE]
            log.critical("Redis lost data: %s; recovering", dict(kinds))
            run.found.update(kinds)
            self._outbox.raise_clocks(shards, self._queries.newest_touched() + TOUCHED_EVERY_US)
            self._outbox.mark_deleted(self._queries.deleted_of(shards))
            older = [shard for shard in shards if losses[shard] is Loss.OLDER]
            if older:
                since = min(mark.at_us for shard in older if (mark := in_redis[shard]))
                run.repaired += self._drop_older(older, since - TOUCHED_EVERY_US)
            return run

    def _drop_older(self, shards: Sequence[int], since_us: int) -> int:
        """Drop what is cached of posts touched since the snapshot, and of all users there."""
        posts = self._queries.touched(since_us - TOUCHED_EVERY_US, shards)
        for post_id in posts:
            self._cache.drop(post_id)
        self._users.forget_shards(shards)
        return len(posts)

    def _rebuild(self, shards: Sequence[int], now_us: int, run: Run) -> None:
        """Load the working set, the most recently active first."""
        with self._duties.run("rebuild") as rebuild:
            if rebuild is None:
                return
            posts = self._queries.touched(now_us - WORKING_SET_US, shards)
            for start in range(0, len(posts), CHUNK):
                began = time.monotonic()
                chunk = posts[start : start + CHUNK]
                rebuild.repaired += self._loader.load(chunk)
                rebuild.looked_at += len(chunk)
                time.sleep(time.monotonic() - began)
            run.looked_at = rebuild.looked_at
            run.repaired += rebuild.repaired

    def rebuild(self, post_ids: Sequence[int]) -> int:
        """Load these posts; how many were cached."""
        return sum(
            self._loader.load(post_ids[start : start + CHUNK])
            for start in range(0, len(post_ids), CHUNK)
        )
