"""Compares what Redis has of a post with PostgreSQL, and names every difference. No I/O.

Redis must equal database + pending, never the database alone.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reactions.core.constants import SAMPLE_SIZE
from reactions.postgres.stored import Stored
from reactions.redis.buckets import bucket_of
from reactions.redis.replies import Snapshot
from reactions.redis.summary_parser import fold_changes, parse_base


class Kind(enum.StrEnum):
    """The kinds of differences."""

    LEDGER = "ledger"
    """The counts table differs from the rows."""
    COUNTS = "counts"
    """The cached counts differ."""
    HASH = "hash"
    """The hash of a regular post differs from its rows."""
    SAMPLE = "sample"
    """The sample of a viral post is not its newest reactions, in order."""
    SHORT = "short"
    """The sample is correct, but has fewer users than it could."""
    TOTAL = "total"
    """The total of a viral post is not the sum of its counts."""
    FLAG = "flag"
    """A post below the lower threshold is flagged as viral."""
    MISSING = "missing"
    """A viral post that changed within the last day has no sample."""
    UNFLAGGED = "unflagged"
    """A viral post, or a post with a sample, has no viral flag."""
    SUMMARY = "summary"
    """The ready summary differs from the counts, or lacks a user with a pending change."""
    USER = "user"
    """A user's own cache differs from their row."""
    UNLISTED = "unlisted"
    """The post has pending changes, but no drain would find them."""
    UNMARKED = "unmarked"
    """The post is deleted in PostgreSQL, but Redis accepts reactions on it."""
    IMMORTAL = "immortal"
    """A cache key has no TTL."""
    UNREADABLE = "unreadable"
    """A key has a value that no version of this library writes."""


GAPS = frozenset({Kind.SHORT, Kind.MISSING, Kind.UNFLAGGED})
"""Something is missing, as after an eviction, but nothing is wrong. Repaired, but not drift."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between the stores, described in words."""

    kind: Kind
    post_id: int
    detail: str

    def __str__(self) -> str:
        return f"post {self.post_id}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Tiering:
    """Thresholds in reactions: a post is viral from ``viral`` on, and stays so down to ``low``."""

    viral: int
    low: int


def compare_ledger(
    post_id: int, tally: Mapping[int, int], counts: Mapping[int, int]
) -> Iterator[Difference]:
    """Compare the counts table with the tally of the rows."""
    for code, rows, counted in _differences(tally, counts):
        yield Difference(
            Kind.LEDGER, post_id, f"{rows} rows of type {code}, the counts table has {counted}"
        )


def compare_cache(
    post_id: int, stored: Stored, redis: Snapshot, tiering: Tiering
) -> Iterator[Difference]:
    """Compare what Redis has of a post with the counts table and the rows, plus pending changes."""
    expected = {
        code: stored.counts.get(code, 0) + redis.delta.get(code, 0)
        for code in stored.counts.keys() | redis.delta.keys()
        if code
    }
    total = sum(expected.values())
    if redis.counts:
        for code, right, cached in _differences(expected, redis.counts):
            yield Difference(
                Kind.COUNTS, post_id, f"type {code} is {right} with pending, Redis has {cached}"
            )
    if redis.buckets > 0 and stored.rows is not None:
        yield from _compare_hash(post_id, stored.rows, redis)
    if redis.buckets < 0:
        yield from _compare_sample(post_id, stored, redis, total)
    if redis.total not in (None, total):
        yield Difference(
            Kind.TOTAL, post_id, f"the total is {total} with pending, Redis has {redis.total}"
        )
    yield from _compare_flag(post_id, redis, total, tiering)
    yield from _compare_summary(post_id, redis, expected)


def compare_keys(post_id: int, redis: Snapshot) -> Iterator[Difference]:
    """Check that a drain would find the pending changes, and that every cache key has a TTL."""
    if redis.pending and not redis.dirty:
        yield Difference(Kind.UNLISTED, post_id, "pending, but not listed in the outbox")
    if redis.immortal:
        yield Difference(Kind.IMMORTAL, post_id, f"without a TTL: {', '.join(redis.immortal)}")


def _compare_flag(
    post_id: int, redis: Snapshot, total: int, tiering: Tiering
) -> Iterator[Difference]:
    """Compare the flag, unless changes are pending: their settlement will set the tier."""
    if redis.pending:
        return
    if redis.viral and total < tiering.low and not redis.rising:
        yield Difference(Kind.FLAG, post_id, f"flagged as viral with {total} reactions")
    elif not redis.viral and total >= tiering.viral and (redis.counts or redis.buckets):
        yield Difference(Kind.UNFLAGGED, post_id, f"not flagged as viral with {total} reactions")
    elif redis.buckets < 0 and not redis.viral:
        yield Difference(Kind.UNFLAGGED, post_id, f"a sample without a flag, {total} reactions")


def _compare_summary(
    post_id: int, redis: Snapshot, expected: Mapping[int, int]
) -> Iterator[Difference]:
    """A feed believes the summary, so it must have the counts, and everyone who is pending."""
    if redis.summary is None:
        return
    base, _, changes = redis.summary.partition(b";")
    try:
        _, counts = parse_base(base)
        counts, listed = fold_changes(counts, changes) if changes else (counts, {})
    except ValueError:
        yield Difference(Kind.SUMMARY, post_id, "the summary cannot be read")
        return
    for code, right, ready in _differences(expected, counts):
        if code:
            text = f"type {code} is {right} with pending, the summary has {ready}"
            yield Difference(Kind.SUMMARY, post_id, text)
    wrong = [user for user, code in redis.pending.items() if listed.get(user) != code]
    if wrong:
        yield Difference(Kind.SUMMARY, post_id, f"the summary lacks changes of users {wrong[:5]}")


def _compare_hash(post_id: int, rows: Mapping[int, int], redis: Snapshot) -> Iterator[Difference]:
    """Compare every bucket that is there. Redis may have evicted any of them."""
    whole = {user_id: code for user_id, code in {**rows, **redis.pending}.items() if code}
    expected: list[dict[int, int]] = [{} for _ in redis.entries]
    for user_id, code in whole.items():
        expected[bucket_of(user_id, redis.buckets)][user_id] = code
    users = [
        user_id
        for right, cached in zip(expected, redis.entries, strict=True)
        if cached is not None
        for user_id in right.keys() | cached.keys()
        if right.get(user_id) != cached.get(user_id)
    ]
    if users:
        yield Difference(Kind.HASH, post_id, f"the hash differs for users {sorted(users)[:5]}")


def _compare_sample(
    post_id: int, stored: Stored, redis: Snapshot, total: int
) -> Iterator[Difference]:
    """Compare the sample. One that lost a part is known to be incomplete: no difference."""
    if not redis.sampled or stored.newest is None:
        return
    fresh = sorted(redis.pending, key=lambda user_id: -redis.versions[user_id])
    newest = [(user_id, redis.pending[user_id]) for user_id in fresh if redis.pending[user_id]]
    newest += (
        (row.user_id, row.reaction) for row in stored.newest if row.user_id not in redis.pending
    )
    homes = [bucket or {} for bucket in redis.entries]
    cached = [(user, homes[bucket_of(user, len(homes))].get(user)) for user in redis.recent]
    if cached != newest[: len(cached)] or sum(map(len, homes)) != len(cached):
        yield Difference(Kind.SAMPLE, post_id, "the sample is not the newest, in order")
    elif not redis.pending and len(cached) < min(SAMPLE_SIZE, total):
        yield Difference(Kind.SHORT, post_id, f"the sample has {len(cached)} of {total}")


def _differences(
    left: Mapping[int, int], right: Mapping[int, int]
) -> Iterator[tuple[int, int, int]]:
    for code in sorted(left.keys() | right.keys()):
        if left.get(code, 0) != right.get(code, 0):
            yield code, left.get(code, 0), right.get(code, 0)
