"""The comparison of Redis with database + pending: each difference gets its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from reactions.core.model import Row
from reactions.maintenance.compare import Kind, Tiering, compare_cache, compare_keys, compare_ledger
from reactions.postgres.stored import Stored
from reactions.redis.replies import Snapshot

POST = 1042
TIERING = Tiering(viral=3, low=2)

STORED = Stored(counts={0: 1, 1: 2}, tally=None, rows={1: 1, 2: 1}, newest=None)
REGULAR = Snapshot(
    buckets=1,
    entries=[{1: 1, 2: 1}],
    counts={1: 2},
    pending={},
    versions={},
    claimed={},
    delta={},
    loading=None,
    viral=False,
    rising=False,
    total=None,
    recent=[],
    dirty=False,
    immortal=[],
)
STORED_VIRAL = Stored(
    counts={1: 3}, tally=None, rows=None, newest=[Row(POST, user, 1, user) for user in (3, 2, 1)]
)
VIRAL = replace(
    REGULAR,
    buckets=-1,
    entries=[{1: 1, 2: 1, 3: 1}],
    counts={1: 3},
    viral=True,
    total=3,
    recent=[3, 2, 1],
)


def kinds(stored: Stored, redis: Snapshot) -> list[Kind]:
    return [difference.kind for difference in compare_cache(POST, stored, redis, TIERING)]


@pytest.mark.parametrize(
    ("redis", "expected"),
    [
        (REGULAR, []),
        (replace(REGULAR, counts={}, buckets=0, entries=[]), []),
        (replace(REGULAR, counts={1: 3}), [Kind.COUNTS]),
        (replace(REGULAR, counts={1: 2, 5: 1}), [Kind.COUNTS]),
        (replace(REGULAR, entries=[{1: 1}]), [Kind.HASH]),
        (replace(REGULAR, entries=[None]), []),  # evicted, so there is nothing to compare
        (replace(REGULAR, total=3), [Kind.TOTAL]),
        (replace(REGULAR, viral=True), []),  # still at the lower threshold
    ],
)
def test_a_regular_post(redis: Snapshot, expected: list[Kind]) -> None:
    assert kinds(STORED, redis) == expected


def test_what_is_pending_counts() -> None:
    redis = replace(REGULAR, pending={3: 1}, versions={3: 9}, delta={1: 1})
    assert kinds(STORED, redis) == [Kind.COUNTS, Kind.HASH]
    assert kinds(STORED, replace(redis, counts={1: 3}, entries=[{1: 1, 2: 1, 3: 1}])) == []


@pytest.mark.parametrize(
    ("redis", "expected"),
    [
        (VIRAL, []),
        (replace(VIRAL, recent=[2, 3, 1]), [Kind.SAMPLE]),
        (replace(VIRAL, recent=[3, 2], entries=[{2: 1, 3: 1}]), [Kind.SHORT]),
        (replace(VIRAL, total=4), [Kind.TOTAL]),
        (replace(VIRAL, viral=False), [Kind.UNFLAGGED]),
    ],
)
def test_a_viral_post(redis: Snapshot, expected: list[Kind]) -> None:
    assert kinds(STORED_VIRAL, redis) == expected


def test_pending_changes_that_no_drain_finds_and_keys_without_a_ttl() -> None:
    redis = replace(REGULAR, pending={3: 1}, immortal=["a"])
    assert [found.kind for found in compare_keys(POST, redis)] == [Kind.UNLISTED, Kind.IMMORTAL]
    assert list(compare_keys(POST, replace(redis, dirty=True, immortal=[]))) == []


@pytest.mark.parametrize(("rising", "expected"), [(False, [Kind.FLAG]), (True, [])])
def test_a_flag_on_a_small_post_is_right_only_while_it_rises(
    rising: bool, expected: list[Kind]
) -> None:
    stored = replace(STORED, counts={1: 1}, rows={1: 1})
    redis = replace(REGULAR, entries=[{1: 1}], counts={1: 1}, viral=True, rising=rising)
    assert kinds(stored, redis) == expected


@pytest.mark.parametrize(
    ("tally", "counts", "wrong"),
    [({0: 1, 1: 2}, {0: 1, 1: 2}, 0), ({1: 2}, {1: 2, 2: 0}, 0), ({1: 2, 2: 1}, {1: 3}, 2)],
)
def test_the_counts_table(tally: Mapping[int, int], counts: Mapping[int, int], wrong: int) -> None:
    found = list(compare_ledger(POST, tally, counts))
    assert [difference.kind for difference in found] == [Kind.LEDGER] * wrong
