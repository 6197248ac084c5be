"""Writes claimed changes to PostgreSQL in batches, and then to the caches of their users."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context

from reactions.core.constants import shard_of
from reactions.core.instruments import BATCH, BATCH_ROWS, STALE
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.core.tracing import span
from reactions.drain.batch import Batch, Drained, Written
from reactions.postgres.dead_letters import DeadLetters
from reactions.postgres.ledger import Ledger, RowsRefused
from reactions.redis.claims import BadEntry, Claim, ClaimedPost, Entry
from reactions.redis.outbox import Outbox
from reactions.redis.user_cache import UserCache


class Recorder:
    """Writes claimed changes to PostgreSQL, and writes them through to the caches of users."""

    def __init__(
        self,
        outbox: Outbox,
        users: UserCache,
        ledger: Ledger,
        dead_letters: DeadLetters,
        settings: Settings,
    ) -> None:
        self._outbox = outbox
        self._users = users
        self._ledger = ledger
        self._dead_letters = dead_letters
        self._size = settings.batch_rows
        # One thread: it waits for PostgreSQL while this one reads and writes Redis.
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="reactions-ledger")

    def record(self, claims: Sequence[Claim], done: Drained) -> Batch:
        """Write the changes of all claims together, at most ``batch_rows`` in one transaction."""
        batch = Batch()
        together: list[tuple[Claim, Entry]] = []
        large: list[tuple[Claim, ClaimedPost]] = []
        for claim in claims:
            for post in claim.posts:
                if post.entries is None:
                    large.append((claim, post))
                else:
                    together += ((claim, entry) for entry in post.entries)
        self._record_together(claims, together, batch, done)
        for claim, post in large:  # last, so that small posts do not wait for large ones
            self._record_large(claim, post, claims, batch, done)
        return batch

    def _record_together(
        self,
        claims: Sequence[Claim],
        entries: Sequence[tuple[Claim, Entry]],
        batch: Batch,
        done: Drained,
    ) -> None:
        """Record changes of many posts. Redis gets a piece while PostgreSQL gets the next one."""
        size = self._size
        before: list[Written] = []
        for start in range(0, len(entries), size):
            if start:  # a long backlog takes several transactions, so extend the leases
                self._outbox.extend_claims(claims)
            piece = entries[start : start + size]
            with self._recording([entry for _, entry in piece], batch, done) as under_way:
                self._write_through(before, claims, batch)
            before = under_way.result()
            _count_lags(claims, piece)
        self._write_through(before, claims, batch)

    def _record_large(
        self,
        claim: Claim,
        post: ClaimedPost,
        claims: Sequence[Claim],
        batch: Batch,
        done: Drained,
    ) -> None:
        """Record a post with more rows than a batch, piece by piece.

        Each durable piece is trimmed from the claim while PostgreSQL records the next one. The scan
        ends with an empty piece.
        """
        before: list[Written] = []
        durable: list[bytes] = []
        for fields, entries in self._outbox.scan(post.post_id):
            self._outbox.extend_claims(claims)
            with self._recording(entries, batch, done) as under_way:
                self._write_through(before, [claim], batch)
                if claim.shard in batch.postponed:
                    return
                # Of this piece or of a later one, both of which are committed when they show here.
                committed = batch.transaction
                if durable and not self._outbox.trim(claim, post.post_id, durable, committed):
                    batch.abandoned.add(claim.shard)
                    return
            before, durable = under_way.result(), fields
            claim.count_lags([entry for entry in entries if isinstance(entry, Row)])

    @contextmanager
    def _recording(
        self, entries: Sequence[Entry], batch: Batch, done: Drained
    ) -> Iterator[Future[list[Written]]]:
        """Record a piece in the other thread while the block runs, and wait for it at the end."""
        run = copy_context().run  # so that spans have the right parent
        under_way = self._beside.submit(run, self._record_entries, entries, batch, done)
        try:
            yield under_way
        finally:
            wait([under_way])

    def _write_through(
        self, written: Sequence[Written], claims: Sequence[Claim], batch: Batch
    ) -> None:
        """Write durable rows to the cached reactions of their users.

        If PostgreSQL has a newer version of a row, the cached reactions are dropped instead. The
        shards of rows whose user is on a node that does not answer are postponed.
        """
        for rows, complete in written:
            until = min(claim.lease_until() for claim in claims) if complete else 0
            missing = self._users.write_through(rows, until)
            if missing:
                of_them = (row.post_id for row in rows if row.user_id in missing)
                batch.postponed.update(map(shard_of, of_them))

    def _record_entries(
        self, entries: Sequence[Entry], batch: Batch, done: Drained
    ) -> list[Written]:
        rows = [entry for entry in entries if isinstance(entry, Row)]
        for entry in entries:
            if isinstance(entry, BadEntry):
                self._dead_letters.add(
                    entry.post, entry.user, entry.value, "not a type:version entry"
                )
                batch.refused.add(int(entry.post))
                done.refused += 1
        return self._record_rows(rows, batch, done) if rows else []

    def _record_rows(self, rows: Sequence[Row], batch: Batch, done: Drained) -> list[Written]:
        """Record rows in one transaction. If it is refused, halve it to find the refused rows."""
        began = time.perf_counter()
        try:
            with span("reactions.batch") as at:
                recorded = self._ledger.record(rows)
                at.note(rows=len(rows), changed=recorded.changed)
        except RowsRefused as error:
            if len(rows) == 1:
                (row,) = rows
                value = f"{row.reaction}:{row.version}"
                self._dead_letters.add(str(row.post_id), str(row.user_id), value, str(error))
                batch.refused.add(row.post_id)
                done.refused += 1
                return []
            middle = len(rows) // 2
            return [
                *self._record_rows(rows[:middle], batch, done),
                *self._record_rows(rows[middle:], batch, done),
            ]
        BATCH.observe(time.perf_counter() - began)
        BATCH_ROWS.observe(len(rows))
        STALE.inc(len(rows) - recorded.changed)
        batch.transaction = recorded.transaction
        batch.counts.update(recorded.counts)
        batch.deleted.update(recorded.deleted)
        batch.refused.update(recorded.older)
        done.rows += len(rows)
        done.changed += recorded.changed
        done.transactions += 1
        return [(rows, recorded.changed == len(rows))]


def _count_lags(claims: Sequence[Claim], piece: Sequence[tuple[Claim, Entry]]) -> None:
    durable: dict[int, list[Row]] = {claim.shard: [] for claim in claims}
    for claim, entry in piece:
        if isinstance(entry, Row):
            durable[claim.shard].append(entry)
    for claim in claims:
        claim.count_lags(durable[claim.shard])
