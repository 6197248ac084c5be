"""Samples of both stores, one a second."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from redis import Redis

from benchmarks.scenarios.overload.prediction import cached, predicted
from benchmarks.scenarios.overload.writers import Plan
from benchmarks.support.post_keys import used_memory
from reactions.demo.stack import Stack
from reactions.redis.outbox_state import OutboxState


@dataclass(frozen=True, slots=True)
class Sample:
    """One second of a run.

    Attributes:
        at: seconds since the start.
        distinct: (post, user) pairs that were written, at most.
        used: growth of used_memory since the start, in bytes.
        predicted, caches: predicted bytes of the outbox, and of the caches.
        rewriting: whether a child process of the server rewrites the append-only file.
    """

    at: float
    accepted: int
    durable: int
    pending: int
    distinct: int
    dirty_posts: int
    used: int
    predicted: int
    caches: int
    rewriting: bool


class Watch:
    """Takes the samples."""

    def __init__(self, stack: Stack, plan: Plan, growing: bool, counters: Any) -> None:  # noqa: ANN401
        self._client = Redis.from_url(
            stack.settings.redis_url.get_secret_value(), socket_timeout=60
        )
        self._outbox = OutboxState(self._client, stack.settings)
        self._counters = counters
        self._growing = growing
        self._plan = plan
        self._began = time.monotonic()
        self._used = self.used()
        self._durable = self.durable()
        self.samples: list[Sample] = []

    def used(self) -> int:
        return used_memory(self._client.info("memory"))

    def rewriting(self) -> bool:
        persistence: Any = self._client.info("persistence")
        return bool(persistence["aof_rewrite_in_progress"])

    def durable(self) -> int:
        return sum(self._outbox.lags().values())

    def sample(self) -> Sample:
        posts, pending = len(self._outbox.dirty_posts()), self._outbox.pending()
        accepted = sum(self._counters)
        distinct = accepted if self._growing else min(accepted, self._plan.posts * self._plan.users)
        durable = self.durable() - self._durable
        plan = self._plan
        reactions = min(durable, distinct)
        sample = Sample(
            round(time.monotonic() - self._began, 2),
            accepted,
            durable,
            pending,
            distinct,
            posts,
            self.used() - self._used,
            predicted(posts, pending),
            cached(
                min(plan.posts, reactions),
                reactions if self._growing else min(plan.users, reactions),
                reactions,
            ),
            self.rewriting(),
        )
        self.samples.append(sample)
        return sample

    def evictable(self) -> int:
        """The number of keys with a TTL, which Redis may evict."""
        space: Any = self._client.info("keyspace")
        return int(space["db0"]["expires"]) if "db0" in space else 0
