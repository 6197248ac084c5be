"""Fills the caches of a post from PostgreSQL, under the fence.

A load announces itself with a token, reads, and installs. A claim in between deletes the token, and
the install is refused: what was read may lack what the claim carried over. What is pending at the
moment of the install is added to it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from reactions.core.constants import SAMPLE_SIZE
from reactions.core.settings import Settings
from reactions.postgres.queries import Queries
from reactions.redis.post_cache import LOADABLE, PostCache
from reactions.redis.scripts.loading import Fenced

MARGIN = SAMPLE_SIZE // 4
"""Rows read beyond a sample, in case that some are taken off by what is pending."""


class CacheLoader:
    """Reads posts from the database into the cache."""

    def __init__(self, cache: PostCache, queries: Queries, settings: Settings) -> None:
        self._cache = cache
        self._queries = queries
        self._codes = list(settings.reaction_types.values())
        self._threshold = settings.viral_threshold
        self._sampled_from = {
            Fenced.REGULAR: settings.viral_threshold,
            Fenced.VIRAL: int(settings.viral_threshold * settings.viral_hysteresis),
            Fenced.RISING: 0,
        }
        self._ever_most = max(50_000, 2 * settings.viral_threshold)

    def load(self, post_ids: Sequence[int]) -> int:
        """Cache what the tier of each post is to have; returns how many were cached.

        A post that another load or a drain is at work on is left alone.
        """
        loaded, todo = 0, list(post_ids)
        while todo:
            done, todo = self._load(todo)
            loaded += done
        return loaded

    def _load(self, post_ids: Sequence[int]) -> tuple[int, list[int]]:
        """Of the complete hashes, as many as fit into the rows of one viral post; what is left."""
        token = secrets.token_hex(8)
        fenced = {
            post_id: tier
            for post_id, tier in self._cache.fence_many(post_ids, token, yields=True).items()
            if tier in LOADABLE
        }
        counts = self._queries.counts(fenced) if fenced else {}
        totals = {post_id: sum(counts[post_id].values()) for post_id in fenced}
        zeros = dict.fromkeys(self._codes, 0)
        self._cache.install_counts_of_loads({p: zeros | counts[p] for p in fenced}, token)
        loaded, room = 0, self._threshold
        hashes: dict[int, str] = {}
        left: list[int] = []
        for post_id, tier in fenced.items():
            if totals[post_id] >= self._sampled_from[tier]:
                loaded += self.sample(post_id, token, totals[post_id])
            elif totals[post_id] <= room:
                room -= totals[post_id]
                hashes[post_id] = token
            else:
                left.append(post_id)
        self._cache.release(left)
        return loaded + self.hashes(hashes), left

    def hashes(self, tokens: Mapping[int, str]) -> int:
        """Cache the complete hashes of posts that are fenced already: one query, two round trips.

        Args:
            tokens: post -> the token of its load.

        Returns:
            How many were installed; the rest was refused, as a claim came in between.
        """
        if not tokens:
            return 0
        return self._cache.install_hashes(tokens, self._queries.reactions(list(tokens)))

    def sample(self, post_id: int, token: str, total: int) -> bool:
        """Cache what a viral post has cached, fenced already: one query, or two.

        The second is for the HyperLogLog, where it is not cached and those who ever reacted are
        few enough to be read, as at the promotion. After that the hot path keeps it.
        """
        newest = self._queries.newest(post_id, self._codes, limit=SAMPLE_SIZE + MARGIN)
        ever: list[int] = []
        if total <= self._ever_most and not self._cache.has_uniques(post_id):
            ever = self._queries.ever(post_id, limit=self._ever_most + 1)
            if len(ever) > self._ever_most:
                ever = []
        return self._cache.install_sample(
            post_id,
            token,
            total=total,
            newest=[(row.user_id, row.reaction) for row in newest],
            ever=ever,
        )
