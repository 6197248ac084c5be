"""Fills the caches that a settlement found missing."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from reactions.core.errors import ReactionsUnavailable, ScriptError
from reactions.core.settings import Settings
from reactions.drain.batch import Batch, Drained
from reactions.drain.cache_loader import CacheLoader
from reactions.redis.cache_install import CacheInstall
from reactions.redis.claims import Claim, Settled

FILL_S = 0.2
"""How long a drain loads samples before it continues with pending changes, in seconds."""

log = logging.getLogger(__name__)


class Refill:
    """Caches what settled posts lack. A failure does not stop the drain."""

    def __init__(self, cache: CacheInstall, loader: CacheLoader, settings: Settings) -> None:
        self._cache = cache
        self._loader = loader
        self._room = max(settings.batch_rows, settings.viral_threshold)

    def fill(self, settled: Sequence[tuple[Claim, Settled]], batch: Batch, done: Drained) -> None:
        """Cache what posts lack. The complete hashes have no more rows in all than one batch."""
        hashes = {post: claim.token for claim, answer in settled for post in answer.hashes}
        samples = {post: claim.token for claim, answer in settled for post in answer.samples}
        room = self._room
        chosen: dict[int, str] = {}
        for post_id, token in hashes.items():
            room -= sum(batch.counts[post_id].values())
            if room < 0:
                break
            chosen[post_id] = token
        try:
            self._cache.release([post_id for post_id in hashes if post_id not in chosen])
            self._cache.grow([post for _, answer in settled for post in answer.grows])
            done.loaded += self._loader.hashes(chosen)
            done.loaded += self._fill_samples(samples, batch)
        except (ReactionsUnavailable, ScriptError) as error:
            log.info("cannot cache %d posts: %s", len(chosen) + len(samples), error)

    def _fill_samples(self, samples: Mapping[int, str], batch: Batch) -> int:
        """Load samples for ``FILL_S``. The next settlement requests the others again."""
        loaded, left = 0, dict(samples)
        deadline = time.monotonic() + FILL_S
        while left and time.monotonic() < deadline:
            post_id, token = left.popitem()
            loaded += self._loader.sample(post_id, token, sum(batch.counts[post_id].values()))
        self._cache.release(list(left))
        return loaded
