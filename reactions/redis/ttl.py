"""How long cache keys live: by how much a post is used, and never all of them equally long."""

from __future__ import annotations

import random

from reactions.core.settings import Settings


class Ttl:
    """Lives in ms, whole; ``share`` and ``jittered`` take a random part off them."""

    def __init__(self, settings: Settings) -> None:
        self._jitter = settings.cache_ttl_jitter
        self.cold = settings.cache_ttl_cold_s * 1000
        self.regular = settings.cache_ttl_regular_s * 1000
        self.hot = settings.cache_ttl_hot_s * 1000
        self.viral = settings.cache_ttl_viral_s * 1000
        self.user = settings.cache_ttl_user_s * 1000

    def share(self) -> int:
        """What to use of a life, in thousandths: keys written together do not expire together."""
        return int(1000 * (1 - self._jitter * random.random()))  # noqa: S311 - not for secrecy

    def jittered(self, life_ms: int) -> int:
        """A life with a random part taken off."""
        return max(1, life_ms * self.share() // 1000)
