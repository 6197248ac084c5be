"""Posts on their way to become viral: the list of them, and the end of false alarms.

``settle.lua`` sees a post grow at every batch, and treats it as viral as soon as it will be at the
threshold within ``viral_horizon_s`` (decision 7). What it cannot see is a post that nobody reacts
on any more; that is looked for here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.drain.cache_loader import CacheLoader
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import DutyRuns, Run
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from reactions.redis.cache_install import CacheInstall
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.post_snapshots import PostSnapshots
from reactions.redis.replies import Growth

MAX_RISING_POSTS = 1_000
"""Posts on their way that are looked at in one run."""

STAYS = 2
"""A post stays on its way for up to this many horizons, as in ``settle.lua``."""


@dataclass(frozen=True, slots=True)
class Rising:
    """A post on its way.

    Attributes:
        reactions: how many it had when a batch of it was last settled.
        per_s: how many it gets a second, by now.
        threshold_in_s: when it will be at the threshold, if it goes on so; inf for never.
        since_us: since when it is listed (µs).
    """

    post_id: int
    reactions: int
    per_s: float
    threshold_in_s: float
    since_us: int


class Virality:
    """Lists posts on their way, and lets those go that are not."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._cache = CacheInstall(client, settings)
        self._snapshots = PostSnapshots(client)
        self._clock = Clock(client, settings)
        self._posts = Posts(database)
        self._loader = CacheLoader(self._cache, Queries(database), settings)
        self._duties = DutyRuns(database)
        self._settings = settings

    def rising(self) -> list[Rising]:
        """Posts on their way, those that will be there first, first. One query, one round trip."""
        since = self._posts.rising(MAX_RISING_POSTS)
        growths = self._snapshots.growths(list(since))
        now = self._clock.now_us()
        found = [self._rising(post, since[post], growths.get(post), now) for post in since]
        return sorted(found, key=lambda post: post.threshold_in_s)

    def _rising(self, post_id: int, since: int, growth: Growth | None, now: float) -> Rising:
        if growth is None:
            return Rising(post_id, 0, 0.0, math.inf, since)
        faded = math.exp(-max(0.0, now - growth.at_us) / 1e6 / self._settings.viral_window_s)
        per_s = growth.per_s * faded
        missing = max(0, self._settings.viral_threshold - growth.total)
        return Rising(post_id, growth.total, per_s, missing / per_s if per_s else math.inf, since)

    def watch(self) -> Run | None:
        """Let go what is not on its way any more; None when another worker is at it."""
        with self._duties.run("virality") as run:
            if run is None:
                return None
            posts = self.rising()
            run.looked_at = len(posts)
            longest = STAYS * self._settings.viral_horizon_s
            calm = [post for post in posts if post.threshold_in_s > longest]
            low = self._settings.viral_threshold * self._settings.viral_hysteresis
            for post in calm:
                if post.reactions < low:  # above it a post stays viral, as one that came down does
                    self._cache.demote(post.post_id)
                    self._loader.load([post.post_id])
                    self._note(post, PostTier.REGULAR)
                else:
                    self._note(post, PostTier.VIRAL)
            run.found.update({"calm": len(calm)} if calm else {})
            run.repaired = len(calm)
            run.detail += [f"post {post.post_id}: {post.reactions} reactions" for post in calm]
            return run

    def _note(self, post: Rising, tier: PostTier) -> None:
        self._posts.note_tiers({post.post_id: tier}, int(self._clock.now_us()))
