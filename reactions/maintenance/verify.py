"""Walks everything and holds the stores against each other, and against what a trace says.

Knows what is pending: Redis must equal database + pending, never the database alone. Each look at a
post is fenced; where a drain claims it meanwhile, the look is taken again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reactions.core.settings import Settings
from reactions.maintenance.checker import PostChecker
from reactions.maintenance.compare import GAPS, Difference, Kind
from reactions.postgres.database import Database
from reactions.postgres.dead_letters import DeadLetters
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from reactions.redis.connection import Client
from reactions.redis.outbox_state import OutboxState

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
        reactions: of theirs, by the counts table.
        cached, hashes, samples: posts with counts, a complete hash, a sample in Redis.
        pending: changes that are not in the database yet.
        dead_letters: changes that the database refused.
        undecided: posts that were being drained at every look.
        found: differences by kind (``compare.Kind``).
        repaired: of those.
        examples: the first differences, in words.
    """

    posts: int = 0
    reactions: int = 0
    cached: int = 0
    hashes: int = 0
    samples: int = 0
    pending: int = 0
    dead_letters: int = 0
    undecided: int = 0
    found: Counter[str] = field(default_factory=Counter)
    repaired: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def drifted_counts_database(self) -> int:
        """(post, type) whose counts table differs from the rows."""
        return self.found[Kind.LEDGER]

    @property
    def drifted_counts_redis(self) -> int:
        """(post, type) whose cached count differs from database + pending."""
        return self.found[Kind.COUNTS]

    @property
    def drifted_hashes(self) -> int:
        """Posts whose complete hash differs from the rows + pending."""
        return self.found[Kind.HASH]

    @property
    def drifted_samples(self) -> int:
        """Differences of what is cached of viral posts."""
        return sum(self.found[kind] for kind in (Kind.SAMPLE, Kind.TOTAL, Kind.FLAG))

    @property
    def holds(self) -> bool:
        """Nothing was left wrong, and every post could be decided. A gap is not wrong."""
        wrong = sum(number for kind, number in self.found.items() if kind not in GAPS)
        return (not wrong or self.repaired == self.found.total()) and not self.undecided

    def note(self, example: str) -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


class Verifier:
    """Walks every post that PostgreSQL or the outbox knows."""

    def __init__(
        self, client: Client, database: Database, settings: Settings, *, repair: bool = False
    ) -> None:
        self._checker = PostChecker(client, database, settings)
        self._outbox_state = OutboxState(client, settings)
        self._dead_letters = DeadLetters(database)
        self._posts = Posts(database)
        self._repair = repair

    def verify(
        self,
        progress: Callable[[int], None] = lambda _: None,
        post_ids: Sequence[int] | None = None,
    ) -> Verification:
        """Compare these posts, or all. Without ``repair``, changes nothing but refuses loads.

        Raises:
            ReactionsUnavailable: a store failed.
        """
        found = Verification()
        for chunk in self._chunks() if post_ids is None else [post_ids]:
            for portion in self._checker.portions(chunk):
                self._verify_chunk(portion, found)
                progress(found.posts)
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
        fresh = [post_id for post_id in self._outbox_state.dirty_posts() if post_id not in seen]
        for start in range(0, len(fresh), CHUNK):
            yield fresh[start : start + CHUNK]

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
    """Reactions by which the rows differ from what must be the case, one by one.

    Args:
        expected: post -> user -> type code; a reaction that is in neither is no mismatch.
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
