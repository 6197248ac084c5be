"""A histogram of lags: the time from react() until PostgreSQL has the reaction."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping

STEP = 1.1
"""Ratio of neighbouring bounds: a percentile read from the histogram is at most 10 % too high."""


_BOUNDS = [math.ceil(STEP**power) for power in range(400)]
"""All bounds up to 1,000 years, so that a bound is found and not computed."""


def bound(lag_us: float) -> int:
    """Return the upper bound (µs) of the bucket for this lag: a power of ``STEP``, rounded up."""
    return _BOUNDS[min(bisect_left(_BOUNDS, lag_us), len(_BOUNDS) - 1)]


def percentile(lags: Mapping[int, int], share: float) -> int:
    """Return the smallest bound (µs) that this share of the reactions does not exceed.

    Args:
        lags: upper bound (µs) -> number of reactions; without any, the result is 0.
        share: from 0 to 1; 0.99 for the 99th percentile.
    """
    total, seen = sum(lags.values()), 0
    for upper in sorted(lags):
        seen += lags[upper]
        if seen >= share * total:
            return upper
    return 0
