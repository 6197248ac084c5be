"""Writes to PostgreSQL which posts changed their tier."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from cachetools import TTLCache

from reactions.core.errors import ReactionsUnavailable
from reactions.core.instruments import TIERS
from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.postgres.posts import Posts
from reactions.redis.claims import Claim, Settled
from reactions.redis.scripts.drain import SettledPost

HOT_TOGETHER_S = 2.0
"""The shortest time between two notes of hot posts by one worker process, in seconds."""

HOT_NOTED_S = 60.0
"""How long one worker process does not note again that a post is hot, in seconds."""

log = logging.getLogger(__name__)


class TierNotes:
    """Writes to PostgreSQL which posts changed their tier. Duties find their work there."""

    def __init__(self, posts: Posts, settings: Settings) -> None:
        self._posts = posts
        self._threshold = settings.viral_threshold
        self._hot: TTLCache[int, bool] = TTLCache(10_000, HOT_NOTED_S)
        self._tiers: dict[int, PostTier] = {}
        self._note_at = 0.0

    def note(self, settled: Sequence[tuple[Claim, Settled]], posts: Sequence[SettledPost]) -> None:
        """Write the tiers that changed. Reconciliation writes the notes that were lost.

        Notes of hot posts may wait for a later drain.
        """
        tiers = self._tiers
        for post in posts:
            if post.hot and post.post_id not in self._hot and not post.drop:
                self._hot[post.post_id] = True
                if sum(post.counts.values()) < self._threshold:
                    tiers[post.post_id] = PostTier.HOT
        for _, answer in settled:
            tiers.update(dict.fromkeys(answer.promoted, PostTier.VIRAL))
            tiers.update(dict.fromkeys(answer.demoted, PostTier.REGULAR))
            tiers.update(dict.fromkeys(answer.rising, PostTier.RISING))
            TIERS.labels("viral").inc(len(answer.promoted))
            TIERS.labels("regular").inc(len(answer.demoted))
            TIERS.labels("rising").inc(len(answer.rising))
        urgent = any(tier is not PostTier.HOT for tier in tiers.values())
        if tiers and settled and (urgent or time.monotonic() > self._note_at):
            self._tiers = {}
            self._note_at = time.monotonic() + HOT_TOGETHER_S
            try:
                self._posts.note_tiers(tiers, max(claim.claimed_at for claim, _ in settled))
            except ReactionsUnavailable as error:
                log.info("cannot note %d tiers: %s", len(tiers), error)
