"""Answers lists: who reacted on a post, and what a user reacted on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from reactions.api.cursor import Cursors
from reactions.api.replica_reads import ReplicaReads
from reactions.api.stored_reads import StoredReads
from reactions.core.constants import SAMPLE_SIZE
from reactions.core.model import Page, Reacted, Reactor, Row
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.postgres.replica import Replica
from reactions.redis.committed import Committed
from reactions.redis.connection import Client
from reactions.redis.post_cache import PostCache

MAX_LISTED_CHANGES = 1_000
"""The most changes of a post that are merged into a list of reactors before they are durable."""


class Lists:
    """Reads lists from PostgreSQL or its replica, and merges newer changes from Redis."""

    def __init__(
        self,
        client: Client,
        database: Database,
        stored: StoredReads,
        settings: Settings,
        replica: Replica | None = None,
    ) -> None:
        self._cache = PostCache(client, settings)
        self._queries = Queries(database)
        self._stored = stored
        self._reads = ReplicaReads(self._queries, stored, replica)
        self._committed = Committed(client, settings)
        self._cursors = Cursors(settings)
        self._names = {code: name for name, code in settings.reaction_types.items()}

    def reactors(
        self, post_id: int, code: int | None, limit: int, cursor: str | None
    ) -> Page[Reactor]:
        """Return one page of the users who reacted; ``code`` is None for all types."""
        about = f"reactors {post_id} {code or 0}"
        before = None
        if cursor is not None:
            (before,) = self._cursors.read(about, 1, cursor)
        rows = self._newest(post_id, code, limit + 1, before)
        items = tuple(Reactor(row.user_id, self._names[row.reaction]) for row in rows[:limit])
        more = len(rows) > limit
        return Page(items, self._cursors.write(about, rows[limit - 1].version) if more else None)

    def recent(self, post_id: int, limit: int) -> list[Reactor]:
        """Return the newest reactors, from the sample if there is one, else from PostgreSQL."""
        found = self._cache.recent(post_id, min(limit, SAMPLE_SIZE))
        if found is None:
            rows = self._newest(post_id, None, limit, None)
            found = [(row.user_id, row.reaction) for row in rows]
        return [Reactor(user, self._names[code]) for user, code in found if code in self._names]

    def history(self, user_id: int, limit: int, cursor: str | None) -> Page[Reacted]:
        """Return one page of a user's reactions from PostgreSQL, without deleted posts."""
        about = f"history {user_id}"
        before = None
        if cursor is not None:
            version, post_id = self._cursors.read(about, 2, cursor)
            before = version, post_id
        committed = self._committed.of_all_shards() if self._reads.replica else []
        rows = self._reads.run(
            "history",
            committed,
            lambda stored: stored.history(user_id, self._names, limit=limit + 1, before=before),
        )
        # A deletion reaches PostgreSQL a few seconds after Redis.
        deleted = self._cache.deleted([row.post_id for row in rows])
        items = tuple(
            Reacted(row.post_id, self._names[row.reaction], row.version)
            for row in rows[:limit]
            if row.post_id not in deleted
        )
        if len(rows) <= limit:
            return Page(items, None)
        last = rows[limit - 1]
        return Page(items, self._cursors.write(about, last.version, last.post_id))

    def uniques(self, post_id: int) -> int:
        """Return how many users ever reacted, from the HyperLogLog or from PostgreSQL."""
        found, committed = self._cache.uniques_and_committed(post_id)
        if found is None:
            found = self._reads.run("uniques", committed, lambda stored: stored.count_ever(post_id))
        return found

    def _newest(self, post_id: int, code: int | None, limit: int, before: int | None) -> list[Row]:
        """Read the outbox, and then merge it into the newest rows of PostgreSQL."""
        lookup = self._cache.lookup(post_id)
        if lookup.deleted:
            return []
        codes = [code] if code else list(self._names)
        overlay, committed = self._cache.pending_and_committed(post_id, MAX_LISTED_CHANGES)
        if overlay is None:
            return self._newest_settled(post_id, codes, limit, before)
        # The overlay replaces at most as many rows as it has entries: read that many more.
        needed = limit + len(overlay)
        stored = self._reads.run(
            "reactors",
            committed,
            lambda stored: stored.newest(post_id, codes, limit=needed, before=before),
        )
        fresh = [
            Row(post_id, user_id, kind, version)
            for user_id, (kind, version) in overlay.items()
            if kind in codes and (before is None or version < before)
        ]
        fresh += (row for row in stored if row.user_id not in overlay)
        return sorted(fresh, key=lambda row: -row.version)[:limit]

    def _newest_settled(
        self, post_id: int, codes: Sequence[int], limit: int, before: int | None
    ) -> list[Row]:
        """Return the newest rows of PostgreSQL, without users who have a pending change.

        Those users belong on an earlier page of the list, or on none.
        """
        rows: list[Row] = []
        size = limit
        while True:
            query = partial(self._queries.newest, post_id, codes, limit=size, before=before)
            found = self._stored.run("reactors", query)
            changed = self._cache.changed(post_id, [row.user_id for row in found])
            # Read again: a change that has left the outbox since then has a newer version now.
            still = set(self._stored.run("reactors", query))
            rows += (row for row in found if row in still and row.user_id not in changed)
            if len(found) < size or len(rows) >= limit:
                return rows[:limit]
            before, size = found[-1].version, 2 * size
