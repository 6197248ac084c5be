"""Compares both stores for all posts, and the rows with a recorded trace.

Redis must equal database + pending, never the database alone. Each check of a post is fenced. When
a drain claims the post during the check, the verifier checks it again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reactions.core.settings import Settings
from reactions.maintenance.checker import PostChecker
from reactions.maintenance.compare import GAPS, Difference, Kind
from reactions.maintenance.user_checker import UserChecker
from reactions.postgres.database import Database
from reactions.postgres.dead_letters import DeadLetters
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from reactions.redis.cached_ids import CachedIds
from reactions.redis.connection import Client
from reactions.redis.outbox_state import OutboxState
from reactions.redis.user_cache import UserCache

CHUNK = 200
"""Posts that one query selects."""

PATIENCE_S = 10.0
"""A post that drains kept claiming for this long counts as undecided."""

MAX_EXAMPLES = 20


@dataclass(slots=True)
class Verification:
    """What a verification compared and found.

    Attributes:
        posts: posts checked.
        reactions: their reactions, by the counts table.
        cached: posts with counts in Redis.
        hashes: posts with a complete hash in Redis.
        samples: posts with a complete sample in Redis.
        users: users whose cached reactions were compared; 0 when only some posts were checked.
        pending: changes that are not in PostgreSQL yet.
        dead_letters: changes that PostgreSQL refused.
        undecided: posts that a drain claimed during every check.
        found: differences by kind (``compare.Kind``).
        repaired: how many of the differences were repaired.
        examples: the first 20 differences, in words.
    """

    posts: int = 0
    reactions: int = 0
    cached: int = 0
    hashes: int = 0
    samples: int = 0
    users: int = 0
    pending: int = 0
    dead_letters: int = 0
    undecided: int = 0
    found: Counter[str] = field(default_factory=Counter)
    repaired: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def drifted_counts_database(self) -> int:
        """Pairs (post, type) whose count in the counts table differs from the rows."""
        return self.found[Kind.LEDGER]

    @property
    def drifted_counts_redis(self) -> int:
        """Pairs (post, type) whose cached count differs from database + pending."""
        return self.found[Kind.COUNTS]

    @property
    def drifted_hashes(self) -> int:
        """Posts whose hash differs from rows + pending."""
        return self.found[Kind.HASH]

    @property
    def drifted_samples(self) -> int:
        """Differences in the sample, total or flag of posts."""
        return sum(self.found[kind] for kind in (Kind.SAMPLE, Kind.TOTAL, Kind.FLAG))

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong any more, and every post was decided. A gap is not wrong."""
        wrong = sum(number for kind, number in self.found.items() if kind not in GAPS)
        return (not wrong or self.repaired == self.found.total()) and not self.undecided

    def note(self, example: str) -> None:
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(example)


class Verifier:
    """Checks every post that PostgreSQL or Redis knows, and every user whom Redis knows."""

    def __init__(
        self, client: Client, database: Database, settings: Settings, *, repair: bool = False
    ) -> None:
        self._checker = PostChecker(client, database, settings)
        self._outbox_state = OutboxState(client, settings)
        self._cached = CachedIds(client, settings)
        users = UserCache(client, settings)
        self._users = UserChecker(client, database, settings, users, self._outbox_state)
        self._dead_letters = DeadLetters(database)
        self._posts = Posts(database)
        self._repair = repair

    def verify(
        self,
        progress: Callable[[int, int], None] = lambda _posts, _all: None,
        post_ids: Sequence[int] | None = None,
    ) -> Verification:
        """Compare these posts, or all. Calls ``progress`` with the posts compared and all posts.

        How many there are is an estimate until the last call.

        Without ``repair`` it changes nothing, but a load that runs during the check is refused.

        Raises:
            ReactionsUnavailable: a store failed.
        """
        found = Verification()
        total = len(post_ids or ()) or sum(self._posts.count_by_tier().values())
        for chunk in self._chunks() if post_ids is None else [post_ids]:
            for portion in self._checker.portions(chunk):
                self._verify_chunk(portion, found)
                progress(found.posts, max(total, found.posts))
        if post_ids is None:
            self._verify_users(found)
        progress(found.posts, found.posts)
        found.pending = self._outbox_state.pending()
        found.dead_letters = self._dead_letters.count()
        return found

    def _chunks(self) -> Iterator[list[int]]:
        seen = set()
        after = 0
        while chunk := self._posts.page(after, CHUNK):
            seen.update(chunk)
            after = chunk[-1]
            yield chunk
        for found in (set(self._outbox_state.dirty_posts()), *self._cached.posts()):
            fresh = sorted(found - seen)
            seen.update(fresh)
            for start in range(0, len(fresh), CHUNK):
                yield fresh[start : start + CHUNK]

    def _verify_users(self, found: Verification) -> None:
        for compared, differing in self._users.differing():
            found.users += compared
            for user_id, posts in differing.items():
                found.found[Kind.USER] += 1
                found.note(f"user {user_id}: the cached reactions to posts {posts[:5]} differ")
            if self._repair:
                self._users.drop(differing)
                found.repaired += len(differing)

    def _verify_chunk(self, chunk: Sequence[int], found: Verification) -> None:
        deadline = time.monotonic() + PATIENCE_S
        todo = list(chunk)
        found.posts += len(chunk)
        while todo:
            checked = self._checker.check(todo, count_rows=True)
            for post_id, stored in checked.decided.items():
                snapshot = checked.snapshots[post_id]
                found.reactions += sum(n for code, n in stored.counts.items() if code)
                found.cached += bool(snapshot.counts)
                found.hashes += snapshot.complete
                found.samples += snapshot.sampled
            self._take(checked.differences, found)
            todo = [post_id for post_id in todo if post_id not in checked.decided]
            if todo and time.monotonic() > deadline:
                found.undecided += len(todo)
                return
            if todo:
                time.sleep(0.02)

    def _take(self, differences: Sequence[Difference], found: Verification) -> None:
        for difference in differences:
            found.found[difference.kind] += 1
            found.note(str(difference))
        if self._repair:
            found.repaired += self._checker.repair(differences)


def mismatched(
    database: Database, expected: Mapping[int, Mapping[int, int]], note: Callable[[str], None]
) -> int:
    """Count the users whose row differs from a trace.

    Args:
        expected: post -> user -> type code, the final reactions by the trace.
        note: called with a description of each difference.
    """
    wrong = 0
    posts = set(expected)
    after = 0
    walk, queries = Posts(database), Queries(database)
    while chunk := walk.page(after, CHUNK):
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
