"""Compares the caches of posts with PostgreSQL, and repairs differences.

A check is fenced: when a drain claims a post during the check, the check does not decide about that
post. A repair drops caches and loads them again, so it cannot make anything wrong.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from reactions.core.constants import SAMPLE_SIZE
from reactions.core.errors import ScriptError
from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.drain.cache_loader import CacheLoader
from reactions.maintenance.compare import (
    Difference,
    Kind,
    Tiering,
    compare_cache,
    compare_keys,
    compare_ledger,
)
from reactions.postgres.database import Database
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from reactions.postgres.row_counts import RowCounts
from reactions.postgres.stored import Stored, read_stored
from reactions.redis.cache_install import CacheInstall
from reactions.redis.connection import Client
from reactions.redis.outbox_state import OutboxState
from reactions.redis.post_snapshots import PostSnapshots
from reactions.redis.quarantine import Quarantine
from reactions.redis.replies import Snapshot
from reactions.redis.scripts.loading import FenceReply
from reactions.redis.user_cache import UserCache
from reactions.redis.writes import RedisWrites

SAMPLED = (PostTier.VIRAL, PostTier.RISING)
"""Tiers whose posts have a sample."""

MAX_CHECKED_USERS = 200
"""Users of a post whose own cache is checked: the newest, because they read most."""

MAX_COMPARED_ROWS = 50_000
"""Rows of posts compared together."""

SLICE = 5_000
"""Rows that one transaction of an audit counts. Drains of the shard wait about 20 ms for it."""


@dataclass(slots=True)
class Checked:
    """The result of a check.

    Attributes:
        decided: post -> what PostgreSQL stores. A post that a drain claimed is missing.
        snapshots: post -> what Redis had, for the decided posts.
        differences: all differences of the decided posts.
    """

    decided: dict[int, Stored] = field(default_factory=dict)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)


class PostChecker:
    """Checks and repairs posts."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._cache = CacheInstall(client, settings)
        self._snapshots = PostSnapshots(client, settings)
        self._users = UserCache(client, settings)
        self._outbox_state = OutboxState(client, settings)
        self._writes = RedisWrites(client, settings)
        self._database = database
        self._posts = Posts(database)
        self._queries = Queries(database)
        self._row_counts = RowCounts(database)
        self._quarantine = Quarantine(client, settings)
        self._loader = CacheLoader(self._cache, self._queries, settings)
        low = int(settings.viral_threshold * settings.viral_hysteresis)
        self._tiering = Tiering(settings.viral_threshold, low)

    def check(
        self, post_ids: Sequence[int], *, count_rows: bool = False, give_way: bool = False
    ) -> Checked:
        """Compare posts, with a few queries and round trips for all of them. Changes nothing.

        Args:
            count_rows: also compare the counts table with the rows, in slices for large posts.
            give_way: skip a post while a load works on it, and quarantine keys that cannot be read.
                Duties do this. Without it, the check makes Redis refuse that load.

        Raises:
            ScriptError: Redis has a value that this library does not write.
            ReactionsUnavailable: a store failed.
        """
        token = secrets.token_hex(8)
        with self._isolating(post_ids if give_way else ()):
            tiers = self._cache.fence_many(post_ids, token, give_way=give_way)
        stored = read_stored(
            self._database,
            list(tiers),
            self._tiering.viral,
            newest=2 * SAMPLE_SIZE,
            newest_from=self._tiering.low,
            newest_of=[post_id for post_id, tier in tiers.items() if tier is FenceReply.RISING],
            max_tally=SLICE if count_rows else 0,
        )
        deleted = self._posts.deleted(post_ids)
        cached = self._cached_reactions(stored)
        with self._isolating(list(tiers) if give_way else ()):
            snapshots = dict(zip(tiers, self._snapshots.snapshots(list(tiers), token), strict=True))
        checked = Checked()
        for post_id, tier in tiers.items():
            snapshot, found = snapshots[post_id], checked.differences
            if tier is not FenceReply.DELETED and snapshot.loading != token:
                continue  # a drain claimed the post after the fence
            checked.decided[post_id] = stored[post_id]
            checked.snapshots[post_id] = snapshot
            if count_rows:
                found += self._compare_ledger(post_id, stored[post_id])
            if tier is FenceReply.DELETED:
                continue
            if post_id in deleted:
                found.append(Difference(Kind.UNMARKED, post_id, "deleted, but not so in Redis"))
                continue
            found += compare_cache(post_id, stored[post_id], snapshot, self._tiering)
            found += self._compare_users(post_id, stored[post_id], cached)
            found += compare_keys(post_id, snapshot)
        return checked

    @contextmanager
    def _isolating(self, post_ids: Sequence[int]) -> Iterator[None]:
        """Quarantine unreadable keys of these posts, so that the next run does not fail again."""
        try:
            yield
        except ScriptError:
            self._quarantine.isolate((), post_ids)
            for post_id in post_ids:
                self._cache.drop(post_id)
            raise

    def _compare_ledger(self, post_id: int, stored: Stored) -> Iterator[Difference]:
        if stored.tally is not None:
            yield from compare_ledger(post_id, stored.tally, stored.counts)
            return
        while not (audited := self._row_counts.slice(post_id, SLICE, repair=False)).finished:
            pass
        rows = {code: rows for code, (rows, _) in audited.differences.items()}
        counted = {code: counted for code, (_, counted) in audited.differences.items()}
        yield from compare_ledger(post_id, rows, counted)

    def portions(self, post_ids: Sequence[int]) -> Iterator[list[int]]:
        """Divide posts into portions with a bounded number of rows, at least one post each.

        Costs one query.
        """
        portion: list[int] = []
        room = MAX_COMPARED_ROWS
        counts = self._queries.counts(post_ids)
        for post_id in post_ids:
            rows = sum(counts[post_id].values())
            read = rows if rows <= self._tiering.viral else 2 * SAMPLE_SIZE
            if portion and read > room:
                yield portion
                portion, room = [], MAX_COMPARED_ROWS
            portion.append(post_id)
            room -= read
        if portion:
            yield portion

    def tier(self, post_id: int, checked: Checked) -> PostTier:
        """The tier of a decided post. A check cannot tell hot from regular posts."""
        snapshot, stored = checked.snapshots[post_id], checked.decided[post_id]
        if sum(count for code, count in stored.counts.items() if code) >= self._tiering.viral:
            return PostTier.VIRAL
        if snapshot.rising:
            return PostTier.RISING
        return PostTier.VIRAL if snapshot.viral else PostTier.REGULAR

    def repair(self, differences: Sequence[Difference]) -> int:
        """Repair these differences, and return their number. Safe at any time, and to repeat."""
        kinds: dict[int, set[Kind]] = {}
        for difference in differences:
            kinds.setdefault(difference.post_id, set()).add(difference.kind)
        for post_id, found in kinds.items():
            self._repair(post_id, found)
        return len(differences)

    def _repair(self, post_id: int, kinds: set[Kind]) -> None:
        if Kind.LEDGER in kinds:
            while not self._row_counts.slice(post_id, SLICE, repair=True).finished:
                pass
        if Kind.UNMARKED in kinds:
            self._writes.delete_post(post_id)
            return
        if Kind.UNLISTED in kinds:
            self._outbox_state.list_post(post_id)
        if Kind.USER in kinds:
            for user_id in self._queries.newest_users(post_id, MAX_CHECKED_USERS):
                self._users.drop(user_id)
        self.reload(post_id)

    def reload(self, post_id: int) -> None:
        """Drop the caches of a post, and load them again."""
        self._cache.drop(post_id)
        self._loader.load([post_id])

    def _cached_reactions(self, stored: dict[int, Stored]) -> dict[tuple[int, int], int]:
        wanted = [
            (user_id, post_id) for post_id, found in stored.items() for user_id in _users(found)
        ]
        return self._users.cached_reactions(wanted)

    def _compare_users(
        self,
        post_id: int,
        stored: Stored,
        cached: dict[tuple[int, int], int],
    ) -> list[Difference]:
        wrong = [
            user_id
            for user_id, code in _users(stored).items()
            if cached.get((user_id, post_id), code) != code
        ]
        if not wrong:
            return []
        return [Difference(Kind.USER, post_id, f"the caches of users {wrong[:5]} differ")]


def _users(stored: Stored) -> dict[int, int]:
    """user -> code, for the users whose own cache is checked."""
    if stored.newest:
        return {row.user_id: row.reaction for row in stored.newest[:MAX_CHECKED_USERS]}
    rows = stored.rows or {}
    return dict(list(rows.items())[:MAX_CHECKED_USERS])
