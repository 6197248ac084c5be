"""The measurements of a replay."""

from __future__ import annotations

from array import array
from collections import Counter

import pytest

from reactions.demo.replay import Replayed, quantile


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.99, 4.0), (1.0, 4.0)])
def test_quantiles_of_sorted_values(share: float, expected: float) -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], share) == expected


def test_the_quantile_of_nothing_is_zero() -> None:
    assert quantile([], 0.5) == 0.0


def test_the_measurements_of_two_writers_add_up() -> None:
    first = Replayed(2, 1.0, array("d", [1.0]), statuses=Counter(created=2), failed=1)
    first.add(Replayed(3, 1.0, array("d", [2.0]), statuses=Counter(created=1, removed=2)))
    assert (first.accepted, list(first.latencies), first.failed) == (5, [1.0, 2.0], 1)
    assert first.statuses == {"created": 3, "removed": 2}
