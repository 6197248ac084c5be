"""The post as Redis shows it while the writers react."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from redis import Redis

from benchmarks.scenarios.viral.writers import POST
from benchmarks.support.post_keys import cache_memory
from reactions.redis import buckets
from reactions.redis.keys import default_keys as keys

AFTERWARDS_S = 1.0
"""The promotion counts as finished so long after the sample is cached."""


@dataclass(slots=True)
class Watched:
    """Observations of the post. Times are seconds of the monotonic clock; 0 means not yet."""

    crossed: float = 0.0
    """When the accepted reactions reached the threshold."""
    flagged: float = 0.0
    """When the viral flag was set."""
    sampled: float = 0.0
    """When the sample was cached."""
    most_pending: int = 0
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes of the caches of the post, AFTERWARDS_S after its promotion."""


class Watch:
    """Reads the keys of the post."""

    def __init__(self, client: Redis, threshold: int) -> None:
        self._client = client
        self._threshold = threshold
        self.seen = Watched()

    def sample(self, accepted: int) -> None:
        seen, now = self.seen, time.monotonic()
        with self._client.pipeline(transaction=False) as pipe:
            pipe.exists(keys.post_viral(POST))
            pipe.hget(keys.post_reactions(POST), str(buckets.MARK))
            pipe.hlen(keys.post_pending(POST))
            pipe.hlen(keys.post_claimed(POST))
            viral, mark, pending, claimed = pipe.execute()
        seen.most_pending = max(seen.most_pending, pending + claimed)
        if not seen.crossed and accepted >= self._threshold:
            seen.crossed = now
        if not seen.flagged and viral:
            seen.flagged = now
        if not seen.sampled and int(mark or 0) < 0:
            seen.sampled = now
        if seen.sampled and not seen.memory and now > seen.sampled + AFTERWARDS_S:
            seen.memory = cache_memory(self._client, POST)
