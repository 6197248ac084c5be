"""How long cache keys live. A random part is taken off each TTL, so that keys expire apart."""

from __future__ import annotations

import random

from reactions.core.settings import Settings


class Ttl:
    """The full TTLs, in ms; ``share`` and ``jittered`` take off a random part of them."""

    def __init__(self, settings: Settings) -> None:
        self._jitter = settings.cache_ttl_jitter
        self.cold = settings.cache_ttl_cold_s * 1000
        self.regular = settings.cache_ttl_regular_s * 1000
        self.hot = settings.cache_ttl_hot_s * 1000
        self.viral = settings.cache_ttl_viral_s * 1000
        self.user = settings.cache_ttl_user_s * 1000

    def share(self) -> int:
        """Return which share of a TTL to use, in thousandths."""
        return int(1000 * (1 - self._jitter * random.random()))  # noqa: S311 - this is not a secret

    def jittered(self, life_ms: int) -> int:
        """Return a TTL in ms with a random part taken off; 1 at least."""
        return max(1, life_ms * self.share() // 1000)
