"""A burst of generated reactions, each of which is then looked up in PostgreSQL."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar

from reactions.api.client import Reactions
from reactions.core.errors import PostDeleted, ReactionsError, ReactionsUnavailable
from reactions.postgres.queries import Queries
from reactions.redis.outbox_state import OutboxState
from reactions.web.page.ids import CROWD, ELSEWHERE, POSTS

log = logging.getLogger(__name__)

SIZE = 5_000
"""The number of reactions, each by a different user."""

RETRY_S = 0.1
"""The time between two checks whether all is durable, and between two tries of a reaction."""

SHOWN_SHARE = 0.7
"""This share of the reactions goes to the posts of the page; the others reach every shard."""

T = TypeVar("T")
State = Literal["none", "running", "settling", "verified", "lost", "failed"]


class Burst:
    """Runs one burst at a time. Thread-safe."""

    def __init__(self, client: Reactions, outbox: OutboxState, queries: Queries) -> None:
        self._client, self._outbox, self._queries = client, outbox, queries
        self._codes = client.settings.reaction_types
        self._lock = threading.Lock()
        self._first = CROWD
        self._acknowledged: dict[tuple[int, int], int] = {}
        self.state: State = "none"

    @property
    def under_way(self) -> bool:
        """Whether the burst has no result yet."""
        return self.state in ("running", "settling")

    @property
    def acknowledged(self) -> int:
        """The number of reactions for which react() returned."""
        return len(self._acknowledged)

    def start(self) -> bool:
        """Start a burst; return False if one is under way."""
        with self._lock:
            if self.under_way:
                return False
            # Ids are new even after a restart: a burst takes more µs than it has users.
            self._first = CROWD + time.time_ns() // 1_000
            self._acknowledged = {}
            self.state = "running"
        threading.Thread(target=self._run, name="burst", daemon=True).start()
        return True

    def durable(self) -> int:
        """Count the acknowledged reactions that PostgreSQL has, each with the same type.

        Raises:
            ReactionsUnavailable: PostgreSQL does not answer.
        """
        if self.state in ("none", "verified"):
            return self.acknowledged
        stored = self._queries.reactions_of_users(self._first, self._first + SIZE)
        acknowledged = list(self._acknowledged.items())  # a copy: another thread adds to it
        return sum(stored.get(where) == code for where, code in acknowledged)

    def _run(self) -> None:
        try:
            for user_id, post_id, name in _generate(self._first, list(self._codes)):
                self._react(user_id, post_id, name)
            self.state = "settling"
            self._settle()
        except ReactionsError:
            log.exception("the burst ended early")
            self.state = "failed"

    def _react(self, user_id: int, post_id: int, name: str) -> None:
        """Repeat a reaction until it is acknowledged: a repetition changes nothing."""
        while True:
            try:
                self._client.react(user_id, post_id, name)
            except ReactionsUnavailable:
                time.sleep(RETRY_S)
            except PostDeleted:  # somebody tried delete_post() on this stack
                return
            else:
                self._acknowledged[post_id, user_id] = self._codes[name]
                return

    def _settle(self) -> None:
        """Wait until PostgreSQL has all. What it lacks when nothing is pending is lost."""
        while True:
            try:
                drained = self._outbox.pending() == 0  # read before durable()
                if self.durable() == self.acknowledged:
                    self.state = "verified"
                    return
                if drained:
                    log.error("PostgreSQL lacks acknowledged reactions, and nothing is pending")
                    self.state = "lost"
                    return
            except ReactionsUnavailable as error:
                log.warning("cannot check the burst, and try again: %s", error)
            time.sleep(RETRY_S)


def _generate(first: int, kinds: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield user, post and type. Most go to the posts of the page, and of those to the first."""
    chance = random.Random(first)  # noqa: S311 - a workload, not a secret
    for user_id in range(first, first + SIZE):
        shown = chance.random() < SHOWN_SHARE
        post_id = _ranked(chance, POSTS, 1.5) if shown else chance.choice(ELSEWHERE)
        yield user_id, post_id, _ranked(chance, kinds, 1)


def _ranked(chance: random.Random, among: Sequence[T], steep: float) -> T:
    """Choose an item, with the probability of rank r proportional to r^-steep."""
    return chance.choices(among, [rank**-steep for rank in range(1, len(among) + 1)])[0]
