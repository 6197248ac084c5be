"""Fills the caches of a post from PostgreSQL, under the fence.

A load sets a token, reads PostgreSQL, and installs the result. A claim in between deletes the
token, and Redis then refuses the install: the rows may lack the claimed changes. The install adds
the changes that are pending when it runs.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from reactions.core.constants import SAMPLE_SIZE
from reactions.core.settings import Settings
from reactions.postgres.queries import Queries
from reactions.redis.cache_install import LOADABLE, CacheInstall
from reactions.redis.scripts.loading import FenceReply

MARGIN = SAMPLE_SIZE // 4
"""Rows read beyond the size of a sample: pending changes may remove some of them."""


class CacheLoader:
    """Loads posts from PostgreSQL into the cache."""

    def __init__(self, cache: CacheInstall, queries: Queries, settings: Settings) -> None:
        self._cache = cache
        self._queries = queries
        self._codes = list(settings.reaction_types.values())
        self._threshold = settings.viral_threshold
        self._sampled_from = {
            FenceReply.REGULAR: settings.viral_threshold,
            FenceReply.VIRAL: int(settings.viral_threshold * settings.viral_hysteresis),
            FenceReply.RISING: 0,
        }
        self._max_ever = max(50_000, 2 * settings.viral_threshold)

    def load(self, post_ids: Sequence[int]) -> int:
        """Cache what the tier of each post needs. Returns how many posts were cached.

        Skips posts that another load or a drain is working on.
        """
        loaded, todo = 0, list(post_ids)
        while todo:
            done, todo = self._load(todo)
            loaded += done
        return loaded

    def _load(self, post_ids: Sequence[int]) -> tuple[int, list[int]]:
        """Load hashes with at most ``viral_threshold`` rows in all. Returns the other posts."""
        token = secrets.token_hex(8)
        fenced = {
            post_id: tier
            for post_id, tier in self._cache.fence_many(post_ids, token, give_way=True).items()
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
        """Cache the complete hashes of fenced posts. Takes one query and two round trips.

        Args:
            tokens: post -> the token of its load.

        Returns:
            How many hashes were installed. Redis refuses posts that a drain claimed in between.
        """
        if not tokens:
            return 0
        return self._cache.install_hashes(tokens, self._queries.reactions(list(tokens)))

    def sample(self, post_id: int, token: str, total: int) -> bool:
        """Cache the sample of a fenced viral post, and its HyperLogLog. Takes two or three queries.

        The last query reads everyone who ever reacted, if the HyperLogLog is not cached and they
        are few enough, as they are at the promotion. Later, ``react.lua`` keeps it up to date.
        """
        # Not the configured codes: the post may have a type that is newer than this process.
        codes = [
            code for code, number in self._queries.counts([post_id])[post_id].items() if number
        ]
        newest = self._queries.newest(post_id, codes, limit=SAMPLE_SIZE + MARGIN)
        ever: list[int] = []
        if total <= self._max_ever and not self._cache.has_uniques(post_id):
            ever = self._queries.ever(post_id, limit=self._max_ever + 1)
            if len(ever) > self._max_ever:
                ever = []
        return self._cache.install_sample(
            post_id,
            token,
            total=total,
            newest=[(row.user_id, row.reaction) for row in newest],
            ever=ever,
        )
