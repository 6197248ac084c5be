"""How a hash of users is spread: linear hashing, whole contents, buckets that stay listpacks."""

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
"""hash-max-listpack-entries of Redis and Valkey; the mark is one of them."""


@given(IDS, st.integers(1, 600))
def test_every_user_has_one_of_the_buckets(user: int, count: int) -> None:
    assert 0 <= bucket_of(user, count) < count


@given(st.lists(IDS, min_size=1, max_size=300), st.integers(1, 600))
def test_growth_by_one_takes_entries_from_one_bucket_only(users: list[int], count: int) -> None:
    """Whoever moves, moves into the new bucket, and all of them from the same old one."""
    before = {user: bucket_of(user, count) for user in users}
    after = {user: bucket_of(user, count + 1) for user in users}
    moved = [user for user in users if before[user] != after[user]]
    assert {after[user] for user in moved} <= {count}
    donor = count - (1 << count.bit_length() - 1)
    assert {before[user] for user in moved} <= {donor}


def test_every_growth_by_one_really_divides_a_bucket() -> None:
    """With the users 1 to 20,000 a new bucket takes a half of one, and the others stay."""
    for count in (1, 2, 3, 7, 8, 63, 64, 99):
        before = Counter(bucket_of(user, count) for user in range(1, 20_001))
        after = Counter(bucket_of(user, count + 1) for user in range(1, 20_001))
        donor = count - (1 << count.bit_length() - 1)
        assert before[donor] == after[donor] + after[count]
        assert 0.4 < after[count] / before[donor] < 0.6
        assert all(before[b] == after[b] for b in range(count) if b != donor)


@given(st.dictionaries(IDS, st.integers(1, 127), max_size=1_000))
def test_everyone_is_in_exactly_one_bucket_and_it_is_theirs(rows: dict[int, int]) -> None:
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
    """It is written first: where a key was lost between two of its pieces, so is its mark."""
    assert [next(iter(bucket)) for bucket in spread(rows)] == [MARK] * len(spread(rows))


@given(st.integers(0, 200_000))
@example(0)
@example(FILL)
@example(FILL + 1)
def test_a_hash_is_loaded_into_the_fewest_buckets_that_are_not_too_full(entries: int) -> None:
    """A power of two, as then none is twice as full as others; and with room up to FULL."""
    count = count_for(entries)
    assert count & (count - 1) == 0
    assert entries <= count * FILL < count * FULL
    assert count == 1 or entries > count // 2 * FILL


def _random(numbers: int) -> list[int]:
    source = random.Random(5)  # noqa: S311 - not for secrecy
    return [source.randrange(1, MAX_ID) for _ in range(numbers)]


def _stride(step: int, first: int = 0) -> Callable[[int], list[int]]:
    return lambda numbers: [first + step * k for k in range(1, numbers + 1)]


def _snowflakes(numbers: int) -> list[int]:
    """Milliseconds, worker, sequence: nearly all of the lowest 12 bits are always the same."""
    source = random.Random(6)  # noqa: S311 - not for secrecy
    return [(source.randrange(10**11, 2 * 10**11) << 22) | (7 << 12) for _ in range(numbers)]


FAMILIES: dict[str, Callable[[int], list[int]]] = {
    "random": _random,
    "snowflakes": _snowflakes,
    "one after the other": _stride(1),
    "every second": _stride(2),
    "multiples of 8": _stride(8),
    "multiples of 64": _stride(64),
    "multiples of 100": _stride(100),
    "one shard of 100": _stride(100, 42),
    "multiples of 1000": _stride(1000),
    "multiples of 4096": _stride(4096),
    "multiples of 2^32": _stride(2**32),
}

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # 100,000 users, the highest threshold


@pytest.mark.parametrize("family", FAMILIES)
def test_a_loaded_hash_stays_in_listpacks(family: str) -> None:
    """At the average that it is loaded with."""
    ids = FAMILIES[family](max(COUNTS) * FILL)
    worst = {count: _fullest(ids[: count * FILL], count) for count in COUNTS}
    assert {count: size for count, size in worst.items() if size >= LISTPACK} == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hash_stays_in_listpacks_until_it_is_to_grow(family: str) -> None:
    """At the highest average that ``settle`` lets pass; the mark is an entry too."""
    ids = FAMILIES[family](max(COUNTS) * FULL)
    worst = {count: _fullest(ids[: count * FULL], count) for count in COUNTS}
    assert {count: size for count, size in worst.items() if size >= LISTPACK} == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sample_stays_in_listpacks(family: str) -> None:
    """Also while it is one longer, for a moment."""
    assert _fullest(FAMILIES[family](SAMPLE_SIZE + 1), count_for(SAMPLE_SIZE)) < LISTPACK


def test_ids_that_are_made_to_meet_are_right_all_the_same() -> None:
    """Any fixed arithmetic has such a family; theirs is no listpack, and nothing else is lost."""
    rows = {PRIME * k: 1 + k % 3 for k in range(1, 3_001)}
    contents = spread(rows)
    assert len(contents) == count_for(3_000)
    assert {user: code for user, code in contents[0].items() if user != MARK} == rows
    assert contents[1:] == [{MARK: 1}] * (len(contents) - 1)


def _fullest(ids: list[int], count: int) -> int:
    return max(Counter(bucket_of(user, count) for user in ids).values())
