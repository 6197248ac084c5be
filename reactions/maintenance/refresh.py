"""The duty `refresh`: keeps the newest reactors of viral posts in the cache, in order."""

from __future__ import annotations

import time
from collections.abc import Sequence

from reactions.core.settings import Settings
from reactions.maintenance.checker import SAMPLED, PostChecker
from reactions.maintenance.compare import Difference, Kind
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import WORKING_SET_US, DutyRuns, Run
from reactions.postgres.posts import Posts
from reactions.redis.clock import Clock
from reactions.redis.connection import Client

DUTY = "refresh"

CHUNK = 100
"""Posts compared together."""

BUDGET_S = 5.0
"""How long one run works. The next run continues where this one stopped."""


class RefreshSamples:
    """Reloads samples that are missing, short, out of order or not flagged as viral."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._checker = PostChecker(client, database, settings)
        self._clock = Clock(client, settings)
        self._posts = Posts(database)
        self._duties = DutyRuns(database)

    def run(self, budget_s: float = BUDGET_S) -> Run | None:
        """Check viral and rising posts that were active in the last day, and reload samples.

        `reconcile` checks a post only after a change. This duty visits all of them in turn, so it
        also finds a sample that Redis evicted.

        Returns:
            The record of the run; None when another worker runs this duty.
        """
        deadline = time.monotonic() + budget_s
        with self._duties.run(DUTY) as run:
            if run is None:
                return None
            position = self._duties.position(DUTY)
            while True:
                since = int(self._clock.now_us()) - WORKING_SET_US
                posts = self._posts.in_tiers(SAMPLED, position, since, CHUNK)
                if posts:
                    self._refresh(posts, run)
                position = max(posts, default=0)
                self._duties.set_position(DUTY, position)
                if not position or time.monotonic() > deadline:  # 0: every post was visited
                    break
            return run

    def _refresh(self, posts: Sequence[int], run: Run) -> None:
        checked = self._checker.check(posts, give_way=True)
        run.looked_at += len(checked.decided)
        lacking = [
            difference
            for difference in checked.differences
            if difference.kind in (Kind.SAMPLE, Kind.SHORT, Kind.UNFLAGGED)
        ]
        lacking += (
            Difference(Kind.MISSING, post_id, "no sample is cached")
            for post_id, snapshot in checked.snapshots.items()
            if not snapshot.sampled and not snapshot.complete
        )
        run.found.update(difference.kind for difference in lacking)
        run.detail += map(str, lacking)
        run.repaired += self._checker.repair(lacking)
