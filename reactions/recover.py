"""After a loss of Redis: notices it, keeps what must not be wrong from being wrong, and rebuilds.

Reads and writes go on meanwhile, and are right: every cache is loaded under the fence. What Redis
held of reactions that were not in PostgreSQL yet is lost; nothing else is.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

from reactions.cache import Cache
from reactions.client import Client
from reactions.database import Database
from reactions.duties import WORKING_SET_US, Duties, Run
from reactions.load import Loader
from reactions.marks import Loss, Mark, Marks, Rebuild, loss
from reactions.outbox import Outbox
from reactions.queries import Queries
from reactions.settings import SHARDS, Settings
from reactions.tables import TOUCHED_EVERY_US
from reactions.users import Users

log = logging.getLogger(__name__)

CHUNK = 50
"""Posts loaded together. Between two chunks PostgreSQL gets as much time off as the last one took,
so a rebuild takes at most half of one connection."""

BUDGET_S = 4.0
"""How long one call rebuilds: below the interval of its task, so it never takes a worker over."""

AGAIN_US = 2_000_000
"""After a pass that took longer than this, another one loads what was touched meanwhile."""

WATCH_LEASE = timedelta(seconds=15)
"""How long a watch is left to a worker that says nothing more."""


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
        """Compare the marks; recover what is lost, and mark anew. None when nothing was lost.

        What is to be loaded again is left to ``rebuild``.
        """
        with self._duties.run("watch", WATCH_LEASE, quiet=True) as run:
            if run is None:
                return None
            in_redis, in_database = self._marks.in_redis(), self._marks.in_database()
            losses = {
                shard: loss(in_redis[shard], in_database.get(shard)) for shard in range(SHARDS)
            }
            run.looked_at = SHARDS
            if any(what is not Loss.NONE for what in losses.values()):
                self._recover(losses, in_redis, run)
            self._mark(losses, in_redis)  # last: a recovery that died before is done again
            return run if run.found else None

    def _mark(self, losses: Mapping[int, Loss], in_redis: Mapping[int, Mark | None]) -> None:
        now = int(self._outbox.now_us())
        incarnation = secrets.token_hex(8)
        marks = {}
        for shard, what in losses.items():
            before = in_redis[shard] if what is Loss.NONE else None
            marks[shard] = (
                Mark(before.incarnation, before.tick + 1, now)
                if before
                else Mark(incarnation, 1, now)
            )
        lost = [shard for shard, what in losses.items() if what is not Loss.NONE]
        if lost:
            self._marks.set_rebuild(lost, self._pass(now - WORKING_SET_US))
        self._marks.write(marks)

    def _recover(
        self, losses: Mapping[int, Loss], in_redis: Mapping[int, Mark | None], run: Run
    ) -> None:
        """What cannot wait: versions, marks of deleted posts, and caches that are older."""
        kinds = Counter(what for what in losses.values() if what is not Loss.NONE)
        shards = [shard for shard, what in losses.items() if what is not Loss.NONE]
        log.critical("Redis lost data: %s; recovering", dict(kinds))
        run.found.update(kinds)
        self._outbox.raise_clocks(shards, self._queries.newest_touched() + TOUCHED_EVERY_US)
        self._outbox.mark_deleted(self._queries.deleted_of(shards))
        older = [shard for shard in shards if losses[shard] is Loss.OLDER]
        if older:
            since = min(mark.at_us for shard in older if (mark := in_redis[shard]))
            run.detail.append(f"{self._drop_older(older, since)} posts dropped")
        run.repaired = len(shards)

    def _drop_older(self, shards: Sequence[int], since_us: int) -> int:
        """Drop what is cached of posts touched since the snapshot, and of all users."""
        posts = self._queries.touched(since_us - 2 * TOUCHED_EVERY_US, shards)
        for post_id in posts:
            self._cache.drop(post_id)
        # A user's shard says nothing of the posts: those of any shard may have changed since.
        self._users.forget_all()
        return len(posts)

    def rebuild(self, budget_s: float = BUDGET_S) -> Run | None:
        """Go on loading the working set, the most recently active posts first.

        None when nothing is to be loaded, or another worker is at it.
        """
        if not self._marks.to_rebuild():
            return None
        deadline = time.monotonic() + budget_s
        with self._duties.run("rebuild") as run:
            while run is not None and (shards := self._marks.to_rebuild()):
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
        posts = self._queries.touched_before(this.before, this.down_to, shards, CHUNK)
        run.repaired += self._loader.load(self._cache.lacking(list(posts)))
        run.looked_at += len(posts)
        if posts:
            following = this._replace(before=min(posts.values()))
        elif self._outbox.now_us() - this.began > AGAIN_US:
            # Those touched meanwhile were lifted out of the way of this pass.
            following = self._pass(this.began - 2 * TOUCHED_EVERY_US)
        else:
            following = Rebuild(0, 0, 0)
        self._marks.set_rebuild(shards, following, this)

    def _pass(self, down_to: int) -> Rebuild:
        now = int(self._outbox.now_us())
        # A change that a drain notes may be ahead of the clock.
        return Rebuild(now + TOUCHED_EVERY_US, down_to, now)

    def unfinished(self) -> bool:
        """Whether something is yet to be loaded."""
        return bool(self._marks.to_rebuild())

    def load(self, post_ids: Sequence[int]) -> int:
        """Load these posts, whatever was lost; how many were cached."""
        return sum(
            self._loader.load(post_ids[start : start + CHUNK])
            for start in range(0, len(post_ids), CHUNK)
        )

    def ask_for_rebuild(self) -> None:
        """Have ``rebuild`` load again everything that was active lately."""
        self.watch()  # without marks there is nowhere to note it
        down_to = int(self._outbox.now_us()) - WORKING_SET_US
        self._marks.set_rebuild(range(SHARDS), self._pass(down_to))
