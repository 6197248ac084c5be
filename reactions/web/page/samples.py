"""Samples of the totals that all processes of a stack count, and rates between two samples."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry

from reactions.core.errors import ReactionsUnavailable
from reactions.core.instruments import TIMINGS, processes
from reactions.redis.outbox_state import OutboxState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """The totals at one moment.

    Attributes:
        at: the moment, in seconds of the monotonic clock.
        acknowledged: the outcomes of writes.
        react: upper bound in s -> number of `react()` calls that took at most that.
        reads: result ("hit" and others) -> number of reads.
        lags: bucket of the lag histogram -> number of changes; None if Redis does not answer.
    """

    at: float
    acknowledged: float
    react: Mapping[float, float]
    reads: Mapping[str, float]
    lags: Mapping[int, int] | None


def take_sample(now: float, outbox: OutboxState) -> Sample:
    """Read the totals. Those of other processes may be a second old."""
    if TIMINGS is not None:
        TIMINGS.fold()  # brings the totals of this process up to date
    acknowledged, react, reads = 0.0, dict[float, float](), dict[str, float]()
    for name, labels, value in _counted():
        if name == "reactions_outcomes_total":
            acknowledged += value
        elif name == "reactions_react_seconds_bucket":
            react[float(labels["le"])] = value
        elif name == "reactions_cache_reads_total":
            reads[labels["result"]] = reads.get(labels["result"], 0) + value
    return Sample(now, acknowledged, react, reads, or_none(outbox.lags))


def or_none(read: Callable[[], T]) -> T | None:
    """Call `read`, and return None if the store does not answer."""
    try:
        return read()
    except ReactionsUnavailable:
        return None


def difference(now: Mapping[T, float], then: Mapping[T, float]) -> dict[T, float]:
    """Subtract the earlier totals from the later ones."""
    return {key: value - then.get(key, 0) for key, value in now.items()}


def lags_between(then: Sample, now: Sample) -> Mapping[int, int]:
    """Return the lag histogram between two samples, empty if it is unknown."""
    if now.lags is None or then.lags is None:
        return {}
    return Tally(now.lags) - Tally(then.lags)


def rate(then: Sample, now: Sample, total: Callable[[Sample], float | None]) -> float | None:
    """Return the growth of a total per second, or None if it is unknown."""
    before, after = total(then), total(now)
    if before is None or after is None or now is then:
        return None
    return max(0.0, after - before) / (now.at - then.at)


def quantile_ms(histogram: Mapping[float, float], share: float) -> float | None:
    """Return a quantile in ms of a cumulative histogram in s, or None if it is empty.

    Between two bounds, it assumes that the values are spread evenly.
    """
    total = max(histogram.values(), default=0)
    lower, below = 0.0, 0.0
    for bound in sorted(histogram):
        if total and histogram[bound] >= share * total:
            if bound == float("inf"):
                return lower * 1e3
            part = (share * total - below) / (histogram[bound] - below)
            return (lower + part * (bound - lower)) * 1e3
        lower, below = bound, histogram[bound]
    return None


def _counted() -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Yield the name, the labels and the sum over all processes of each series."""
    registry = CollectorRegistry()
    processes(registry)
    for family in registry.collect():
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value
