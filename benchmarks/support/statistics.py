"""Quantiles, spreads and percentages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import TypeVar

from reactions.demo.replay import quantile

Found = TypeVar("Found")


def quantiles(values: Iterable[float]) -> dict[str, float]:
    """``n``, ``p50``, ``p99`` and ``max`` of some values, in their own unit."""
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "p50": round(quantile(ordered, 0.5), 3),
        "p99": round(quantile(ordered, 0.99), 3),
        "max": round(quantile(ordered, 1.0), 3),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum."""
    return {
        "median": round(median(values), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
    }


def percent(part: int, whole: int) -> float:
    """A share in percent; 0 of nothing is 0."""
    return round(100 * part / max(1, whole), 3)


def timed(call: Callable[[], Found]) -> tuple[float, Found]:
    """The time of a call in ms, and its result."""
    began = time.perf_counter()
    found = call()
    return (time.perf_counter() - began) * 1e3, found
