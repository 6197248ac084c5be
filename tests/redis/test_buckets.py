"""Buckets: linear hashing, complete contents, and buckets that stay listpacks."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reactions.core.constants import MAX_ID, SAMPLE_SIZE
from reactions.redis.buckets import FILL, FULL, MARK, PRIME, bucket_of, count_for, spread

IDS = st.one_of(st.integers(1, MAX_ID), st.integers(1, 1_000_000))
LISTPACK = 512
"""hash-max-listpack-entries of Redis and Valkey. The mark is one of the entries."""


@given(IDS, st.integers(1, 600))
def test_every_user_has_a_valid_bucket(user: int, count: int) -> None:
    assert 0 <= bucket_of(user, count) < count


@given(st.lists(IDS, min_size=1, max_size=300), st.integers(1, 600))
def test_growth_by_one_takes_entries_from_one_bucket_only(users: list[int], count: int) -> None:
    """Every user who moves, moves from the same old bucket into the new one."""
    before = {user: bucket_of(user, count) for user in users}
    after = {user: bucket_of(user, count + 1) for user in users}
    moved = [user for user in users if before[user] != after[user]]
    assert {after[user] for user in moved} <= {count}
    donor = count - (1 << count.bit_length() - 1)
    assert {before[user] for user in moved} <= {donor}


def test_growth_by_one_divides_a_bucket_in_halves() -> None:
    """The new bucket takes half of one bucket's users; the other buckets stay as they are."""
    for count in (1, 2, 3, 7, 8, 63, 64, 99):
        before = Counter(bucket_of(user, count) for user in range(1, 20_001))
        after = Counter(bucket_of(user, count + 1) for user in range(1, 20_001))
        donor = count - (1 << count.bit_length() - 1)
        assert before[donor] == after[donor] + after[count]
        assert 0.4 < after[count] / before[donor] < 0.6
        assert all(before[b] == after[b] for b in range(count) if b != donor)


@given(st.dictionaries(IDS, st.integers(1, 127), max_size=1_000))
def test_every_user_is_in_exactly_their_own_bucket(rows: dict[int, int]) -> None:
    contents = spread(rows)
    assert [bucket[MARK] for bucket in contents] == [len(contents)] + [1] * (len(contents) - 1)
    found = [
        (user, code, number)
        for number, bucket in enumerate(contents)
        for user, code in bucket.items()
        if user != MARK
    ]
    assert sorted((user, code) for user, code, _ in found) == sorted(rows.items())
    assert all(bucket_of(user, len(contents)) == number for user, _, number in found)


@given(st.dictionaries(IDS, st.integers(1, 127), max_size=500))
def test_the_mark_comes_first(rows: dict[int, int]) -> None:
    """Redis gets the mark first. If the key is evicted between two pieces, its mark is lost too."""
    assert [next(iter(bucket)) for bucket in spread(rows)] == [MARK] * len(spread(rows))


@given(st.integers(0, 200_000))
@example(0)
@example(FILL)
@example(FILL + 1)
def test_a_loaded_hash_has_the_fewest_buckets_that_fit(entries: int) -> None:
    """The count is a power of two, which fills all buckets evenly, and leaves room up to FULL."""
    count = count_for(entries)
    assert count & (count - 1) == 0
    assert entries <= count * FILL < count * FULL
    assert count == 1 or entries > count // 2 * FILL


def _random(numbers: int) -> list[int]:
    source = random.Random(5)  # noqa: S311 - not a secret
    return [source.randrange(1, MAX_ID) for _ in range(numbers)]


def _stride(step: int, first: int = 0) -> Callable[[int], list[int]]:
    return lambda numbers: [first + step * k for k in range(1, numbers + 1)]


def _snowflakes(numbers: int) -> list[int]:
    """Ids of milliseconds, worker and sequence: the lowest 22 bits are always the same."""
    source = random.Random(6)  # noqa: S311 - not a secret
    return [(source.randrange(10**11, 2 * 10**11) << 22) | (7 << 12) for _ in range(numbers)]


FAMILIES: dict[str, Callable[[int], list[int]]] = {
    "random": _random,
    "snowflakes": _snowflakes,
    "consecutive": _stride(1),
    "every second": _stride(2),
    "multiples of 8": _stride(8),
    "multiples of 64": _stride(64),
    "multiples of 100": _stride(100),
    "one shard of 100": _stride(100, 42),
    "multiples of 1000": _stride(1000),
    "multiples of 4096": _stride(4096),
    "multiples of 2^32": _stride(2**32),
}

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # up to 100,000 users, the highest viral_threshold


@pytest.mark.parametrize("family", FAMILIES)
def test_a_loaded_hash_stays_in_listpacks(family: str) -> None:
    """Even at the highest average of a loaded hash."""
    ids = FAMILIES[family](max(COUNTS) * FILL)
    worst = {count: _fullest(ids[: count * FILL], count) for count in COUNTS}
    assert {count: size for count, size in worst.items() if size >= LISTPACK} == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hash_stays_in_listpacks_until_it_grows(family: str) -> None:
    """Even at the highest average that ``settle`` accepts. The mark is an entry too."""
    ids = FAMILIES[family](max(COUNTS) * FULL)
    worst = {count: _fullest(ids[: count * FULL], count) for count in COUNTS}
    assert {count: size for count, size in worst.items() if size >= LISTPACK} == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sample_stays_in_listpacks(family: str) -> None:
    """Even while it is one user too long, for a moment."""
    assert _fullest(FAMILIES[family](SAMPLE_SIZE + 1), count_for(SAMPLE_SIZE)) < LISTPACK


def test_ids_that_all_fall_into_one_bucket_lose_nothing() -> None:
    """Any fixed hash function has such ids. Their bucket only costs more memory."""
    rows = {PRIME * k: 1 + k % 3 for k in range(1, 3_001)}
    contents = spread(rows)
    assert len(contents) == count_for(3_000)
    assert {user: code for user, code in contents[0].items() if user != MARK} == rows
    assert contents[1:] == [{MARK: 1}] * (len(contents) - 1)


def _fullest(ids: list[int], count: int) -> int:
    return max(Counter(bucket_of(user, count) for user in ids).values())
