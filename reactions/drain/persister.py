"""Carries what is pending into PostgreSQL: claim, record, settle. Knows nothing of Celery.

Each step may be the last of its process. A claim that is never recorded is taken again; a batch
recorded twice changes nothing the second time; one that is never settled is drained again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TypeAlias

from cachetools import TTLCache

from reactions.core.errors import ReactionsError, ReactionsUnavailable, ScriptError
from reactions.core.instruments import BATCH, BATCH_ROWS, REFUSED, STALE, TIERS
from reactions.core.model import PostTier, Row
from reactions.core.settings import Settings
from reactions.core.tracing import span
from reactions.drain.cache_loader import CacheLoader
from reactions.postgres.database import Database
from reactions.postgres.dead_letters import DeadLetters
from reactions.postgres.ledger import Ledger, RowsRefused
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from reactions.redis.claims import BadEntry, Claim, ClaimedPost, Entry, Settled
from reactions.redis.connection import Client
from reactions.redis.outbox import Outbox
from reactions.redis.post_cache import PostCache
from reactions.redis.quarantine import Quarantine
from reactions.redis.scripts.drain import SettledPost
from reactions.redis.ttl import Ttl
from reactions.redis.user_cache import UserCache

FILL_S = 0.2
"""How long a drain loads samples, before it goes on with what is pending."""

HOT_TOGETHER_S = 2.0
"""How often one worker process has a transaction for hot posts."""

HOT_NOTED_S = 60.0
"""How often one worker process notes that a post is hot."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Drained:
    """What a drain did.

    Attributes:
        rows: changes that are durable now.
        changed: those of them that really changed a row.
        refused: changes that went to the dead letters.
        transactions: transactions that were committed.
        lost: shards whose lease was another's when the batch was to be settled.
        loaded: posts whose complete hash or sample was cached.
        leftover: shards with more to do when the budget ran out.
    """

    rows: int = 0
    changed: int = 0
    refused: int = 0
    transactions: int = 0
    lost: int = 0
    loaded: int = 0
    leftover: list[int] = field(default_factory=list)


class DrainFailed(ReactionsError):
    """A store failed in the middle of a drain; nothing is lost, all of it can be done again.

    Attributes:
        tokens: shard -> token of the claim that stands, or "", to be presented at the next try.
    """

    def __init__(self, tokens: Mapping[int, str], cause: Exception) -> None:
        self.tokens = dict(tokens)
        super().__init__(str(cause))


@dataclass(slots=True)
class Batch:
    """What is known of claimed posts once their rows are recorded."""

    counts: dict[int, Mapping[int, int]] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    deleted: set[int] = field(default_factory=set)
    abandoned: set[int] = field(default_factory=set)
    """Shards whose lease was lost while a large post was being recorded."""


Written: TypeAlias = tuple[Sequence[Row], bool]
"""Rows of one transaction, and whether the database had nothing newer."""


class Persister:
    """Drains shards of the outbox into the ledger."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._outbox = Outbox(client, settings)
        self._cache = PostCache(client, settings)
        self._users = UserCache(client, settings)
        self._quarantine = Quarantine(client)
        self._ledger = Ledger(database)
        self._dead_letters = DeadLetters(database)
        self._posts = Posts(database)
        self._queries = Queries(database)
        self._loader = CacheLoader(self._cache, self._queries, settings)
        self._ttl = Ttl(settings)
        self._settings = settings
        # One thread: while PostgreSQL has a batch, Redis is read and written.
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="reactions-ledger")
        self._hot: TTLCache[int, bool] = TTLCache(10_000, HOT_NOTED_S)
        self._tiers: dict[int, PostTier] = {}
        self._note_at = 0.0
        self._registered = False

    def drain(self, shards: Iterable[int], tokens: Mapping[int, str] | None = None) -> Drained:
        """Make everything that is pending in these shards durable, within the drain budget.

        Args:
            shards: shard numbers; those that are clean or in another drain's hands cost nothing.
            tokens: of claims to take over from a failed try.

        Raises:
            DrainFailed: a store failed; try again with its tokens.
        """
        deadline = time.monotonic() + self._settings.drain_budget_s
        tokens = tokens or {}
        todo = {shard: tokens.get(shard, "") for shard in shards}
        done = Drained()
        try:
            self._drain_all(todo, done, deadline)
        finally:
            REFUSED.inc(done.refused)
        return done

    def _drain_all(self, todo: dict[int, str], done: Drained, deadline: float) -> None:
        """Round after round, until all is durable or time is up."""
        self._register(todo)
        while todo:
            if time.monotonic() > deadline:
                done.leftover = list(todo)
                break
            try:
                claims, failed = self._outbox.claim(todo)
            except ReactionsUnavailable as error:
                raise DrainFailed(todo, error) from error
            todo = dict.fromkeys(self._drain(claims, done), "") if claims else {}
            if failed:
                self._isolate(failed)
                shard, reason = next(iter(failed.items()))
                cause = ReactionsUnavailable("redis", f"shard {shard} not claimed: {reason}")
                raise DrainFailed(dict.fromkeys([*failed, *todo], ""), cause)

    def _register(self, todo: Mapping[int, str]) -> None:
        """Once a process: without its types in the database, every row would be refused."""
        if not self._registered:
            try:
                self._ledger.register_types(self._settings.reaction_types)
            except ReactionsUnavailable as error:
                raise DrainFailed(todo, error) from error
            self._registered = True

    def _drain(self, claims: Sequence[Claim], done: Drained) -> list[int]:
        """One round; returns the shards that have more."""
        tokens = {claim.shard: claim.token for claim in claims}
        try:
            batch = self.record(claims, done)
            return self.settle(claims, batch, done)
        except ReactionsUnavailable as error:
            raise DrainFailed(tokens, error) from error
        except ScriptError as error:
            self._isolate(tokens)
            raise DrainFailed(tokens, error) from error

    def _isolate(self, shards: Iterable[int]) -> None:
        """A script met what is not ours: the next try is to find it put away."""
        try:
            self._quarantine.isolate(shards)
        except ReactionsError as error:
            log.warning("not mended: %s", error)

    def record(self, claims: Sequence[Claim], done: Drained) -> Batch:
        """Write the claimed changes: those of all claims together, at most batch_rows at a time."""
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
        for claim, post in large:  # last, so that small posts do not wait for it
            self._record_large(claim, post, claims, batch, done)
        return batch

    def _record_together(
        self,
        claims: Sequence[Claim],
        entries: Sequence[tuple[Claim, Entry]],
        batch: Batch,
        done: Drained,
    ) -> None:
        """Changes of many posts; while one piece is recorded, the one before is remembered."""
        size = self._settings.batch_rows
        before: list[Written] = []
        for start in range(0, len(entries), size):
            if start:  # a backlog takes several transactions, and must not outlive its leases
                self._outbox.extend_claims(claims)
            piece = entries[start : start + size]
            with self._recording([entry for _, entry in piece], batch, done) as under_way:
                self._write_through(before, claims)
            before = under_way.result()
            _count_lags(claims, piece)
        self._write_through(before, claims)

    def _record_large(
        self,
        claim: Claim,
        post: ClaimedPost,
        claims: Sequence[Claim],
        batch: Batch,
        done: Drained,
    ) -> None:
        """A post with more rows than a batch: piece by piece, each dropped once it is durable.

        That is while the next one is recorded; the scan ends with an empty one.
        """
        before: list[Written] = []
        durable: list[bytes] = []
        for fields, entries in self._outbox.scan(post.post_id):
            self._outbox.extend_claims(claims)
            with self._recording(entries, batch, done) as under_way:
                self._write_through(before, [claim])
                if durable and not self._outbox.trim(claim, post.post_id, durable):
                    batch.abandoned.add(claim.shard)
                    return
            before, durable = under_way.result(), fields
            claim.count_lags([entry for entry in entries if isinstance(entry, Row)])

    @contextmanager
    def _recording(
        self, entries: Sequence[Entry], batch: Batch, done: Drained
    ) -> Iterator[Future[list[Written]]]:
        """A block beside which a piece is recorded; it is done at the end, well or not."""
        run = copy_context().run  # for spans
        under_way = self._beside.submit(run, self._record_entries, entries, batch, done)
        try:
            yield under_way
        finally:
            wait([under_way])

    def _write_through(self, written: Sequence[Written], claims: Sequence[Claim]) -> None:
        """Write what is cached of the users of rows that are durable.

        Where the database has something newer, what is cached of them is only dropped.
        """
        for rows, complete in written:
            until = min(claim.until() for claim in claims) if complete else 0
            self._users.write_through(rows, until)

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
        """One transaction; what the database refuses is found by halving, and buried alone."""
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
        batch.counts.update(recorded.counts)
        batch.deleted.update(recorded.deleted)
        batch.refused.update(recorded.older)
        done.rows += len(rows)
        done.changed += recorded.changed
        done.transactions += 1
        return [(rows, recorded.changed == len(rows))]

    def settle(self, claims: Sequence[Claim], batch: Batch, done: Drained) -> list[int]:
        """Acknowledge recorded claims; returns the shards that have more."""
        kept = [claim for claim in claims if claim.shard not in batch.abandoned]
        unread = {p.post_id for claim in kept for p in claim.posts} - batch.counts.keys()
        if unread:  # every row of the post was refused
            batch.counts.update(self._queries.counts(unread))
        posts = {
            claim.shard: [self._settled(claim, post, batch) for post in claim.posts]
            for claim in kept
        }
        settled = self._outbox.settle(kept, posts)
        pairs = list(zip(kept, settled, strict=True))
        self._forget_lost(claims, pairs)
        self._fill(pairs, batch, done)
        self._note_tiers(pairs, [post for found in posts.values() for post in found])
        done.lost += sum(answer.lost for answer in settled) + len(batch.abandoned)
        return [
            claim.shard
            for claim, answer in zip(kept, settled, strict=True)
            if not answer.lost and (claim.more or answer.bounced)
        ]

    def _forget_lost(
        self, claims: Sequence[Claim], settled: Sequence[tuple[Claim, Settled]]
    ) -> None:
        """Drop the caches of posts that nobody may settle.

        A lease is lost to another drain, which settles, or with all of Redis; then a read may have
        cached what was true before this batch was committed.
        """
        ours = {claim.shard for claim, answer in settled if not answer.lost}
        for claim in claims:
            if claim.shard not in ours:
                for post in claim.posts:
                    self._cache.drop(post.post_id)

    def _settled(self, claim: Claim, post: ClaimedPost, batch: Batch) -> SettledPost:
        drop = 2 if post.post_id in batch.deleted else int(post.post_id in batch.refused)
        codes = self._settings.reaction_types.values()
        return SettledPost(
            post.post_id,
            self._ttl.share(),
            post.rate(claim.claimed_at) >= self._settings.hot_rate,
            drop,
            dict.fromkeys(codes, 0) | dict(batch.counts[post.post_id]),
            post.taken_over,
        )

    def _fill_samples(self, samples: Mapping[int, str], batch: Batch) -> int:
        """Those for which there is time; the next settlement of the others asks for them again."""
        loaded, left = 0, dict(samples)
        deadline = time.monotonic() + FILL_S
        while left and time.monotonic() < deadline:
            post_id, token = left.popitem()
            loaded += self._loader.sample(post_id, token, sum(batch.counts[post_id].values()))
        self._cache.release(list(left))
        return loaded

    def _note_tiers(
        self, settled: Sequence[tuple[Claim, Settled]], posts: Sequence[SettledPost]
    ) -> None:
        """Note for the duties which posts changed their tier; lost, reconciliation notes it.

        That posts are hot may wait for a later drain.
        """
        tiers = self._tiers
        for post in posts:
            if post.hot and post.post_id not in self._hot and not post.drop:
                self._hot[post.post_id] = True
                if sum(post.counts.values()) < self._settings.viral_threshold:
                    tiers[post.post_id] = PostTier.HOT
        for _, answer in settled:
            tiers.update(dict.fromkeys(answer.promoted, PostTier.VIRAL))
            tiers.update(dict.fromkeys(answer.demoted, PostTier.REGULAR))
            tiers.update(dict.fromkeys(answer.rising, PostTier.RISING))
            TIERS.labels("viral").inc(len(answer.promoted))
            TIERS.labels("regular").inc(len(answer.demoted))
            TIERS.labels("rising").inc(len(answer.rising))
        urgent = any(tier is not PostTier.HOT for tier in tiers.values())
        if tiers and (urgent or time.monotonic() > self._note_at):
            self._tiers = {}
            self._note_at = time.monotonic() + HOT_TOGETHER_S
            try:
                self._posts.note_tiers(tiers, max(claim.claimed_at for claim, _ in settled))
            except ReactionsUnavailable as error:
                log.info("%d tiers not noted: %s", len(tiers), error)

    def _fill(self, settled: Sequence[tuple[Claim, Settled]], batch: Batch, done: Drained) -> None:
        """Cache what posts lack, within the rows of one batch; it is only a cache."""
        hashes = {post: claim.token for claim, answer in settled for post in answer.hashes}
        samples = {post: claim.token for claim, answer in settled for post in answer.samples}
        room = max(self._settings.batch_rows, self._settings.viral_threshold)
        chosen: dict[int, str] = {}
        for post_id, token in hashes.items():
            room -= sum(batch.counts[post_id].values())
            if room < 0:
                break
            chosen[post_id] = token
        try:
            self._cache.release([post_id for post_id in hashes if post_id not in chosen])
            self._cache.grow([post for _, answer in settled for post in answer.grows])
            done.loaded += self._loader.hashes(chosen)
            done.loaded += self._fill_samples(samples, batch)
        except (ReactionsUnavailable, ScriptError) as error:
            log.info("%d posts not cached: %s", len(chosen) + len(samples), error)


def _count_lags(claims: Sequence[Claim], piece: Sequence[tuple[Claim, Entry]]) -> None:
    durable: dict[int, list[Row]] = {claim.shard: [] for claim in claims}
    for claim, entry in piece:
        if isinstance(entry, Row):
            durable[claim.shard].append(entry)
    for claim in claims:
        claim.count_lags(durable[claim.shard])
