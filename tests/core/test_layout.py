"""``reactions.core.layout``: which layouts of Redis this version works with."""

from __future__ import annotations

import pytest

from reactions.core import layout
from reactions.core.errors import LayoutMismatch
from reactions.core.layout import CURRENT, Layout, check, parse


@pytest.mark.parametrize("found", [None, b"", b"1", "x|1", b"1|", b"\xff|1", "1|1|1", 7, ["1|1"]])
def test_what_nobody_of_us_wrote_is_no_layout(found: object) -> None:
    assert parse(found) is None


def test_a_layout_survives_the_way_through_redis() -> None:
    assert parse(str(Layout(12, 3)).encode()) == Layout(12, 3)


def test_this_version_works_with_what_it_writes() -> None:
    check(None)
    check(CURRENT)
    assert layout.READS <= CURRENT.oldest <= CURRENT.number


def test_a_newer_layout_is_no_hindrance_while_this_version_may_run_beside_it() -> None:
    check(Layout(CURRENT.number + 5, CURRENT.number))
    with pytest.raises(LayoutMismatch, match=r"knows layout 2; .* up to 1; install the version"):
        check(Layout(CURRENT.number + 5, CURRENT.number + 1))


def test_an_older_layout_is_refused_only_if_it_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layout, "CURRENT", Layout(4, 3))
    monkeypatch.setattr(layout, "READS", 3)
    check(Layout(3, 2))
    with pytest.raises(LayoutMismatch, match=r"reads 3 and later; .*`reactions migrate`"):
        check(Layout(2, 2))
