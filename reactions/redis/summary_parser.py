"""Parses ready summaries, and remembers what it parsed, since most of it comes again.

``lua/include/summary.lua`` says what a summary holds: the counts when it was written, and then each
change since.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from reactions.core.frozen_counts import FrozenCounts
from reactions.core.model import Tier
from reactions.core.settings import Settings

REGULAR, VIRAL, DELETED = 0, 1, 2
"""Tiers as a summary has them."""

MAX_PARSED = 10_000
"""Distinct counts that a process remembers in parsed form."""

MAX_FOLDED = 10_000
"""Posts of which a process remembers the last summary with changes, or a stamp, in parsed form."""

_STAMPED = b",0,"
"""Follows the tier if a stamp comes next; no reaction type has the code 0."""

_NOBODY: Mapping[int, int] = {}


class ReadyCounts(NamedTuple):
    """The counts of a summary, parsed once for all posts that have the same."""

    tier: Tier
    by_code: Mapping[int, int]
    by_name: FrozenCounts
    total: int


class _Folded(NamedTuple):
    """A summary with changes or a stamp. The next one often is the same, or this and a few more."""

    text: bytes
    viral: bool
    counts: ReadyCounts
    listed: Mapping[int, int]


class SummaryParser:
    """Parses the summaries of one process. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._threshold = settings.viral_threshold
        self._names = {code: name for name, code in settings.reaction_types.items()}
        self._parsed: dict[bytes, ReadyCounts] = {}
        self._folded: dict[int, _Folded] = {}

    def parse(self, post_id: int, text: bytes) -> tuple[ReadyCounts, Mapping[int, int]]:
        """Return the counts with all changes, and user -> code of every user who is listed.

        Raises:
            ValueError: no script of this library wrote it.
        """
        counts = self._parsed.get(text)
        if counts is not None:
            return counts, _NOBODY
        known = self._folded.get(post_id)
        if known is None or known.text != text:
            base, _, changes = text.partition(b";")
            if changes:
                known = self._fold(text, base, changes, known)
            elif is_stamped(text):
                counts = self._base(base)
                known = _Folded(text, counts.tier is Tier.VIRAL, counts, _NOBODY)
            else:
                return self._base(base), _NOBODY
            if len(self._folded) >= MAX_FOLDED:
                self._folded.clear()
            self._folded[post_id] = known
        return known.counts, known.listed

    def _fold(self, text: bytes, base: bytes, changes: bytes, known: _Folded | None) -> _Folded:
        if known is not None and text.startswith(known.text + b";"):
            viral, by_code, listed = known.viral, known.counts.by_code, known.listed
            changes = text[len(known.text) + 1 :]
        else:
            counts = self._base(base)
            viral, by_code, listed = counts.tier is Tier.VIRAL, counts.by_code, _NOBODY
        by_code, listed = fold_changes(by_code, changes, listed)
        return _Folded(text, viral, self._counts(viral, by_code), listed)

    def _base(self, stamped: bytes) -> ReadyCounts:
        base = _without_stamp(stamped)
        known = self._parsed.get(base)
        if known is not None:
            return known
        tier, by_code = parse_base(base)
        if tier == DELETED:
            counts = self._counts(False, {})._replace(tier=Tier.DELETED)
        else:
            counts = self._counts(tier == VIRAL, by_code)
        if len(self._parsed) >= MAX_PARSED:
            self._parsed.clear()
        self._parsed[base] = counts
        return counts

    def _counts(self, viral: bool, by_code: Mapping[int, int]) -> ReadyCounts:
        # A count can be below zero for a moment, while an unknown earlier reaction is guessed.
        by_name = FrozenCounts(
            (name, max(0, by_code.get(code, 0))) for code, name in self._names.items()
        )
        total = sum(by_name.values())
        tier = Tier.VIRAL if viral or total >= self._threshold else Tier.REGULAR
        return ReadyCounts(tier, by_code, by_name, total)


def is_stamped(text: bytes) -> bool:
    """Whether no other summary of the post ever has this text; ``lua/include/summary.lua``."""
    return text[1:4] == _STAMPED


def _without_stamp(base: bytes) -> bytes:
    if not is_stamped(base):
        return base
    end = base.find(b",", 4)
    return base[:1] + base[end:] if end > 0 else base[:1]


def parse_base(base: bytes) -> tuple[int, dict[int, int]]:
    """The tier and the counts (code -> number) of a summary before its first ``;``.

    Raises:
        ValueError: no script of this library wrote it.
    """
    tier, *flat = map(int, _without_stamp(base).rstrip(b",").split(b","))
    if tier not in (REGULAR, VIRAL, DELETED):
        raise ValueError(f"no tier: {tier}")
    return tier, dict(zip(flat[::2], flat[1::2], strict=True))


def fold_changes(
    counts: Mapping[int, int], changes: bytes, listed: Mapping[int, int] = _NOBODY
) -> tuple[dict[int, int], dict[int, int]]:
    """The counts after the changes of a summary, and user -> code of everyone who is listed.

    Args:
        listed: who was listed before.

    Raises:
        ValueError: as ``parse_base``.
    """
    by_code, users = dict(counts), dict(listed)
    for change in changes.split(b";"):
        user, *steps, new = map(int, change.split(b":"))
        users[user] = new
        if steps:
            (previous,) = steps
            by_code[previous] = by_code.get(previous, 0) - 1
            by_code[new] = by_code.get(new, 0) + 1
    return by_code, users
