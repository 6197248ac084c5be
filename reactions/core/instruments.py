"""The Prometheus metrics that each process counts; without the extra `metrics`, it counts nothing.

If PROMETHEUS_MULTIPROC_DIR names a folder, all processes write their counts there, and
`reactions metrics` serves the sums. The hot path only appends to a queue. A thread of each process
moves the queue into the counters once a second, and again when the process exits.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from bisect import bisect_left
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

try:
    import prometheus_client
except ImportError:  # the extra is not installed
    INSTALLED = False
else:
    INSTALLED = True
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):  # prometheus_client's own variable
        Path(folder).mkdir(parents=True, exist_ok=True)

FOLD_S = 1.0
"""Seconds between two moves of the queue into the counters."""

MAX_WAITING_TIMINGS = 200_000
"""Most entries of the queue. A full queue drops its oldest entries."""

NOT_TIMED = -1.0
"""The time of a reaction that was sent together with others."""

REACT_BOUNDS_S = (
    0.0001, 0.00015, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5,
)  # fmt: skip
QUERY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
ROWS_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000)


class _Nothing:
    """Stands in for a metric when prometheus_client is not installed."""

    def labels(self, *_: object) -> _Nothing:
        return self

    def inc(self, amount: float = 1) -> None:
        """Do nothing."""

    def observe(self, amount: float) -> None:
        """Do nothing."""


def _counter(name: str, about: str, **labels: Sequence[str]) -> Any:  # noqa: ANN401 - the extra may be absent
    """Make a counter, with a series at 0 for each combination of label values.

    `rate()` misses a series that begins at 1, so an alert would miss the first event.
    """
    if not INSTALLED:
        return _Nothing()
    counter = prometheus_client.Counter(name, about, tuple(labels))
    for values in product(*labels.values()) if labels else ():
        counter.labels(*values)
    return counter


def _histogram(name: str, about: str, buckets: Sequence[float]) -> Any:  # noqa: ANN401 - as above
    return prometheus_client.Histogram(name, about, buckets=buckets) if INSTALLED else _Nothing()


REACT = _histogram(
    "reactions_react_seconds", "Time that one react() or unreact() took.", REACT_BOUNDS_S
)
OUTCOMES = _counter(
    "reactions_outcomes",
    "Reactions by outcome, those of react_many included.",
    outcome=(
        *("created", "replaced", "unchanged", "removed", "accepted"),
        *("deleted", "not_replicated", "unavailable"),
    ),
)
WAKEUPS = _counter("reactions_wakeups", "Shards named in wake-ups to the broker.")
WAKEUP_MESSAGES = _counter(
    "reactions_wakeup_messages",
    "Wake-up messages by result.",
    result=("published", "failed"),
)
READS = _counter(
    "reactions_cache_reads",
    "Posts read, by tier and by whether the cache had them.",
    tier=("regular", "viral"),
    result=("hit", "miss"),
)
FALLBACKS = _counter(
    "reactions_fallback_queries",
    "Reads that queried PostgreSQL, by kind of read.",
    read=("summaries", "reactors", "history", "uniques"),
)
REPLICA_READS = _counter(
    "reactions_replica_reads",
    "Lists asked of the replica: those that the primary answered in its place, too.",
    result=("answered", "behind", "failed"),
)
FALLBACK = _histogram(
    "reactions_fallback_seconds", "Time that PostgreSQL took to answer these reads.", QUERY_BOUNDS_S
)
BATCH_ROWS = _histogram(
    "reactions_batch_rows", "Changes in one transaction of a drain.", ROWS_BOUNDS
)
BATCH = _histogram("reactions_batch_seconds", "Time that this transaction took.", QUERY_BOUNDS_S)
STALE = _counter(
    "reactions_stale_versions",
    "Changes that changed no row: repeated, late, or for erased data.",
)
REFUSED = _counter("reactions_rows_refused", "Changes that became dead letters.")
RETRIES = _counter("reactions_drain_retries", "Failed drains that will be retried.")
TIERS = _counter(
    "reactions_tier_changes", "Posts that moved to a tier.", tier=("regular", "viral", "rising")
)
CONDEMNED = _counter(
    "reactions_connections_condemned",
    "Times that a server told of another role, so that the connections to it were closed.",
    store=("redis", "postgresql", "broker"),
)


class Timings:
    """The queue of the hot path. Thread-safe; starts empty in a forked child."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._waiting: deque[tuple[str, float]] = deque(maxlen=MAX_WAITING_TIMINGS)
        self._thread: threading.Thread | None = None
        self._folding = threading.Lock()

    def _lock_folding(self) -> None:
        self._folding.acquire()

    def _unlock_folding(self) -> None:
        self._folding.release()

    def add(self, outcome: str, seconds: float) -> None:
        """Add one reaction, and the seconds that it took or ``NOT_TIMED``."""
        self._waiting.append((outcome, seconds))
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._folding:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="reactions-metrics", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads, or the interpreter is exiting
                    return
                self._thread = thread

    def _run(self) -> None:
        while True:
            time.sleep(FOLD_S)
            self.fold()

    def fold(self) -> None:
        """Move the queue into the counters."""
        outcomes: Tally[str] = Tally()
        times: list[float] = []
        with self._folding:
            for _ in range(len(self._waiting)):
                outcome, seconds = self._waiting.popleft()
                outcomes[outcome] += 1
                if seconds is not NOT_TIMED:
                    times.append(seconds)
            for outcome, number in outcomes.items():
                OUTCOMES.labels(outcome).inc(number)
            _observe(REACT, times)


def _observe(histogram: Any, values: Sequence[float]) -> None:  # noqa: ANN401 - the extra may be absent
    """Observe many values at once: each alone costs two locks and two writes to a file."""
    if values:
        bounds = histogram._upper_bounds
        for place, number in Tally(bisect_left(bounds, value) for value in values).items():
            histogram._buckets[place].inc(number)
        histogram._sum.inc(sum(values))


TIMINGS = Timings() if INSTALLED else None
"""None without the extra, so that the hot path needs only this check."""


@contextmanager
def fallback(read: str) -> Iterator[None]:
    """Count a read that queries PostgreSQL, and its time; also when it fails."""
    FALLBACKS.labels(read).inc()
    began = time.perf_counter()
    try:
        yield
    finally:
        FALLBACK.observe(time.perf_counter() - began)


if TIMINGS is not None:
    # A fork waits for the end of a fold: the child would inherit prometheus_client's locked lock.
    os.register_at_fork(
        before=TIMINGS._lock_folding,
        after_in_parent=TIMINGS._unlock_folding,
        after_in_child=TIMINGS._reset,
    )
    atexit.register(TIMINGS.fold)


def processes(registry: CollectorRegistry) -> None:
    """Register the sums over all processes, if PROMETHEUS_MULTIPROC_DIR names their folder."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):  # prometheus_client's own variable
        from prometheus_client.multiprocess import MultiProcessCollector

        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # it registers itself
