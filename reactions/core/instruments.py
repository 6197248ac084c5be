"""What each process counts for Prometheus; without the extra `metrics`, nothing is counted.

Where PROMETHEUS_MULTIPROC_DIR names a folder, the counts of all processes stand there, and
`reactions metrics` serves their sum. The hot path only appends to a queue: a thread of each process
carries that into the counters a second later, or at its end.
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
"""How long the queue of a process waits."""

MAX_WAITING_TIMINGS = 200_000
"""Entries of that queue; the oldest go first, should its thread ever be that late."""

NOT_TIMED = -1.0
"""Of one of many that went together."""

REACT_BOUNDS_S = (
    0.0001, 0.00015, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5,
)  # fmt: skip
QUERY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
ROWS_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000)


class _Nothing:
    """A metric where there is none."""

    def labels(self, *_: object) -> _Nothing:
        return self

    def inc(self, amount: float = 1) -> None:
        """Not counted."""

    def observe(self, amount: float) -> None:
        """Not counted."""


def _counter(name: str, about: str, **labels: Sequence[str]) -> Any:  # noqa: ANN401 - of an extra
    """With all values of each label, at 0: where a series begins with its first 1, no rate sees it.

    An alert on what has never happened would have nothing to watch.
    """
    if not INSTALLED:
        return _Nothing()
    counter = prometheus_client.Counter(name, about, tuple(labels))
    for values in product(*labels.values()) if labels else ():
        counter.labels(*values)
    return counter


def _histogram(name: str, about: str, buckets: Sequence[float]) -> Any:  # noqa: ANN401 - as above
    return prometheus_client.Histogram(name, about, buckets=buckets) if INSTALLED else _Nothing()


REACT = _histogram("reactions_react_seconds", "What one react() or unreact() took.", REACT_BOUNDS_S)
OUTCOMES = _counter(
    "reactions_outcomes",
    "Reactions by what became of them, those of react_many too.",
    outcome=(
        *("created", "replaced", "unchanged", "removed", "accepted"),
        *("deleted", "not_replicated", "unavailable"),
    ),
)
WAKEUPS = _counter("reactions_wakeups", "Shards that messages to the broker asked to drain.")
WAKEUP_MESSAGES = _counter(
    "reactions_wakeup_messages",
    "Those messages, by what became of them.",
    result=("published", "failed"),
)
READS = _counter(
    "reactions_cache_reads",
    "Posts read, by tier and by whether Redis knew.",
    tier=("regular", "viral"),
    result=("hit", "miss"),
)
FALLBACKS = _counter(
    "reactions_fallback_queries",
    "Reads that asked PostgreSQL, by kind of read.",
    read=("summaries", "reactors", "history", "uniques"),
)
FALLBACK = _histogram(
    "reactions_fallback_seconds", "What PostgreSQL took to answer them.", QUERY_BOUNDS_S
)
BATCH_ROWS = _histogram("reactions_batch_rows", "Changes of one transaction.", ROWS_BOUNDS)
BATCH = _histogram("reactions_batch_seconds", "What that transaction took.", QUERY_BOUNDS_S)
STALE = _counter(
    "reactions_stale_versions",
    "Changes that changed no row: repeated, late, or of what is erased.",
)
REFUSED = _counter("reactions_rows_refused", "Changes that went to the dead letters.")
RETRIES = _counter("reactions_drain_retries", "Drains that failed, and are to be tried again.")
TIERS = _counter(
    "reactions_tier_changes", "Posts that came to a tier.", tier=("regular", "viral", "rising")
)


class Timings:
    """The queue of the hot path. Thread-safe without a lock of its own; starts anew in a fork."""

    def __init__(self) -> None:
        self._fresh()

    def _fresh(self) -> None:
        self._waiting: deque[tuple[str, float]] = deque(maxlen=MAX_WAITING_TIMINGS)
        self._thread: threading.Thread | None = None
        self._folding = threading.Lock()

    def _folding_begins(self) -> None:
        self._folding.acquire()

    def _folding_ends(self) -> None:
        self._folding.release()

    def add(self, outcome: str, seconds: float) -> None:
        """One reaction, and what it took, or NOT_TIMED."""
        self._waiting.append((outcome, seconds))
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._folding:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="reactions-metrics", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads, or the interpreter ends
                    return
                self._thread = thread

    def _run(self) -> None:
        while True:
            time.sleep(FOLD_S)
            self.fold()

    def fold(self) -> None:
        """Carry what waits into the counters."""
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


def _observe(histogram: Any, values: Sequence[float]) -> None:  # noqa: ANN401 - of an extra
    """Many at once: each alone would take two locks and two writes of a file."""
    if values:
        bounds = histogram._upper_bounds
        for place, number in Tally(bisect_left(bounds, value) for value in values).items():
            histogram._buckets[place].inc(number)
        histogram._sum.inc(sum(values))


TIMINGS = Timings() if INSTALLED else None
"""None where nothing is counted, so that the hot path only asks that."""


@contextmanager
def fallback(read: str) -> Iterator[None]:
    """Count a read that asks PostgreSQL, and what it took; also where that fails."""
    FALLBACKS.labels(read).inc()
    began = time.perf_counter()
    try:
        yield
    finally:
        FALLBACK.observe(time.perf_counter() - began)


if TIMINGS is not None:
    # Not in the middle of a fold: a child would inherit prometheus_client's lock as it is.
    os.register_at_fork(
        before=TIMINGS._folding_begins,
        after_in_parent=TIMINGS._folding_ends,
        after_in_child=TIMINGS._fresh,
    )
    atexit.register(TIMINGS.fold)


def processes(registry: CollectorRegistry) -> None:
    """Add what the processes of this machine count, where their folder is named."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):  # prometheus_client's own variable
        from prometheus_client.multiprocess import MultiProcessCollector

        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # it registers itself
