"""Parsing ready summaries: the counts, the changes after them, and what a process remembers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.model import Tier
from reactions.core.settings import Settings
from reactions.redis import summary_parser
from reactions.redis.summary_parser import SummaryParser, fold_changes, parse_base

POST, OTHER = 1042, 1043
SETTINGS = Settings(viral_threshold=10)


@pytest.mark.parametrize(
    ("base", "tier", "counts"),
    [
        (b"0,1,5", 0, {1: 5}),
        (b"1,1,5,3,2", 1, {1: 5, 3: 2}),
        (b"0,1,-1", 0, {1: -1}),  # while an unknown earlier reaction is guessed
        (b"2,", 2, {}),
        (b"0,200,1", 0, {200: 1}),  # a type that a newer version knows
        (b"1,0,1700000000000000,1,5", 1, {1: 5}),  # with a stamp
        (b"2,0,1700000000000000,", 2, {}),
    ],
)
def test_the_base_of_a_summary(base: bytes, tier: int, counts: dict[int, int]) -> None:
    assert parse_base(base) == (tier, counts)


def test_changes_are_folded_in_their_order() -> None:
    counts = {1: 5}
    found = fold_changes(counts, b"8:3;7:0:2;7:2:1;9:1:0")
    assert found == ({0: 1, 1: 5, 2: 0} | {0: 0}, {8: 3, 7: 1, 9: 0})
    assert counts == {1: 5}


def test_texts_that_differ_by_their_stamp_share_their_counts() -> None:
    parser = SummaryParser(SETTINGS)
    first, _ = parser.parse(POST, b"0,0,1700000000000000,1,5")
    again, listed = parser.parse(OTHER, b"0,0,1700000000000001,1,5;7:0:1")
    assert (again.by_code, listed) == ({0: -1, 1: 6}, {7: 1})
    assert parser.parse(OTHER, b"0,0,1700000000000002,1,5")[0] is first


CHANGES = st.lists(
    st.tuples(st.integers(1, 4), st.integers(-1, 3), st.integers(0, 3)).map(
        lambda c: f"{c[0]}:{c[2]}" if c[1] < 0 else f"{c[0]}:{c[1]}:{c[2]}"
    ),
    max_size=12,
)


@given(
    base=st.sampled_from(["0,1,5", "0,1,9,2,0", "1,1,9", "0,3,-1"]),
    steps=st.lists(st.tuples(CHANGES, st.sampled_from([POST, OTHER]), st.booleans()), max_size=6),
)
def test_a_longer_summary_is_read_as_if_nothing_were_known(
    base: str, steps: list[tuple[list[str], int, bool]]
) -> None:
    """Only what was added is parsed; the answer is that of a process that meets it first."""
    known = SummaryParser(SETTINGS)
    texts = {POST: base, OTHER: base}
    for changes, post, starts_anew in steps:
        texts[post] = ";".join([base if starts_anew else texts[post], *changes])
        text = texts[post].encode()
        counts, listed = known.parse(post, text)
        fresh, fresh_listed = SummaryParser(SETTINGS).parse(post, text)
        assert (counts.tier, counts.total, listed) == (fresh.tier, fresh.total, fresh_listed)
        assert counts.by_name == fresh.by_name


def test_a_summary_that_only_begins_like_the_last_one() -> None:
    """0,1,5;7:0:1 and then 0,1,5;7:0:12 is no longer form of it."""
    parser = SummaryParser(SETTINGS)
    assert parser.parse(POST, b"0,1,5;7:0:1")[0].total == 6
    counts, listed = parser.parse(POST, b"0,1,5;7:0:12")
    assert (counts.total, listed) == (5, {7: 12})


def test_a_post_that_falls_below_the_threshold_again() -> None:
    parser = SummaryParser(SETTINGS)
    assert parser.parse(POST, b"0,1,9")[0].tier is Tier.REGULAR
    assert parser.parse(POST, b"0,1,9;7:0:1")[0].tier is Tier.VIRAL
    assert parser.parse(POST, b"0,1,9;7:0:1;7:1:0")[0].tier is Tier.REGULAR


def test_a_text_that_cannot_be_read_leaves_what_is_known() -> None:
    parser = SummaryParser(SETTINGS)
    parser.parse(POST, b"0,1,5;7:0:1")
    with pytest.raises(ValueError, match="invalid literal"):
        parser.parse(POST, b"0,1,5;7:0:1;8:0:x")
    assert parser.parse(POST, b"0,1,5;7:0:1;8:0:1")[0].total == 7


def test_more_than_a_process_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary_parser, "MAX_PARSED", 10)
    monkeypatch.setattr(summary_parser, "MAX_FOLDED", 10)
    parser = SummaryParser(SETTINGS)
    for _ in range(2):
        for post in range(1, 36):
            assert parser.parse(post, b"0,3,%d" % post)[0].total == post
            assert parser.parse(post, b"0,3,%d;7:0:1" % post)[0].total == post + 1
        assert len(parser._parsed) <= 10
        assert len(parser._folded) <= 10
