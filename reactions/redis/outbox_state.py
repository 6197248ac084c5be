"""The state of the outbox: for the sweep, the duties, the metrics and the operators."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from reactions.core.constants import SHARDS, shard_of
from reactions.core.settings import Settings
from reactions.core.validate import is_id
from reactions.redis.claims import version_of
from reactions.redis.clock import Clock
from reactions.redis.command_batch import CommandBatch, Commands
from reactions.redis.connection import (
    Client,
    execute,
    execute_many,
    is_outage,
    readable,
    translate,
    translated,
)
from reactions.redis.keys import keys_of
from reactions.redis.wire import Words


@dataclass(frozen=True, slots=True)
class ShardState:
    """One shard of the outbox."""

    shard: int
    dirty_posts: int
    oldest_age_s: float
    """Age of the oldest change that is not durable; 0 if the shard is clean."""
    leased: bool


class OutboxState:
    """Reads the state of the outbox, over all shards.

    Every method raises ReactionsUnavailable when Redis cannot serve.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        self._clock = Clock(client, settings)
        self._longest_us = int(max(settings.lease_s, settings.retry_cap_s) * 1e6)

    def states(self) -> list[ShardState]:
        """Return the state of every shard. One round trip for each node, and one for the time."""
        found, failure = self._states()
        if failure is not None:
            raise translate(failure) from failure
        return found

    def reachable(self) -> list[ShardState]:
        """Return the states of the shards whose node answers, as ``states`` does.

        It raises only when no node answers.
        """
        found, failure = self._states()
        if failure is not None and not found:
            raise translate(failure) from failure
        return found

    def _states(self) -> tuple[list[ShardState], RedisError | None]:
        """The states of the shards whose node answers, and why another node does not."""
        with translated(), CommandBatch(self._client) as pipe:
            for shard in range(SHARDS):
                pipe.zcard(self._keys.outbox_dirty(shard))
                pipe.zrange(self._keys.outbox_dirty(shard), 0, 0, withscores=True)
                pipe.get(self._keys.outbox_lease(shard))
            replies: list[Any] = pipe.execute(raise_on_error=False)
        now = self._clock.now_us()
        found: list[ShardState] = []
        failure = None
        for shard in range(SHARDS):
            of_shard = replies[3 * shard : 3 * shard + 3]
            failed = next(filter(is_outage, of_shard), None)
            if failed is None:
                found.append(_state(shard, of_shard, now, self._longest_us))
            failure = failure or failed
        return found, failure

    def woken(self, limit: int) -> list[int]:
        """Return shards that have a wake-up which no drain has answered, and no lease.

        Takes one round trip to each node. A claim deletes the wake-up, so the first drain does the
        work of all messages about a shard. Shards of a node that does not answer are left out.

        Args:
            limit: the most shards. They start at a random one, so workers take different ones.
        """
        names = [
            (self._keys.outbox_wake(shard), self._keys.outbox_lease(shard))
            for shard in range(SHARDS)
        ]
        commands: list[Words] = [("MGET", *pair) for pair in names]
        if isinstance(self._client, Redis):
            commands = [("MGET", *chain.from_iterable(names))]
        with translated():
            replies = execute_many(self._client, commands)
        failed = [reply for reply in replies if isinstance(reply, RedisError)]
        if failed and (len(failed) == len(replies) or not all(map(is_outage, failed))):
            raise translate(failed[0])
        flat = list(
            chain.from_iterable(
                (None, None) if isinstance(reply, RedisError) else reply for reply in replies
            )
        )
        awake = [shard for shard in range(SHARDS) if flat[2 * shard] is not None]
        if not awake:
            return []
        now = self._clock.now_us()
        free = [
            shard
            for shard in awake
            if flat[2 * shard + 1] is None
            or not _leased(flat[2 * shard + 1], now, self._longest_us)
        ]
        start = random.randrange(len(free)) if len(free) > limit else 0  # noqa: S311 - no secret
        return [*free[start:], *free[:start]][:limit]

    def overdue(self, age_s: float) -> list[int]:
        """Return the shards without a drain that have a change at least ``age_s`` seconds old.

        Shards of a node that does not answer are left out.
        """
        return [
            state.shard
            for state in self.reachable()
            if state.dirty_posts and state.oldest_age_s >= age_s and not state.leased
        ]

    def dirty_posts(self) -> list[int]:
        """Return the posts with pending or claimed changes. One round trip for each node."""
        with translated(), CommandBatch(self._client) as pipe:
            for shard in range(SHARDS):
                pipe.zrange(self._keys.outbox_dirty(shard), 0, -1)
            replies = pipe.execute()
        return [int(post) for posts in replies for post in posts if is_id(post)]

    def list_post(self, post_id: int) -> None:
        """List a post as dirty, so that a drain claims it. A claim delists a clean post."""
        key = self._keys.outbox_dirty(shard_of(post_id))
        with translated():
            words = ("ZADD", key, "NX", str(self._clock.now_us()), str(post_id))
            execute(self._client, words)

    def oldest(self, post_id: int) -> float | None:
        """Return when the oldest change that is not durable came to a post. One round trip.

        Returns:
            µs by the clock of Redis; None if all changes of the post are durable.
        """
        with translated():
            found: float | None = Commands(self._client).zscore(
                self._keys.outbox_dirty(shard_of(post_id)), str(post_id)
            )
        return found

    def pending(self) -> int:
        """Return how many changes are not durable yet. Two round trips for each node."""
        posts = self.dirty_posts()
        with translated(), CommandBatch(self._client) as pipe:
            for post_id in posts:
                pipe.hlen(self._keys.post_pending(post_id))
                pipe.hlen(self._keys.post_claimed(post_id))
            return sum(pipe.execute())

    def moving(self, pairs: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
        """Return those (user, post) pairs that have a pending or claimed change.

        One round trip for each node.
        """
        wanted = list(pairs)
        with translated(), CommandBatch(self._client) as pipe:
            for user_id, post_id in wanted:
                pipe.hexists(self._keys.post_pending(post_id), str(user_id))
                pipe.hexists(self._keys.post_claimed(post_id), str(user_id))
            replies = pipe.execute()
        there = zip(replies[::2], replies[1::2], strict=True)
        return {pair for pair, found in zip(wanted, there, strict=True) if any(found)}

    def quiet_before(self, time_us: int) -> bool:
        """Return whether every change before this time is durable. One round trip for each node."""
        with translated(), CommandBatch(self._client) as pipe:
            for shard in range(SHARDS):
                pipe.zrange(self._keys.outbox_dirty(shard), 0, 0, withscores=True)
            return all(not oldest or oldest[0][1] > time_us for oldest in pipe.execute())

    def lags(self) -> dict[int, int]:
        """Return the histogram of the time until a reaction became durable.

        One round trip for each node.

        Returns:
            upper bound in µs -> reactions since Redis was set up.
        """
        with translated(), CommandBatch(self._client) as pipe:
            for shard in range(SHARDS):
                pipe.hgetall(self._keys.outbox_lags(shard))
            replies = pipe.execute()
        total: dict[int, int] = {}
        for fields in replies:
            with readable():
                for bound, number in fields.items():
                    total[int(bound)] = total.get(int(bound), 0) + int(number)
        return total


def _state(shard: int, replies: Sequence[Any], now: float, longest_us: int) -> ShardState:
    """Read a shard's replies.

    A shard with an unreadable key counts as overdue: the drain that the sweep then sends finds the
    reason, and the quarantine isolates the key.
    """
    dirty, oldest, lease = replies
    if isinstance(dirty, RedisError):
        return ShardState(shard, 1, math.inf, leased=False)
    # If the server's clock was set back, the time may be in the future, and the age is unknown.
    age = abs(now - oldest[0][1]) / 1e6 if oldest else 0.0
    leased = isinstance(lease, bytes) and _leased(lease, now, longest_us)
    return ShardState(shard, dirty, age, leased)


def _leased(lease: bytes, now_us: float, longest_us: int) -> bool:
    """Decide as ``claim.lua`` does: ignore an expiry further away than any lease can reach."""
    parts = lease.split(b"|")
    return len(parts) == 3 and 0 < version_of(parts[1]) - now_us <= longest_us
