"""A burst of made-up reactions, held against PostgreSQL one by one."""

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
"""Reactions, each of a user of its own."""

LOOK_S = 0.1
"""Between two looks whether all is durable; and between two tries of a reaction."""

SHOWN = 0.7
"""Share of them that go to posts of the page; the others to as many shards as there are."""

T = TypeVar("T")
State = Literal["none", "running", "settling", "verified", "lost", "failed"]


class Burst:
    """One at a time. Thread-safe."""

    def __init__(self, client: Reactions, outbox: OutboxState, queries: Queries) -> None:
        self._client, self._outbox, self._queries = client, outbox, queries
        self._codes = client.settings.reaction_types
        self._lock = threading.Lock()
        self._first = CROWD
        self._acknowledged: dict[tuple[int, int], int] = {}
        self.state: State = "none"

    @property
    def under_way(self) -> bool:
        """Whether it is not settled yet."""
        return self.state in ("running", "settling")

    @property
    def acknowledged(self) -> int:
        """Reactions that react() returned from."""
        return len(self._acknowledged)

    def start(self) -> bool:
        """Start one; False where one is under way."""
        with self._lock:
            if self.under_way:
                return False
            # Ids of no burst before, also none before a restart: it lasts longer than SIZE µs.
            self._first = CROWD + time.time_ns() // 1_000
            self._acknowledged = {}
            self.state = "running"
        threading.Thread(target=self._run, name="burst", daemon=True).start()
        return True

    def durable(self) -> int:
        """How many of those that are acknowledged PostgreSQL has, each with its very type.

        Raises:
            ReactionsUnavailable: PostgreSQL.
        """
        if self.state in ("none", "verified"):
            return self.acknowledged
        stored = self._queries.reactions_of_users(self._first, self._first + SIZE)
        acknowledged = list(self._acknowledged.items())  # it grows meanwhile
        return sum(stored.get(where) == code for where, code in acknowledged)

    def _run(self) -> None:
        try:
            for user_id, post_id, name in _made_up(self._first, list(self._codes)):
                self._react(user_id, post_id, name)
            self.state = "settling"
            self._settle()
        except ReactionsError:
            log.exception("the burst ended early")
            self.state = "failed"

    def _react(self, user_id: int, post_id: int, name: str) -> None:
        """Until it is acknowledged: again is safe."""
        while True:
            try:
                self._client.react(user_id, post_id, name)
            except ReactionsUnavailable:
                time.sleep(LOOK_S)
            except PostDeleted:  # by somebody who tries the library on this stack
                return
            else:
                self._acknowledged[post_id, user_id] = self._codes[name]
                return

    def _settle(self) -> None:
        """Wait until PostgreSQL has all; what it lacks when nothing is pending any more is lost."""
        while True:
            try:
                quiet = self._outbox.pending() == 0
                if self.durable() == self.acknowledged:
                    self.state = "verified"
                    return
                if quiet:
                    log.error("PostgreSQL lacks acknowledged reactions, and nothing is pending")
                    self.state = "lost"
                    return
            except ReactionsUnavailable as error:
                log.warning("the burst waits: %s", error)
            time.sleep(LOOK_S)


def _made_up(first: int, kinds: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """User, post, type: most of them on the posts of the page, and of these on the first."""
    chance = random.Random(first)  # noqa: S311 - a workload, not a secret
    for user_id in range(first, first + SIZE):
        shown = chance.random() < SHOWN
        post_id = _ranked(chance, POSTS, 1.5) if shown else chance.choice(ELSEWHERE)
        yield user_id, post_id, _ranked(chance, kinds, 1)


def _ranked(chance: random.Random, among: Sequence[T], steep: float) -> T:
    return chance.choices(among, [rank**-steep for rank in range(1, len(among) + 1)])[0]
