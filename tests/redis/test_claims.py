"""``claims``: which entries are rows, and how long a lease lasts."""

from __future__ import annotations

import pytest

from reactions.core.model import Row
from reactions.redis.claims import BadEntry, Claim, ClaimedPost, entry_of, settled, version_of


@pytest.mark.parametrize("user", [b"0", b"-7", b"07", b"x", b"9" * 19])
def test_an_entry_of_no_user_is_a_bad_one(user: bytes) -> None:
    assert entry_of("5", user, b"1:2") == BadEntry("5", user.decode(), "1:2")


@pytest.mark.parametrize("value", [b"", b"1", b"1:", b":1", b" 1:2", b"1:-2", b"1:2:3", b"\xff"])
def test_an_entry_without_code_and_version_is_a_bad_one(value: bytes) -> None:
    assert entry_of("5", b"7", value) == BadEntry("5", "7", value.decode(errors="replace"))


def test_any_other_entry_is_a_row() -> None:
    assert entry_of("5", b"7", b"3:12") == Row(5, 7, 3, 12)


@pytest.mark.parametrize(
    ("written", "version"),
    [(None, 0), (b"", 0), (b"12", 12), (b"-1", 0), (b"1e3", 0), (b"9" * 16, 0), (b"9" * 17, 0)],
)
def test_anything_but_a_version_is_zero(written: bytes | None, version: int) -> None:
    assert version_of(written) == version


def test_a_lease_ends_a_tenth_early_and_is_extended_from_the_request() -> None:
    claim = Claim(42, "t", claimed_at=1_000_000, more=0, posts=[], lease_us=10_000_000)
    assert claim.lease_until() == 10_000_000
    claim.note_extension(claim._started + 5.0)
    assert claim.lease_until() == 15_000_000


def test_a_rate_counts_at_least_one_second() -> None:
    post = ClaimedPost(5, size=30, entries=None, since=1_000_000)
    assert post.rate(1_000_001) == 30
    assert post.rate(4_000_000) == 10


def test_a_lost_settlement_has_nothing_to_do() -> None:
    assert settled([0]).lost
