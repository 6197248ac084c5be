"""The duty `virality`: lists rising posts, and returns those that calmed down to their tier.

With each batch, ``settle.lua`` sees how fast a post grows, and treats it as viral as soon as it
would reach the threshold within ``viral_horizon_s`` (docs/decisions, 7). The script does not run
for a post without new reactions, so this duty finds those.
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
"""Rising posts that one run checks."""

MAX_HORIZONS = 2
"""A post stays rising while it would reach the threshold within this many horizons, as in
``settle.lua``."""


@dataclass(frozen=True, slots=True)
class RisingPost:
    """A regular post that will soon be viral.

    Attributes:
        reactions: how many it had when its last batch was settled.
        per_s: reactions a second, estimated for now.
        threshold_in_s: seconds until it reaches the threshold at this rate; inf for never.
        since_us: when it was first listed (µs since 1970).
    """

    post_id: int
    reactions: int
    per_s: float
    threshold_in_s: float
    since_us: int


class RisingPosts:
    """Lists rising posts."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._snapshots = PostSnapshots(client, settings)
        self._clock = Clock(client, settings)
        self._posts = Posts(database)
        self._settings = settings

    def list(self) -> list[RisingPost]:
        """At most 1,000 rising posts, the next viral one first. One query, one round trip."""
        since = self._posts.rising(MAX_RISING_POSTS)
        growths = self._snapshots.growths(list(since))
        now = self._clock.now_us()
        found = [self._rising(post, since[post], growths.get(post), now) for post in since]
        return sorted(found, key=lambda post: post.threshold_in_s)

    def _rising(self, post_id: int, since: int, growth: Growth | None, now: float) -> RisingPost:
        if growth is None:
            return RisingPost(post_id, 0, 0.0, math.inf, since)
        faded = math.exp(-max(0.0, now - growth.at_us) / 1e6 / self._settings.viral_window_s)
        per_s = growth.per_s * faded
        missing = max(0, self._settings.viral_threshold - growth.total)
        in_s = missing / per_s if per_s else math.inf
        return RisingPost(post_id, growth.total, per_s, in_s, since)


class ReleaseCalmPosts:
    """Ends the rising state of posts that will not reach the threshold soon."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._rising = RisingPosts(client, database, settings)
        self._cache = CacheInstall(client, settings)
        self._clock = Clock(client, settings)
        self._posts = Posts(database)
        self._loader = CacheLoader(self._cache, Queries(database.for_caches()), settings)
        self._duties = DutyRuns(database)
        self._settings = settings

    def run(self) -> Run | None:
        """Check all rising posts once.

        A calm post below ``viral_threshold * viral_hysteresis`` becomes regular. Above that it
        stays viral, like a post that passed the threshold and lost reactions.

        Returns:
            The record of the run; None when another worker runs this duty.
        """
        with self._duties.run("virality") as run:
            if run is None:
                return None
            posts = self._rising.list()
            run.looked_at = len(posts)
            longest = MAX_HORIZONS * self._settings.viral_horizon_s
            calm = [post for post in posts if post.threshold_in_s > longest]
            low = self._settings.viral_threshold * self._settings.viral_hysteresis
            for post in calm:
                if post.reactions < low:
                    self._cache.demote(post.post_id)
                    self._loader.load([post.post_id])
                    self._note(post, PostTier.REGULAR)
                else:
                    self._note(post, PostTier.VIRAL)
            run.found.update({"calm": len(calm)} if calm else {})
            run.repaired = len(calm)
            run.detail += [f"post {post.post_id}: {post.reactions} reactions" for post in calm]
            return run

    def _note(self, post: RisingPost, tier: PostTier) -> None:
        self._posts.note_tiers({post.post_id: tier}, int(self._clock.now_us()))
