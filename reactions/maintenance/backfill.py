"""Copies the reactions of an older table into this system, while it is in use.

The version of a copied row is the time of its reaction. Any reaction that this system already has
for the same user and post is newer, so it wins. Rows and counts change together, as in a drain, and
the backfill drops the caches of the posts that it changed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TextIO

from reactions.core.constants import MAX_ID, shard_of
from reactions.core.errors import ReactionsError, ReactionsUnavailable, short
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.core.shard_times import NO_TIMES
from reactions.postgres.database import Database
from reactions.postgres.ledger import Ledger
from reactions.postgres.type_registry import TypeRegistry
from reactions.redis.cache_install import CacheInstall
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.keys import keys_of
from reactions.redis.pipeline import Command, run_all
from reactions.redis.user_cache import UserCache

HEADER = "post_id,user_id,type,at_us"

MAX_LINE = 1_000
"""Characters read of one line. A valid line has at most 94."""

NULLS = ("", "\\N", "NULL")
"""What exports write for a value that is missing: PostgreSQL, MySQL, and others."""

_LEAVE_OUT = "leave such rows out of the export, as deploy/backfill.sql does"
_REMEDIES = {
    "post_id": _LEAVE_OUT,
    "user_id": _LEAVE_OUT,
    "type": "leave such rows out of the export, or name a type for them with coalesce()",
    "at_us": "give such rows a time in the export, such as 86400000000, with coalesce()",
}

PATIENCE_S = 60.0
"""The backfill gives up when a store fails, or a drain keeps a post claimed, for this long."""


class BackfillError(ReactionsError):
    """The backfill stopped. Everything before the named line is durable."""


@dataclass(slots=True)
class Backfilled:
    """What a backfill did.

    Attributes:
        lines: lines that were read, and whose reaction is durable now unless it was left out.
        changed: rows written. For the other lines the same or a newer reaction was there already.
        refused: deleted posts among the lines.
        lines_of_deleted_posts: lines left out because their post was deleted here.
        lines_of_forgotten_users: lines left out because their user was forgotten here.
        reached: the post of the last durable line; another run can start with it.
    """

    lines: int = 0
    changed: int = 0
    refused: set[int] = field(default_factory=set)
    lines_of_deleted_posts: int = 0
    lines_of_forgotten_users: int = 0
    reached: int = 0


class Backfill:
    """Copies lines of ``post_id,user_id,type,at_us``."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        self._cache = CacheInstall(client, settings)
        self._clock = Clock(client, settings)
        self._users = UserCache(client, settings)
        self._ledger = Ledger(database)
        self._registry = TypeRegistry(database)
        self._types = settings.reaction_types
        self._size = settings.batch_rows
        self.done = Backfilled()

    def run(
        self,
        source: TextIO,
        before_us: int,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Backfilled:
        """Copy all lines, one transaction a batch. Safe to run again, and while others write.

        Args:
            source: CSV in the order of post_id, at_us DESC, user_id; ``at_us`` is in µs since 1970.
            before_us: the time, by the clock of Redis, from which the application wrote every
                reaction to this system too. A line with a later time gets this time, so that
                reactions recorded here since then win.
            progress: called after each batch with the number of lines read.

        Raises:
            BackfillError: a line is invalid, or ``before_us`` is in the future.
            ReactionsUnavailable: a store failed for a minute.
        """
        if before_us > self._clock.now_us():
            raise BackfillError("that time is in the future, by the clock of Redis")
        self._registry.register(self._types)
        batch: dict[tuple[int, int], Row] = {}
        read = 0
        for read, row in enumerate(self._rows(source, before_us), start=1):
            # When a user has two lines for a post, the first one is the newest and wins.
            batch.setdefault((row.post_id, row.user_id), row)
            if len(batch) == self._size:
                self._take(batch.values(), read)
                batch.clear()
                progress(read)
        if batch:
            self._take(batch.values(), read)
        progress(read)
        return self.done

    def _take(self, rows: Collection[Row], read: int) -> None:
        """Write a batch, and try again when a store fails: a row that is there is not changed."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._write(rows, read)
            except ReactionsUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def _write(self, rows: Collection[Row], read: int) -> None:
        recorded = self._ledger.record(list(rows))
        self._users.write_through(rows, 0)  # drops cached reactions of these posts
        self._drop({row.post_id for row in rows})
        forgotten = self._ledger.forgotten({row.user_id for row in rows})
        kept = [row for row in rows if row.post_id not in recorded.deleted]
        self.done.lines_of_deleted_posts += len(rows) - len(kept)
        self.done.lines_of_forgotten_users += sum(
            row.version <= forgotten.get(row.user_id, NO_TIMES).of(shard_of(row.post_id))
            for row in kept
        )
        self.done.lines = read
        self.done.changed += recorded.changed
        self.done.refused |= recorded.deleted
        self.done.reached = max(row.post_id for row in rows)

    def _drop(self, post_ids: Collection[int]) -> None:
        """Drop the caches of posts, once no drain can settle counts from before this batch.

        Redis refuses a fence while a claim is open. A later claim, or a later load, reads counts
        that include these rows.

        Raises:
            BackfillError: a claim stayed open for a minute.
        """
        deadline = time.monotonic() + PATIENCE_S
        todo = sorted(post_ids)
        while todo:
            fenced = self._cache.fence_many(todo, secrets.token_hex(8))
            for post_id in self._cached(list(fenced)):
                self._cache.demote(post_id)
            self._cache.release(list(fenced))
            todo = [post_id for post_id in todo if post_id not in fenced]
            if todo:
                if time.monotonic() > deadline:
                    raise BackfillError(
                        f"a drain keeps post {todo[0]} claimed; is a worker running?"
                    )
                time.sleep(0.02)

    def _cached(self, post_ids: list[int]) -> list[int]:
        """The posts that have any cache key. One round trip for each node."""
        keys = self._keys
        names = keys.post_reactions, keys.post_reaction_counts, keys.post_viral, keys.post_uniques
        calls = [Command(("EXISTS", *(name(post_id) for name in names))) for post_id in post_ids]
        replies = run_all(self._client, calls)
        return [post_id for post_id, found in zip(post_ids, replies, strict=True) if found]

    def _rows(self, source: TextIO, before_us: int) -> Iterator[Row]:
        """The lines as rows. Within a post, each version is lower than the one before.

        Pages are ordered by version, so two rows of a post must not share one. Another run gives a
        row the same version, or a higher one when rows before it are gone.
        """
        if source.readline(MAX_LINE).strip() != HEADER:
            raise BackfillError(f"the first line is not {HEADER}")
        last, version = Row(0, 0, 0, 0), 0
        for number, line in enumerate(iter(lambda: source.readline(MAX_LINE), ""), start=2):
            try:
                row = self._row(line, last)
            except ValueError as error:
                raise BackfillError(f"line {number} {short(str(error), 200)}") from error
            below = version - 1 if row.post_id == last.post_id else before_us
            last, version = row, min(row.version, below)
            if version < 1:  # rows of the same time get descending versions
                raise BackfillError(
                    f"line {number} has an at_us that is too low for its place among the rows of"
                    f" post {row.post_id}: use 86400000000 or more"
                )
            yield row._replace(version=version)

    def _row(self, line: str, last: Row) -> Row:
        """Parse a line; the version of the row is its time.

        Raises:
            ValueError: the line is invalid; the text says why.
        """
        fields = line.strip().split(",")
        if len(fields) != 4:
            raise ValueError("does not have four fields")
        for column, value in zip(HEADER.split(","), fields, strict=True):
            if value.strip('"') in NULLS:
                raise ValueError(f"has NULL in the column {column}: {_REMEDIES[column]}")
        name = fields.pop(2)
        code = self._types.get(name)
        if code is None:
            raise ValueError(f"has the type {name[:40]!r}; run: reactions types list, or add")
        post_id, user_id, at = (
            int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else 0
            for text in fields
        )
        if not all(1 <= number <= MAX_ID for number in (post_id, user_id, at)):
            raise ValueError("has an id or a time that is not an integer from 1 to 2^63-1")
        if (post_id, -at, user_id) < (last.post_id, -last.version, last.user_id):
            raise ValueError("is not in the order of post_id, at_us DESC, user_id")
        return Row(post_id, user_id, code, at)
