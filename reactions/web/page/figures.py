"""The figures of the engine room: what the stores hold, and what the processes count."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping

from pydantic import BaseModel, Field

from reactions.core.latency_histogram import percentile
from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from reactions.redis.connection import connect
from reactions.redis.outbox_state import OutboxState, ShardState
from reactions.web.page.samples import (
    Sample,
    difference,
    lags_between,
    or_none,
    quantile_ms,
    rate,
    take_sample,
)

FRESH_S = 0.9
"""All requests within this time share one read of the stores."""

RATE_S = 3.0
"""Rates cover this time."""

WINDOW_S = 15.0
"""Latencies and shares cover this time."""

MAX_AGE_S = 86_400.0
"""The greatest age shown. A shard that cannot be read has an infinite age, which JSON lacks."""


class Figures(BaseModel):
    """The figures. None means unknown: a store does not answer, or nothing happened."""

    reactions_per_s: float | None = Field(description="Acknowledged by all processes together.")
    durable_per_s: float | None = Field(description="Committed in PostgreSQL.")
    react_p50_ms: float | None
    react_p99_ms: float | None
    lag_p50_ms: float | None = Field(description="From react() to the commit.")
    lag_p99_ms: float | None
    oldest_s: float | None = Field(description="The age of the oldest pending change.")
    pending: int | None = Field(description="Changes that are not durable.")
    shards: list[int] | None = Field(description="Posts with pending changes in each shard.")
    leased: list[int] | None = Field(description="Shards that a worker drains now.")
    tiers: dict[str, int] | None = Field(description="Posts by tier.")
    cache_hits: float | None = Field(description="The share of reads that Redis answered, 0 to 1.")


class Gauges:
    """Reads the figures on demand, and keeps recent samples for rates. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.outbox = OutboxState(connect(settings), settings)
        database = Database(settings, name="reactions-page")
        self.queries, self._posts = Queries(database), Posts(database)
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque()
        self._last: Figures | None = None

    def read(self) -> Figures:
        """Return figures that are at most `FRESH_S` old."""
        with self._lock:
            now = time.monotonic()
            if self._last is None or now - self._samples[-1].at >= FRESH_S:
                while self._samples and now - self._samples[0].at > WINDOW_S:
                    self._samples.popleft()
                self._samples.append(take_sample(now, self.outbox))
                self._last = self._figures()
            return self._last

    def _figures(self) -> Figures:
        last, first = self._samples[-1], self._samples[0]
        recent = next(s for s in self._samples if s is last or last.at - s.at <= RATE_S)
        react = difference(last.react, first.react)
        lags = lags_between(first, last)
        states = or_none(self.outbox.states)
        return Figures(
            reactions_per_s=rate(recent, last, lambda sample: sample.acknowledged),
            durable_per_s=rate(recent, last, _durable),
            react_p50_ms=quantile_ms(react, 0.5),
            react_p99_ms=quantile_ms(react, 0.99),
            lag_p50_ms=percentile(lags, 0.5) / 1e3 if lags else None,
            lag_p99_ms=percentile(lags, 0.99) / 1e3 if lags else None,
            oldest_s=_oldest(states),
            pending=or_none(self.outbox.pending),
            shards=None if states is None else [state.dirty_posts for state in states],
            leased=None if states is None else [s.shard for s in states if s.leased],
            tiers=_by_name(or_none(self._posts.count_by_tier)),
            cache_hits=_hit_share(difference(last.reads, first.reads)),
        )


def _durable(sample: Sample) -> int | None:
    return None if sample.lags is None else sum(sample.lags.values())


def _oldest(states: list[ShardState] | None) -> float | None:
    return None if states is None else min(MAX_AGE_S, max(state.oldest_age_s for state in states))


def _by_name(tiers: Mapping[int, int] | None) -> dict[str, int] | None:
    return None if tiers is None else {tier.name.lower(): tiers.get(tier, 0) for tier in PostTier}


def _hit_share(reads: Mapping[str, float]) -> float | None:
    total = sum(reads.values())
    return reads.get("hit", 0) / total if total else None
