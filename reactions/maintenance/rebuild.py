"""The duty `rebuild`: loads the working set into Redis after a loss."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.drain.cache_loader import CacheLoader
from reactions.maintenance.epochs import NO_PASS, Epochs, RebuildPass
from reactions.maintenance.loss_detection import LossDetection
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import WORKING_SET_US, DutyRuns, Run
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from reactions.postgres.tables import TOUCHED_EVERY_US
from reactions.redis.cache_install import CacheInstall
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.post_snapshots import PostSnapshots

CHUNK = 50
"""Posts loaded together. After each chunk the rebuild pauses for as long as the chunk took, so it
uses at most half of one connection to PostgreSQL."""

BUDGET_S = 4.0
"""How long one run works: less than the interval of its task, so no worker is busy all the time."""

AGAIN_US = 2_000_000
"""After a pass longer than this, another pass loads the posts that changed during the first."""


class Rebuild:
    """Loads posts that were active in the last day and are missing from the cache."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._epochs = Epochs(client, database, settings)
        self._clock = Clock(client, settings)
        self._snapshots = PostSnapshots(client, settings)
        self._posts = Posts(database)
        for_caches = Queries(database.for_caches())
        self._loader = CacheLoader(CacheInstall(client, settings), for_caches, settings)
        self._duties = DutyRuns(database)
        self._loss_detection = LossDetection(client, database, settings)

    def run(self, budget_s: float = BUDGET_S) -> Run | None:
        """Continue loading the working set, the most recently active posts first.

        Returns:
            The record of the run; None when everything is loaded, or another worker runs this duty.
        """
        if not self._epochs.to_rebuild():
            return None
        deadline = time.monotonic() + budget_s
        with self._duties.run("rebuild") as run:
            while run is not None and (passes := self._epochs.to_rebuild()):
                began = time.monotonic()
                self._load_chunk(passes, run)
                if time.monotonic() > deadline:
                    break
                time.sleep(time.monotonic() - began)
            return run

    def _load_chunk(self, passes: Mapping[int, RebuildPass], run: Run) -> None:
        """Load the next posts of the shards that have the most left to load."""
        this = max(passes.values())
        shards = [shard for shard, rebuild in passes.items() if rebuild == this]
        posts = self._posts.touched_before(this.before, this.down_to, shards, CHUNK)
        run.repaired += self._loader.load(self._snapshots.lacking(list(posts)))
        run.looked_at += len(posts)
        if posts:
            following = this._replace(before=min(posts.values()))
        elif self._clock.now_us() - this.began > AGAIN_US:
            # Posts that changed during this pass moved past its position. A second pass loads them.
            following = self._begin(this.began - 2 * TOUCHED_EVERY_US)
        else:
            following = NO_PASS
        self._epochs.set_rebuild(shards, following, this)

    def _begin(self, down_to: int) -> RebuildPass:
        return RebuildPass.begin(int(self._clock.now_us()), down_to)

    def unfinished(self) -> bool:
        """Whether a pass has posts left to load. One query."""
        return bool(self._epochs.to_rebuild())

    def load(self, post_ids: Sequence[int]) -> int:
        """Load these posts now. Returns how many were cached."""
        return sum(
            self._loader.load(post_ids[start : start + CHUNK])
            for start in range(0, len(post_ids), CHUNK)
        )

    def request(self) -> None:
        """Make the next runs load the whole working set, whether or not Redis lost it."""
        self._loss_detection.run()  # writes the epochs: without them there is no place for a pass
        down_to = int(self._clock.now_us()) - WORKING_SET_US
        self._epochs.set_rebuild(range(SHARDS), self._begin(down_to))
