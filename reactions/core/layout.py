"""The layout of Redis: which forms of its keys this version works with.

Redis holds ``number|oldest``. The number rises when a release gives keys a new form. ``oldest``
rises when nothing of an earlier form is written or read any more: processes that do not know that
form must not run beside it. docs/upgrades.md has the policy. PostgreSQL has revisions instead.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from reactions.core.errors import LayoutMismatch


class Layout(NamedTuple):
    """The form of the keys.

    Attributes:
        number: the newest form that a key may have.
        oldest: a process must know this form, or a later one, to work with the keys.
    """

    number: int
    oldest: int

    def __str__(self) -> str:
        return f"{self.number}|{self.oldest}"


CURRENT = Layout(number=1, oldest=1)
"""What ``reactions migrate`` of this version writes."""

READS = 1
"""The oldest form that this version can read: at least that of the release before."""

UPGRADE = "install the version of reactions that ran `reactions migrate` last"
"""What to do about a process that is too old."""

_FORM = re.compile(r"(\d{1,9})\|(\d{1,9})")


def parse(found: object) -> Layout | None:
    """Read a layout as Redis holds it; None if there is none, or if nobody of us wrote it."""
    text = found.decode("ascii", "replace") if isinstance(found, bytes) else found
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    return match and Layout(int(match[1]), int(match[2]))


def check(found: Layout | None) -> None:
    """Check that this version works with the layout. Without one, Redis is new or was emptied.

    Raises:
        LayoutMismatch: the layout is too new for this version, or too old.
    """
    if found is None:
        return
    if found.oldest > CURRENT.number:
        raise LayoutMismatch(
            f"Redis has layout {found.number}, which needs a version that knows layout"
            f" {found.oldest}; this one knows up to {CURRENT.number}",
            UPGRADE,
        )
    if found.number < READS:
        raise LayoutMismatch(
            f"Redis has layout {found.number}, and this version reads {READS} and later",
            f"install a version that knows both, drain with it, and run its `reactions migrate`;"
            f" {CURRENT.number} is the layout of this one",
        )
