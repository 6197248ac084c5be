"""The lag histogram: bounds hold, and a percentile is at most one bucket too high."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reactions.core.latency_histogram import STEP, bound, percentile

LAGS = st.floats(0, 1e10)


@given(LAGS)
def test_a_lag_is_within_its_bound_and_not_far_below_it(lag: float) -> None:
    upper = bound(lag)
    assert lag <= upper
    assert upper <= max(1.0, lag) * STEP + 1


@given(st.lists(LAGS, min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_at_most_one_bucket_too_high(lags: list[float], share: float) -> None:
    histogram: dict[int, int] = {}
    for lag in lags:
        histogram[bound(lag)] = histogram.get(bound(lag), 0) + 1
    exact = sorted(lags)[max(0, -(-len(lags) * share // 1).__int__() - 1)]
    assert exact <= percentile(histogram, share) <= max(1.0, exact) * STEP * STEP + 2


def test_the_percentile_of_no_lags_is_zero() -> None:
    assert percentile({}, 0.99) == 0
