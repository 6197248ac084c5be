"""Writes pending changes to PostgreSQL in three steps: claim, record, settle. Needs no Celery.

The process may die between any two steps. The next drain takes over a claim that was not recorded
or not settled. A batch that is recorded twice changes nothing the second time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from reactions.core.errors import ReactionsError, ReactionsUnavailable, ScriptError
from reactions.core.instruments import REFUSED
from reactions.core.settings import Settings
from reactions.core.type_registry import ReactionType
from reactions.drain.batch import Batch, Drained, DrainFailed
from reactions.drain.cache_loader import CacheLoader
from reactions.drain.record import Recorder
from reactions.drain.refill import Refill
from reactions.drain.settle import Settler
from reactions.drain.tier_notes import TierNotes
from reactions.postgres.database import Database
from reactions.postgres.dead_letters import DeadLetters
from reactions.postgres.ledger import Ledger
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from reactions.postgres.type_registry import TypeRegistry
from reactions.redis.cache_install import CacheInstall
from reactions.redis.claims import Claim
from reactions.redis.connection import Client
from reactions.redis.keys import keys_of
from reactions.redis.outbox import Outbox
from reactions.redis.quarantine import Quarantine
from reactions.redis.type_copy import write_types
from reactions.redis.user_cache import UserCache

log = logging.getLogger(__name__)


class Persister:
    """Drains shards of the outbox into the ledger."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        cache, ledger = CacheInstall(client, settings), Ledger(database)
        queries = Queries(database.for_caches())
        self._outbox = Outbox(client, settings)
        self._registry = TypeRegistry(database)
        self._client = client
        self._recorder = Recorder(
            self._outbox, UserCache(client, settings), ledger, DeadLetters(database), settings
        )
        self._settler = Settler(self._outbox, cache, queries, settings)
        self._refill = Refill(cache, CacheLoader(cache, queries, settings), settings)
        self._tiers = TierNotes(Posts(database), settings)
        self._quarantine = Quarantine(client, settings)
        self._settings = settings
        self._registered = False

    def drain(
        self,
        shards: Iterable[int],
        tokens: Mapping[int, str] | None = None,
        more: Callable[[], Sequence[int]] = tuple,
    ) -> Drained:
        """Make all pending changes of these shards durable, within ``drain_budget_s``.

        Args:
            shards: shard numbers, 0 to 99. The drain skips a shard that is clean or leased.
            tokens: shard -> token of the claim that a failed drain left. This drain takes it over.
            more: returns further shards when the earlier ones are durable. The drain ends when it
                returns none.

        Raises:
            DrainFailed: a store failed; try again with the tokens of the error.
        """
        deadline = time.monotonic() + self._settings.drain_budget_s
        tokens = tokens or {}
        todo = {shard: tokens.get(shard, "") for shard in shards}
        done = Drained()
        try:
            self._drain_all(todo, more, done, deadline)
        finally:
            REFUSED.inc(done.refused)
        if done.postponed:
            reason = "the node of some users does not answer, so these shards are not settled"
            raise DrainFailed(done.postponed, ReactionsUnavailable("redis", reason))
        return done

    def _drain_all(
        self,
        todo: dict[int, str],
        more: Callable[[], Sequence[int]],
        done: Drained,
        deadline: float,
    ) -> None:
        """Run rounds until everything is durable or time is up."""
        self._register(todo)
        named = bool(todo)
        while todo or (todo := self._more(more)):
            if time.monotonic() > deadline:
                done.leftover = list(todo)
                break
            try:
                claims, failed = self._outbox.claim(todo)
            except ReactionsUnavailable as error:
                raise DrainFailed(todo, error) from error
            if not claims and not failed and not named:
                break  # other drains were faster, and what they leave they drain themselves
            named = False
            todo = dict.fromkeys(self._drain(claims, done), "") if claims else {}
            if failed:
                self._isolate(failed)
                shard, reason = next(iter(failed.items()))
                cause = ReactionsUnavailable("redis", f"shard {shard} cannot be claimed: {reason}")
                tokens = dict.fromkeys([*failed, *todo], "") | done.postponed
                raise DrainFailed(tokens, cause)

    def _more(self, more: Callable[[], Sequence[int]]) -> dict[int, str]:
        """The shards that wait by now, without tokens."""
        try:
            return dict.fromkeys(more(), "")
        except ReactionsUnavailable as error:
            raise DrainFailed({}, error) from error

    def _register(self, todo: Mapping[int, str]) -> None:
        """Register the reaction types once a process: PostgreSQL refuses rows of unknown types."""
        if not self._registered:
            try:
                self._register_types()
            except ReactionsUnavailable as error:
                raise DrainFailed(todo, error) from error
            self._registered = True

    def _register_types(self) -> None:
        if self._settings.names_types:
            self._registry.register(self._settings.reaction_types)
        self._registry.publish(self._copy_types)

    def _copy_types(self, registered: Sequence[ReactionType]) -> None:
        """Copy the registry to Redis, unless Redis is full: the drain is what frees memory."""
        try:
            write_types(self._client, keys_of(self._settings.space), registered)
        except ReactionsUnavailable as error:
            log.warning("the registry of reaction types is not copied to Redis: %s", error)

    def _drain(self, claims: Sequence[Claim], done: Drained) -> list[int]:
        """Record and settle one round of claims. Returns the shards that have more changes."""
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
        """Isolate the foreign keys that made a script fail, so that the next try can succeed."""
        try:
            self._quarantine.isolate(shards)
        except ReactionsError as error:
            log.warning("cannot isolate foreign keys: %s", error)

    def record(self, claims: Sequence[Claim], done: Drained) -> Batch:
        """Write claimed changes to PostgreSQL, at most ``batch_rows`` in one transaction."""
        return self._recorder.record(claims, done)

    def settle(self, claims: Sequence[Claim], batch: Batch, done: Drained) -> list[int]:
        """Acknowledge recorded claims and fill caches. Returns the shards with more changes."""
        done.postponed |= {c.shard: c.token for c in claims if c.shard in batch.postponed}
        claims = [claim for claim in claims if claim.shard not in batch.postponed]
        posts = self._settler.prepare(claims, batch)
        settled = self._settler.settle(claims, posts, batch.transaction)
        self._refill.fill(settled, batch, done)
        self._tiers.note(settled, [post for found in posts.values() for post in found])
        done.lost += sum(answer.lost for _, answer in settled) + len(batch.abandoned)
        return [
            claim.shard
            for claim, answer in settled
            if not answer.lost and (claim.more or answer.contended)
        ]
