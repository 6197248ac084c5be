"""How often a user may write: counted in Redis, so it holds for all processes together."""

from __future__ import annotations

import math

from reactions.core.settings import Settings
from reactions.redis.connection import connect, readable, translated
from reactions.redis.scripts import writes
from reactions.web.problems import too_many


class RateLimiter:
    """Lets writes pass: ``web_burst`` at once, and ``web_writes_per_s`` in the long run."""

    def __init__(self, settings: Settings) -> None:
        self._client = connect(settings)
        self._each_us = math.ceil(1e6 / settings.web_writes_per_s)
        self._ahead_us = self._each_us * settings.web_burst

    def pass_or_refuse(self, user_id: int) -> None:
        """One round trip.

        Raises:
            Refusal: too often; it says when to come again.
            ReactionsUnavailable: Redis.
        """
        reply = writes.limit(user_id, self._each_us, self._ahead_us).run(self._client)
        with readable():
            wait_us = int(reply)
        if wait_us:
            seconds = math.ceil(wait_us / 1e6)
            raise too_many(429, "too-many-writes", "you react faster than is let pass", seconds)

    def check_ready(self) -> None:
        """Whether Redis answers.

        Raises:
            ReactionsUnavailable: it does not.
        """
        with translated():
            self._client.ping()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
