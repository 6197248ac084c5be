"""Limits how often a user may write. Redis counts, so the limit holds across all processes."""

from __future__ import annotations

import math

from reactions.core.settings import Settings
from reactions.redis.connection import Client, readable
from reactions.redis.keys import default_keys
from reactions.redis.scripts import writes
from reactions.web.problems import retry_later


class RateLimiter:
    """Allows each user ``web_burst`` writes at once and ``web_writes_per_s`` in the long run."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self._client = client
        self._each_us = math.ceil(1e6 / settings.web_writes_per_s)
        self._ahead_us = self._each_us * settings.web_burst

    def pass_or_refuse(self, user_id: int) -> None:
        """Count a write. Cost: one round trip to Redis.

        Raises:
            Refusal: the user writes too often. It says how many seconds to wait.
            ReactionsUnavailable: Redis does not answer.
        """
        reply = writes.limit(default_keys, user_id, self._each_us, self._ahead_us).run(self._client)
        with readable():
            wait_us = int(reply)
        if wait_us:
            seconds = math.ceil(wait_us / 1e6)
            raise retry_later(429, "too-many-writes", "you react too fast", seconds)
