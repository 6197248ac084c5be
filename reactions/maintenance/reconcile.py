"""The duty `reconcile`: compares the posts of a tier in both stores, and repairs differences."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from reactions.core.constants import MAX_ID
from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.maintenance.checker import SAMPLED, PostChecker
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import DutyRuns, Run
from reactions.postgres.posts import Posts
from reactions.redis.clock import Clock
from reactions.redis.connection import Client

CHUNK = 100
"""Posts that one query selects."""

BUDGET_S = 5.0
"""How long one run works. The next run continues where this one stopped."""

MAX_COOLED = 1_000
"""Hot posts that one statement returns to the regular tier."""

HOT_US = 600_000_000
"""A hot post becomes regular this long after its last change: ten minutes."""


class Reconcile:
    """Compares posts that changed since their last check."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._checker = PostChecker(client, database, settings)
        self._clock = Clock(client, settings)
        self._posts = Posts(database)
        self._duties = DutyRuns(database)

    def run(self, tier: PostTier, budget_s: float = BUDGET_S) -> Run | None:
        """Compare the posts of a tier that changed since their last check, and repair them.

        The run starts with the post that changed last. A run for viral posts includes rising posts.

        Returns:
            The record of the run; None when another worker runs this duty.
        """
        deadline = time.monotonic() + budget_s
        duty = f"reconcile-{tier.name.lower()}"
        with self._duties.run(duty) as run:
            if run is None:
                return None
            now = int(self._clock.now_us())
            while tier is PostTier.HOT and self._posts.cool(now - HOT_US, MAX_COOLED):
                pass
            tiers = SAMPLED if tier is PostTier.VIRAL else [tier]
            # Start at the highest position: the version of a change may be ahead of the clock.
            position = self._duties.position(duty) or MAX_ID
            while posts := self._posts.to_check(tiers, now, position, CHUNK):
                for portion in self._checker.portions([post.post_id for post in posts]):
                    self._reconcile(portion, {post.post_id: post.tier for post in posts}, run, now)
                position = posts[-1].touched
                if time.monotonic() > deadline:
                    break
            self._duties.set_position(duty, position if posts else 0)
            return run

    def _reconcile(
        self, posts: Sequence[int], noted: Mapping[int, int], run: Run, now: int
    ) -> None:
        """Compare and repair these posts, and correct their tier in PostgreSQL."""
        checked = self._checker.check(posts, give_way=True)
        run.looked_at += len(checked.decided)
        run.found.update(difference.kind for difference in checked.differences)
        run.detail += map(str, checked.differences)
        run.repaired += self._checker.repair(checked.differences)
        tiers = {post: self._checker.tier(post, checked) for post in checked.decided}
        wrong = {
            post: tier
            for post, tier in tiers.items()
            if tier != noted[post] and (tier, noted[post]) != (PostTier.REGULAR, PostTier.HOT)
        }
        if wrong:
            self._posts.note_tiers(wrong, now)
        self._posts.note_checked(checked.decided, now)
