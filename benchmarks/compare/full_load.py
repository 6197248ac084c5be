"""The whole system at full load and at half load: latency, lag, messages, SQL statements."""

from __future__ import annotations

from typing import Any

from benchmarks.compare.contenders.ours import Ours
from benchmarks.compare.play import Result, play
from benchmarks.compare.workloads import Workload
from benchmarks.support import feed, filling
from benchmarks.support.arena import Arena
from benchmarks.support.output import Show
from benchmarks.support.statement_log import KINDS, logged
from reactions.core.latency_histogram import percentile
from reactions.redis.outbox_state import OutboxState

FEED_POSTS, FEED_VIRAL = 50, 5
REGULAR_ROWS, VIRAL_ROWS = 300, 20_000


def measure(arena: Arena, seconds: float, writers: int, show: Show) -> dict[str, Any]:
    """Measure with one hot post, and with spread posts. Latencies are in µs, lags in ms."""
    found: dict[str, Any] = {}
    for done, name in enumerate(("hot", "zipf")):
        workload = Workload(name)
        full = _ours(arena, workload, seconds, writers)
        messages = _messages(arena) * 1e3 / full.reactions
        lag = _lag(arena)
        half = _ours(arena, workload, seconds, writers, full.durable / 2)
        half_lag = _lag(arena)
        show("full load and half of it", done + 1, 2)
        found[name] = {
            "accepted": full.accepted,
            "durable": full.durable,
            "react_p50": full.react_p50,
            "react_p99": full.react_p99,
            "lag_p99_ms": lag,
            "messages": round(messages, 2),
            "at_half": half.durable,
            "at_half_lag_p99_ms": half_lag,
            "at_half_react_p99": half.react_p99,
            "statements": _statements(arena, workload, seconds, writers),
        }
    return found


def _ours(
    arena: Arena, workload: Workload, seconds: float, writers: int, rate: float | None = None
) -> Result:
    return play(arena, Ours(), workload, seed=0, seconds=seconds, writers=writers, rate=rate)


def _lag(arena: Arena) -> float:
    return round(percentile(OutboxState(arena.redis, arena.settings).lags(), 0.99) / 1e3, 1)


def _messages(arena: Arena) -> int:
    """Messages pushed to the broker since it was emptied: by web processes, beat and workers."""
    stats: Any = arena.broker.info("commandstats")
    return int(stats.get("cmdstat_lpush", {}).get("calls", 0))


def _statements(arena: Arena, workload: Workload, seconds: float, writers: int) -> dict[str, float]:
    """Statements of the workers for 1,000 reactions, duties included, in a run that logs them."""
    with logged(arena, "reactions-worker") as sent:
        found = _ours(arena, workload, seconds, writers)
    return {kind: round(sent[kind] * 1e3 / found.reactions, 2) for kind in KINDS}


def warm_feed(arena: Arena, show: Show) -> dict[str, Any]:
    """Time a feed of 50 posts, 5 of them viral, with ``support.feed``. Times are in µs."""
    arena.empty()
    posts = list(range(1_000, 1_000 + FEED_POSTS))
    sizes = {
        post: VIRAL_ROWS if place < FEED_VIRAL else REGULAR_ROWS for place, post in enumerate(posts)
    }
    shape = filling.Shape(VIRAL_ROWS, arena.settings.viral_threshold, 3_600, 1_000)
    filling.fill(arena.database, sizes, shape, show)
    arena.start_ours()
    try:
        return feed.measure(arena.settings, posts, 1 << 30, arena.redis, show)
    finally:
        arena.stop_workers()
