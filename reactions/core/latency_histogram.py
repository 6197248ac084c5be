"""A histogram of lags: how long reactions took from react() to PostgreSQL."""

from __future__ import annotations

import math
from collections.abc import Mapping

STEP = 1.1
"""Ratio of two neighbouring bounds: a percentile read from them is at most 10 % high."""


def bound(lag_us: float) -> int:
    """The upper bound of the bucket that a lag falls into: a power of STEP, in µs."""
    return math.ceil(STEP ** math.ceil(math.log(max(lag_us, 1.0), STEP)))


def percentile(lags: Mapping[int, int], share: float) -> int:
    """The smallest bound (µs) that at least this share of the reactions is within; 0 of none."""
    total, seen = sum(lags.values()), 0
    for upper in sorted(lags):
        seen += lags[upper]
        if seen >= share * total:
            return upper
    return 0
