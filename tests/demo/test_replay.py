"""The measurements of a replay."""

from __future__ import annotations

from array import array
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.demo.replay import Replayed, _announced, quantile
from reactions.demo.trace import Event


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


@given(posts=st.lists(st.integers(1, 5), max_size=30), ahead=st.integers(1, 8))
def test_each_post_is_announced_once_and_ahead_of_its_first_event(
    posts: list[int], ahead: int
) -> None:
    share = [Event(1, post, "like") for post in posts]
    announced = list(_announced(share, ahead))
    assert len(announced) == len(share)
    late = set(posts[ahead:])
    assert sorted(post for found in announced for post in found) == sorted(late)
    for place, found in enumerate(announced):
        for post in found:
            assert posts.index(post, ahead) == place + ahead


def test_nothing_is_announced_unless_asked_for() -> None:
    assert list(_announced([Event(1, 2, "like")] * 3, None)) == [[], [], []]
