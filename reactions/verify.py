"""Compares the stores with each other, and with what a trace says must be the case.

Knows what is pending: Redis must equal database + pending, never the database alone. Each look at a
post is fenced; where a drain claims it meanwhile, the look is taken again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reactions.hot import Hot, Snapshot
from reactions.ledger import Ledger, Stored
from reactions.outbox import Outbox

CHUNK = 200
"""Posts looked at together."""

PATIENCE_S = 10.0
"""How long a post that is being drained is looked at again before it counts as undecided."""

EXAMPLES = 20


@dataclass(slots=True)
class Verification:
    """What was compared, and what differs.

    Attributes:
        posts: posts looked at.
        reactions: rows of theirs that are not removed.
        drifted_counts_database: (post, type) whose counts table differs from the rows.
        drifted_counts_redis: (post, type) whose cached count differs from database + pending.
        drifted_hashes: posts whose complete hash differs from the rows + pending.
        cached: posts with counts in Redis.
        pending: changes that are not in the database yet.
        dead_letters: changes that the database refused.
        undecided: posts that were being drained at every look.
        examples: the first differences, in words.
    """

    posts: int = 0
    reactions: int = 0
    drifted_counts_database: int = 0
    drifted_counts_redis: int = 0
    drifted_hashes: int = 0
    cached: int = 0
    pending: int = 0
    dead_letters: int = 0
    undecided: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """No difference was found, and every post could be decided."""
        return not (
            self.drifted_counts_database
            or self.drifted_counts_redis
            or self.drifted_hashes
            or self.undecided
        )

    def note(self, example: str) -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


class Verifier:
    """Walks every post that PostgreSQL or the outbox knows."""

    def __init__(self, hot: Hot, outbox: Outbox, ledger: Ledger, *, whole_hash: int) -> None:
        self._hot = hot
        self._outbox = outbox
        self._ledger = ledger
        self._whole_hash = whole_hash

    def verify(self, progress: Callable[[int], None] = lambda _: None) -> Verification:
        """Compare all posts. Changes nothing, but a load under way may be refused.

        Raises:
            ReactionsUnavailable: a store failed.
        """
        found = Verification()
        for chunk in self._chunks():
            self._verify_chunk(chunk, found)
            found.posts += len(chunk)
            progress(found.posts)
        found.pending = self._outbox.pending()
        found.dead_letters = self._ledger.dead_letters()
        return found

    def _chunks(self) -> Iterator[list[int]]:
        seen = set()
        after = 0
        while chunk := self._ledger.posts(after, CHUNK):
            seen.update(chunk)
            after = chunk[-1]
            yield chunk
        fresh = [post_id for post_id in self._outbox.dirty_posts() if post_id not in seen]
        for start in range(0, len(fresh), CHUNK):
            yield fresh[start : start + CHUNK]

    def _verify_chunk(self, chunk: Sequence[int], found: Verification) -> None:
        deadline = time.monotonic() + PATIENCE_S
        todo = list(chunk)
        while todo:
            token = secrets.token_hex(8)
            fenced = self._hot.fence_many(todo, token)
            stored = self._ledger.stored(fenced, self._whole_hash)
            snapshots = self._hot.snapshots(fenced)
            decided = set()
            for post_id, snapshot in zip(fenced, snapshots, strict=True):
                if snapshot.loading == token:  # nothing was claimed since the fence
                    decided.add(post_id)
                    _compare(post_id, stored[post_id], snapshot, found)
            todo = [post_id for post_id in todo if post_id not in decided]
            if todo and time.monotonic() > deadline:
                found.undecided += len(todo)
                return
            if todo:
                time.sleep(0.02)


def _compare(post_id: int, stored: Stored, redis: Snapshot, found: Verification) -> None:
    found.reactions += sum(stored.tally.values())
    for code, rows, counted in _differences(stored.tally, stored.counts):
        found.drifted_counts_database += 1
        found.note(f"post {post_id}: {rows} rows of type {code}, the counts table has {counted}")
    if redis.counts:
        found.cached += 1
        expected = {
            code: stored.counts.get(code, 0) + redis.delta.get(code, 0)
            for code in stored.counts.keys() | redis.delta.keys()
        }
        for code, right, cached in _differences(expected, redis.counts):
            found.drifted_counts_redis += 1
            found.note(f"post {post_id}: type {code} is {right} with pending, Redis has {cached}")
    if redis.complete and stored.rows is not None:
        whole = {**stored.rows, **redis.pending}
        whole = {user_id: code for user_id, code in whole.items() if code}
        if whole != redis.reactions:
            found.drifted_hashes += 1
            users = sorted(
                u
                for u in whole.keys() | redis.reactions.keys()
                if whole.get(u) != redis.reactions.get(u)
            )
            found.note(f"post {post_id}: the hash differs for users {users[:5]}")


def _differences(
    left: Mapping[int, int], right: Mapping[int, int]
) -> Iterator[tuple[int, int, int]]:
    for code in sorted(left.keys() | right.keys()):
        if left.get(code, 0) != right.get(code, 0):
            yield code, left.get(code, 0), right.get(code, 0)


def mismatched(
    ledger: Ledger, expected: Mapping[int, Mapping[int, int]], note: Callable[[str], None]
) -> int:
    """Reactions by which the rows differ from what must be the case, one by one.

    Args:
        expected: post -> user -> type code; a reaction that is in neither is no mismatch.
    """
    wrong = 0
    posts = set(expected)
    after = 0
    while chunk := ledger.posts(after, CHUNK):
        posts.update(chunk)
        after = chunk[-1]
    ordered = sorted(posts)
    for start in range(0, len(ordered), CHUNK):
        chunk = ordered[start : start + CHUNK]
        for post_id, rows in ledger.reactions(chunk).items():
            wanted = expected.get(post_id, {})
            if rows == wanted:
                continue
            for user_id in rows.keys() | wanted.keys():
                if rows.get(user_id) != wanted.get(user_id):
                    wrong += 1
                    note(
                        f"post {post_id}, user {user_id}: the database has type "
                        f"{rows.get(user_id)}, the trace says {wanted.get(user_id)}"
                    )
    return wrong
