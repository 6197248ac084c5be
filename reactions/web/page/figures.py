"""The figures of the engine room: what the stores have, and what the processes count."""

from __future__ import annotations

import threading
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry
from pydantic import BaseModel, Field

from reactions.core.errors import ReactionsUnavailable
from reactions.core.instruments import TIMINGS, processes
from reactions.core.latency_histogram import percentile
from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from reactions.redis.connection import connect
from reactions.redis.outbox_state import OutboxState, ShardState

T = TypeVar("T")

FRESH_S = 0.9
"""A look at the stores serves everyone who asks so soon after it."""

RATE_S, WINDOW_S = 3.0, 15.0
"""Rates are over the last of these seconds, distributions over the others."""


class Figures(BaseModel):
    """None: not known, as a store does not answer or nothing happened."""

    reactions_per_s: float | None = Field(description="Acknowledged by any process that counts.")
    durable_per_s: float | None = Field(description="Committed in PostgreSQL.")
    react_p50_ms: float | None
    react_p99_ms: float | None
    lag_p50_ms: float | None = Field(description="From react() to the commit.")
    lag_p99_ms: float | None
    oldest_s: float | None = Field(description="Age of the oldest change that is not durable.")
    pending: int | None = Field(description="Changes that are not durable.")
    shards: list[int] | None = Field(description="Posts of each shard with such changes.")
    leased: list[int] | None = Field(description="Shards that are being drained.")
    tiers: dict[str, int] | None = Field(description="Posts by tier.")
    cache_hits: float | None = Field(description="Share of reads that Redis answered, 0 to 1.")


@dataclass(frozen=True, slots=True)
class Sample:
    """Totals at one moment."""

    at: float
    acknowledged: float
    react: Mapping[float, float]
    """Upper bound in s -> how many took at most that."""
    reads: Mapping[str, float]
    lags: Mapping[int, int] | None


class Gauges:
    """Reads the stores when somebody asks; keeps the last readings for rates. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.outbox = OutboxState(connect(settings), settings)
        database = Database(settings, name="reactions-page")
        self.queries, self._posts = Queries(database), Posts(database)
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque()
        self._last: Figures | None = None

    def read(self) -> Figures:
        """The figures of now, or of a moment ago."""
        with self._lock:
            now = time.monotonic()
            if self._last is None or now - self._samples[-1].at >= FRESH_S:
                while self._samples and now - self._samples[0].at > WINDOW_S:
                    self._samples.popleft()
                self._samples.append(_sample(now, self.outbox))
                self._last = self._look()
            return self._last

    def _look(self) -> Figures:
        last, first = self._samples[-1], self._samples[0]
        recent = next(s for s in self._samples if s is last or last.at - s.at <= RATE_S)
        react = _since(last.react, first.react)
        lags = _lags(last, first)
        states = _known(self.outbox.states)
        return Figures(
            reactions_per_s=_rate(recent, last, lambda sample: sample.acknowledged),
            durable_per_s=_rate(
                recent, last, lambda s: None if s.lags is None else sum(s.lags.values())
            ),
            react_p50_ms=_quantile_ms(react, 0.5),
            react_p99_ms=_quantile_ms(react, 0.99),
            lag_p50_ms=percentile(lags, 0.5) / 1e3 if lags else None,
            lag_p99_ms=percentile(lags, 0.99) / 1e3 if lags else None,
            oldest_s=_oldest(states),
            pending=_known(self.outbox.pending),
            shards=None if states is None else [state.dirty_posts for state in states],
            leased=None if states is None else [s.shard for s in states if s.leased],
            tiers=_named(_known(self._posts.count_by_tier)),
            cache_hits=_hits(_since(last.reads, first.reads)),
        )


def _known(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except ReactionsUnavailable:
        return None


def _oldest(states: list[ShardState] | None) -> float | None:
    """A shard that cannot be read has an endless age, which JSON has no number for."""
    return None if states is None else min(86_400.0, max(state.oldest_age_s for state in states))


def _named(tiers: Mapping[int, int] | None) -> dict[str, int] | None:
    return None if tiers is None else {tier.name.lower(): tiers.get(tier, 0) for tier in PostTier}


def _sample(now: float, outbox: OutboxState) -> Sample:
    if TIMINGS is not None:
        TIMINGS.fold()  # this process's own are up to date; those of others to a second
    acknowledged, react, reads = 0.0, dict[float, float](), dict[str, float]()
    for name, labels, value in _counted():
        if name == "reactions_outcomes_total":
            acknowledged += value
        elif name == "reactions_react_seconds_bucket":
            react[float(labels["le"])] = value
        elif name == "reactions_cache_reads_total":
            reads[labels["result"]] = reads.get(labels["result"], 0) + value
    return Sample(now, acknowledged, react, reads, _known(outbox.lags))


def _counted() -> Iterator[tuple[str, Mapping[str, str], float]]:
    """What all processes of the stack count."""
    registry = CollectorRegistry()
    processes(registry)
    for family in registry.collect():
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def _since(now: Mapping[T, float], then: Mapping[T, float]) -> dict[T, float]:
    return {key: value - then.get(key, 0) for key, value in now.items()}


def _lags(now: Sample, then: Sample) -> Mapping[int, int]:
    if now.lags is None or then.lags is None:
        return {}
    return Tally(now.lags) - Tally(then.lags)


def _rate(then: Sample, now: Sample, total: Callable[[Sample], float | None]) -> float | None:
    before, after = total(then), total(now)
    if before is None or after is None or now is then:
        return None
    return max(0.0, after - before) / (now.at - then.at)


def _hits(reads: Mapping[str, float]) -> float | None:
    total = sum(reads.values())
    return reads.get("hit", 0) / total if total else None


def _quantile_ms(within: Mapping[float, float], share: float) -> float | None:
    """Of a cumulative histogram in s; between two bounds, as if all were spread evenly."""
    total = max(within.values(), default=0)
    lower, below = 0.0, 0.0
    for bound in sorted(within):
        if total and within[bound] >= share * total:
            if bound == float("inf"):
                return lower * 1e3
            part = (share * total - below) / (within[bound] - below)
            return (lower + part * (bound - lower)) * 1e3
        lower, below = bound, within[bound]
    return None
