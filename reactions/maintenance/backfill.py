"""Takes over the reactions of an older table, beside everything that goes on.

A row gets the time of its reaction for a version, and loses against whatever this system has of
the same user and post. Rows and counts move as in a drain; what is cached of them is dropped.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import TextIO

from reactions.core.constants import MAX_ID
from reactions.core.errors import ReactionsError, ReactionsUnavailable, short
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.ledger import Ledger
from reactions.redis import keys
from reactions.redis.cache_install import CacheInstall
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.pipeline import Command, run_all
from reactions.redis.user_cache import UserCache

HEADER = "post_id,user_id,type,at_us"

LONGEST = 1_000
"""Characters of a line that are read; a good one has at most 94."""

PATIENCE_S = 60.0
"""How long a store may fail, or a drain hold a post, before the backfill gives up."""


class BackfillError(ReactionsError):
    """It cannot go on; what is done so far is durable."""


@dataclass(slots=True)
class Backfilled:
    """What was done.

    Attributes:
        lines: reactions read and durable.
        changed: rows that were written; of the others there is the same, or something newer.
        refused: posts that are deleted.
        reached: the post of the last line that is durable; a run may start again with it.
    """

    lines: int = 0
    changed: int = 0
    refused: set[int] = field(default_factory=set)
    reached: int = 0


class Backfill:
    """Takes over lines of ``post_id,user_id,type,at_us``."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._client = client
        self._cache = CacheInstall(client, settings)
        self._clock = Clock(client, settings)
        self._users = UserCache(client, settings)
        self._ledger = Ledger(database)
        self._types = settings.reaction_types
        self._size = settings.batch_rows
        self.done = Backfilled()

    def run(
        self,
        source: TextIO,
        before_us: int,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Backfilled:
        """Take over all lines, a batch a transaction. Safe again, and while others write.

        Args:
            source: CSV in the order of post_id, at_us DESC, user_id; ``at_us`` is in µs since 1970.
            before_us: by the clock of Redis, when everything began to be written here too. A later
                reaction counts as one of then: what was recorded here since wins.

        Raises:
            BackfillError: of a line, or ``before_us`` is yet to come.
            ReactionsUnavailable: a store failed.
        """
        if before_us > self._clock.now_us():
            raise BackfillError("that time is yet to come, by the clock of Redis")
        self._ledger.register_types(self._types)
        batch: dict[tuple[int, int], Row] = {}
        read = 0
        for read, row in enumerate(self._rows(source, before_us), start=1):
            # Of a user who is there twice the newest comes first; the others lose, here or later.
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
        """Again where a store fails: what was done already changes nothing."""
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
        self._users.write_through(rows, 0)  # drops what is cached of these posts, and refuses reads
        self._drop({row.post_id for row in rows})
        self.done.lines = read
        self.done.changed += recorded.changed
        self.done.refused |= recorded.deleted
        self.done.reached = max(row.post_id for row in rows)

    def _drop(self, post_ids: Collection[int]) -> None:
        """Drop what is cached of posts, once no drain may settle counts from before.

        A fence is refused while a claim is open. A claim that comes after it reads counts with
        these rows in them; so does a load.
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
                        f"a drain holds post {todo[0]} and does not end; is a worker running?"
                    )
                time.sleep(0.02)

    def _cached(self, post_ids: list[int]) -> list[int]:
        """Those of which something is cached; one round trip for each node."""
        names = keys.post_reactions, keys.post_reaction_counts, keys.post_viral, keys.post_uniques
        calls = [Command(("EXISTS", *(name(post_id) for name in names))) for post_id in post_ids]
        replies = run_all(self._client, calls)
        return [post_id for post_id, found in zip(post_ids, replies, strict=True) if found]

    def _rows(self, source: TextIO, before_us: int) -> Iterator[Row]:
        """The lines as rows, whose versions fall from one to the next of the same post.

        Pages go by the version, so two of one post never have the same; the next run gives the
        same ones, or higher where rows are gone.
        """
        if source.readline(LONGEST).strip() != HEADER:
            raise BackfillError(f"the first line is not {HEADER}")
        last, version = Row(0, 0, 0, 0), 0
        for number, line in enumerate(iter(lambda: source.readline(LONGEST), ""), start=2):
            try:
                row = self._row(line, last)
            except ValueError as error:
                raise BackfillError(f"line {number} {short(str(error), 200)}") from error
            below = version - 1 if row.post_id == last.post_id else before_us
            last, version = row, min(row.version, below)
            yield replace(row, version=version)

    def _row(self, line: str, last: Row) -> Row:
        """With its time for a version."""
        fields = line.strip().split(",")
        if len(fields) != 4:
            raise ValueError("has not four fields")
        name = fields.pop(2)
        code = self._types.get(name)
        if code is None:
            raise ValueError(f"has the type {name[:40]!r}, which REACTIONS_REACTION_TYPES has not")
        post_id, user_id, at = (
            int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else 0
            for text in fields
        )
        if not all(1 <= number <= MAX_ID for number in (post_id, user_id, at)):
            raise ValueError("has an id or a time that is not an integer from 1 to 2^63-1")
        if (post_id, -at, user_id) < (last.post_id, -last.version, last.user_id):
            raise ValueError("is not in the order of post_id, at_us DESC, user_id")
        return Row(post_id, user_id, code, at)
