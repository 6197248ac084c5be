"""Compares the stores with each other, and with what a trace says must be the case.

Knows what is pending: Redis must equal database + pending, never the database alone. Each look at a
post is fenced; where a drain claims it meanwhile, the look is taken again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reactions.buckets import bucket_of
from reactions.cache import Cache, Snapshot
from reactions.client import Client
from reactions.database import Database
from reactions.ledger import Ledger
from reactions.outbox import Outbox
from reactions.queries import Queries, Stored
from reactions.scripts import Fenced
from reactions.settings import SAMPLE, Settings

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
        drifted_samples: viral posts whose sample is not the newest of the rows + pending, in order,
            or whose total is not the sum of their counts.
        cached: posts with counts in Redis.
        hashes: posts with a complete hash in Redis.
        samples: viral posts with a sample in Redis.
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
    drifted_samples: int = 0
    cached: int = 0
    hashes: int = 0
    samples: int = 0
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
            or self.drifted_samples
            or self.undecided
        )

    def note(self, example: str) -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


class Verifier:
    """Walks every post that PostgreSQL or the outbox knows."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._cache = Cache(client, settings)
        self._outbox = Outbox(client, settings)
        self._ledger = Ledger(database)
        self._queries = Queries(database)
        self._whole_hash = settings.viral_threshold
        self._viral_from = int(settings.viral_threshold * settings.viral_hysteresis)

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
        while chunk := self._queries.posts(after, CHUNK):
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
            tiers = self._cache.fence_many(todo, token)
            fenced = list(tiers)
            stored = self._queries.stored(
                fenced, rows_up_to=self._whole_hash, newest_from=self._viral_from, newest=2 * SAMPLE
            )
            snapshots = self._cache.snapshots(fenced)
            decided = set()
            for post_id, snapshot in zip(fenced, snapshots, strict=True):
                if tiers[post_id] is Fenced.DELETED:
                    decided.add(post_id)
                    _compare_counts(post_id, stored[post_id], found)
                elif snapshot.loading == token:  # nothing was claimed since the fence
                    decided.add(post_id)
                    _compare(post_id, stored[post_id], snapshot, found)
            todo = [post_id for post_id in todo if post_id not in decided]
            if todo and time.monotonic() > deadline:
                found.undecided += len(todo)
                return
            if todo:
                time.sleep(0.02)


def _compare_counts(post_id: int, stored: Stored, found: Verification) -> None:
    found.reactions += sum(n for code, n in stored.tally.items() if code)
    for code, rows, counted in _differences(stored.tally, stored.counts):
        found.drifted_counts_database += 1
        found.note(f"post {post_id}: {rows} rows of type {code}, the counts table has {counted}")


def _compare(post_id: int, stored: Stored, redis: Snapshot, found: Verification) -> None:
    _compare_counts(post_id, stored, found)
    if redis.counts:
        found.cached += 1
        expected = {
            code: stored.counts.get(code, 0) + redis.delta.get(code, 0)
            for code in _types(stored, redis)
        }
        for code, right, cached in _differences(expected, redis.counts):
            found.drifted_counts_redis += 1
            found.note(f"post {post_id}: type {code} is {right} with pending, Redis has {cached}")
    if redis.buckets > 0 and stored.rows is not None:
        _compare_hash(post_id, stored.rows, redis, found)
    if redis.sampled:
        _compare_sample(post_id, stored, redis, found)


def _compare_hash(
    post_id: int, rows: Mapping[int, int], redis: Snapshot, found: Verification
) -> None:
    """Of every bucket that is there, as each may be evicted alone."""
    found.hashes += redis.complete
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
        found.drifted_hashes += 1
        found.note(f"post {post_id}: the hash differs for users {sorted(users)[:5]}")


def _compare_sample(post_id: int, stored: Stored, redis: Snapshot, found: Verification) -> None:
    found.samples += 1
    fresh = sorted(redis.pending, key=lambda user_id: -redis.versions[user_id])
    newest = [(user_id, redis.pending[user_id]) for user_id in fresh if redis.pending[user_id]]
    newest += (
        (row.user_id, row.reaction) for row in stored.newest if row.user_id not in redis.pending
    )
    cached = [(user_id, redis.reactions.get(user_id)) for user_id in redis.recent]
    total = sum(stored.counts.get(c, 0) + redis.delta.get(c, 0) for c in _types(stored, redis))
    wrong = None
    if cached != newest[: len(cached)] or len(redis.reactions) != len(cached):
        wrong = "the sample is not the newest in order"
    elif not redis.pending and len(cached) < min(SAMPLE, total):
        wrong = f"the sample has {len(cached)}"
    elif redis.total not in (None, total):
        wrong = f"the total is {total} with pending, Redis has {redis.total}"
    if wrong:
        found.drifted_samples += 1
        found.note(f"post {post_id}: {wrong}")


def _types(stored: Stored, redis: Snapshot) -> set[int]:
    return {code for code in stored.counts.keys() | redis.delta.keys() if code}


def _differences(
    left: Mapping[int, int], right: Mapping[int, int]
) -> Iterator[tuple[int, int, int]]:
    for code in sorted(left.keys() | right.keys()):
        if left.get(code, 0) != right.get(code, 0):
            yield code, left.get(code, 0), right.get(code, 0)


def mismatched(
    queries: Queries, expected: Mapping[int, Mapping[int, int]], note: Callable[[str], None]
) -> int:
    """Reactions by which the rows differ from what must be the case, one by one.

    Args:
        expected: post -> user -> type code; a reaction that is in neither is no mismatch.
    """
    wrong = 0
    posts = set(expected)
    after = 0
    while chunk := queries.posts(after, CHUNK):
        posts.update(chunk)
        after = chunk[-1]
    ordered = sorted(posts)
    for start in range(0, len(ordered), CHUNK):
        chunk = ordered[start : start + CHUNK]
        for post_id, rows in queries.reactions(chunk).items():
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
