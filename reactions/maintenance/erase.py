"""The duty `erase`: deletes the rows of deleted posts and forgotten users.

A request stays in the outbox until it is done, so the process may die at any step, and each step is
safe to repeat. A deleted post accepts no reaction, so the eraser deletes its rows. The eraser
removes the reactions of a user one by one through the write path, as the user could, so every count
stays exact. Then it deletes the tombstones that remain.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from redis import Redis
from redis.exceptions import RedisError

from reactions.core.constants import shard_of
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.core.shard_times import NO_TIMES, ShardTimes
from reactions.postgres.database import Database
from reactions.postgres.erasure import Erasures
from reactions.postgres.queries import Queries
from reactions.redis.clock import Clock
from reactions.redis.connection import Client, translate
from reactions.redis.erasure_requests import ErasureRequests
from reactions.redis.user_cache import UserCache
from reactions.redis.writes import RedisWrites

log = logging.getLogger(__name__)

PAGE = 500
"""Reactions of a user removed in one round trip."""

BUDGET_S = 1.0
"""How long one call works: less than the interval of its task, so no worker is always busy."""


@dataclass(slots=True)
class Erased:
    """What a call did.

    Attributes:
        rows: rows deleted.
        posts: deleted posts finished.
        users: forgotten users finished.
        removed: reactions of users removed.
        postponed: requests that wait for a node of Redis that does not answer.
        wake: shards that need a drain now.
    """

    rows: int = 0
    posts: int = 0
    users: int = 0
    removed: int = 0
    postponed: int = 0
    wake: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Step:
    """The progress of the erasure of a user.

    Each has a time for every shard, so that one whose versions are ahead does not move the others.

    Attributes:
        cutoff: the newest versions when it began. Reactions with a newer version stay.
        quiet: when no reaction was left to remove; no times until then.
        before: the newest versions at that moment.
    """

    cutoff: ShardTimes = NO_TIMES
    quiet: ShardTimes = NO_TIMES
    before: ShardTimes = NO_TIMES

    @classmethod
    def read(cls, written: str) -> Step:
        return cls(*map(ShardTimes.read, written.split("|")))

    def __str__(self) -> str:
        return f"{self.cutoff}|{self.quiet}|{self.before}"


@contextmanager
def _postponing(client: Client, done: Erased) -> Iterator[None]:
    """Run a step, and postpone it when a node of a cluster does not answer: others may."""
    try:
        yield
    except ReactionsUnavailable as error:
        if error.store != "redis" or isinstance(client, Redis):
            raise
        log.warning("an erasure is postponed: %s", error)
        done.postponed += 1


class Eraser:
    """Works on the requested erasures."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._client = client
        self._clock = Clock(client, settings)
        self._requests = ErasureRequests(client, settings)
        self._writes = RedisWrites(client, settings)
        self._users = UserCache(client, settings)
        self._queries = Queries(database)
        self._erasures = Erasures(database)
        self._batch = settings.batch_rows

    def erase(self, budget_s: float = BUDGET_S) -> Erased:
        """Work for about this long. The next call continues.

        What needs a node of a cluster that does not answer is postponed, and the rest goes on.

        Raises:
            ReactionsUnavailable: PostgreSQL failed, or all of Redis. Committed steps stay done.
        """
        began = time.monotonic()
        done = Erased()
        posts, users = self._requests.unfinished()
        for user_id, step in users.items():  # at most half of the time: posts need the rest
            with _postponing(self._client, done):
                self._forget(user_id, step, began + budget_s / 2, done)
            if time.monotonic() > began + budget_s / 2:
                break
        for post_id in posts:
            finished = True
            with _postponing(self._client, done):
                finished = self._erase_post(post_id, began + budget_s, done)
            if not finished or time.monotonic() > began + budget_s:
                break
        return done

    def _erase_post(self, post_id: int, deadline: float, done: Erased) -> bool:
        """Returns False when time is up."""
        self._erasures.mark_deleted(post_id)
        while users := self._erasures.erase_post(post_id, self._batch):
            self._users.drop_post(post_id, users)
            done.rows += len(users)
            if time.monotonic() > deadline:
                return False
        self._requests.confirm_erased(post_id)
        done.posts += 1
        return True

    def _forget(self, user_id: int, written: str, deadline: float, done: Erased) -> None:
        """Do the next step: note the cutoff, remove reactions, wait for drains, delete rows."""
        step = Step.read(written)
        if not step.cutoff:
            step = Step(self._clock.bound_versions())
            if not self._requests.advance_erasure(user_id, written, str(step)):
                return  # somebody requested it again
        if step.quiet and not self._durable(user_id, step):
            return
        removed = self._take_away(user_id, step.cutoff, deadline, done.wake)
        done.removed += removed
        if removed:  # again when the removals are durable: pending changes may have hidden others
            self._requests.advance_erasure(user_id, str(step), str(Step(step.cutoff)))
        elif not step.quiet:
            before = self._clock.bound_versions()
            # From here on, new reactions get newer versions. Wait for the older ones to be durable.
            if quiet := self._clock.readings().times():
                following = Step(step.cutoff, quiet, before)
                self._requests.advance_erasure(user_id, str(step), str(following))
        elif self._erase_user(user_id, step.before, deadline, done):
            self._users.drop(user_id)
            self._requests.advance_erasure(user_id, str(step), "")
            done.users += 1

    def _durable(self, user_id: int, step: Step) -> bool:
        """Returns whether every change from before the time of this step is durable."""
        readings = self._clock.readings()
        if readings.quiet_before(step.quiet):
            return True
        if readings.before(step.quiet):  # the clock was set back, so this time tells nothing
            self._requests.advance_erasure(user_id, str(step), str(Step(step.cutoff)))
        return False

    def _take_away(self, user_id: int, cutoff: ShardTimes, deadline: float, wake: set[int]) -> int:
        removed = 0
        for posts in self._pages(user_id, cutoff):
            replies = self._writes.record_many((user_id, post_id, 0) for post_id in posts)
            for post_id, reply in zip(posts, replies, strict=True):
                if isinstance(reply, RedisError):
                    raise translate(reply) from reply
                if reply.wake:
                    wake.add(shard_of(post_id))
            removed += len(posts)
            if time.monotonic() > deadline:
                break
        return removed

    def _pages(self, user_id: int, cutoff: ShardTimes) -> Iterator[list[int]]:
        before = cutoff.highest + 1, 0
        while rows := self._queries.history(user_id, limit=PAGE, before=before):
            yield [r.post_id for r in rows if r.version <= cutoff.of(shard_of(r.post_id))]
            before = rows[-1].version, rows[-1].post_id

    def _erase_user(self, user_id: int, before: ShardTimes, deadline: float, done: Erased) -> bool:
        """Returns False when time is up."""
        self._erasures.mark_forgotten(user_id, before)
        while erased := self._erasures.erase_user(user_id, before, self._batch):
            done.rows += erased
            if time.monotonic() > deadline:
                return False
        return True
